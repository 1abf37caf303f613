"""The panel on step sizes: what it measures is what theory predicts, at every setting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import traitlets

from exptest.linearized import expected_sgd_loss, mean_square_critical_rate, noise_floor
from exptest.widgets import StabilityExplorer
from exptest.widgets.stability_descent import BEST, FullBatchRun, MiniBatchRuns, N, TwoModes


@pytest.fixture
def panel() -> Iterator[StabilityExplorer]:
    panel = StabilityExplorer()
    panel.join()
    yield panel
    panel.close()


def extremes(panel: StabilityExplorer) -> Iterator[tuple[str, float | bool]]:
    """Both ends of every control."""
    for name, trait in sorted(panel.traits(control=lambda control: control is not None).items()):
        ends = (False, True) if isinstance(trait, traitlets.Bool) else (trait.min, trait.max)
        for end in ends:
            yield name, end


@pytest.mark.parametrize("condition", [1.0, 10.0, 50.0])
def test_curvature_is_exactly_as_asked_in_a_rotated_basis(condition: float) -> None:
    problem = TwoModes.of(condition)
    hessian = problem.X.T @ problem.X / N
    np.testing.assert_allclose(
        problem.V.T @ hessian @ problem.V, np.diag([1, 1 / condition]), atol=1e-14
    )
    np.testing.assert_allclose(problem.eigenvalues, [1, 1 / condition], rtol=1e-13)
    np.testing.assert_allclose(problem.X.T @ (problem.y - problem.X @ BEST), 0, atol=1e-12)


@pytest.mark.parametrize(("multiple", "momentum"), [(0.95, 0.0), (0.3, 0.9), (1.3, 0.0)])
def test_measured_modes_are_the_predicted_ones(multiple: float, momentum: float) -> None:
    run = FullBatchRun.of(TwoModes.of(10.0), multiple, momentum, 40)
    scale = run.predicted.sum(0).max()
    np.testing.assert_allclose(run.measured, run.predicted, rtol=1e-9, atol=1e-13 * scale)


def test_modes_add_up_to_the_loss_model_of_the_whole() -> None:
    problem = TwoModes.of(7.0)
    run = FullBatchRun.of(problem, 0.8, 0.5, 50)
    lr = 0.8 * problem.model.critical_learning_rate
    whole = problem.model.gradient_descent(lr, 50, momentum=0.5) - problem.model.floor
    np.testing.assert_allclose(run.predicted.sum(0), whole, rtol=1e-9, atol=1e-14)


def test_path_is_that_of_torch_sgd_with_momentum() -> None:
    problem = TwoModes.of(10.0)
    run = FullBatchRun.of(problem, 0.4, 0.8, 30)
    X, y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
    w = torch.from_numpy(problem.start).requires_grad_()
    optimizer = torch.optim.SGD([w], lr=0.4 * 2.0, momentum=0.8)
    for expected in run.path:
        np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
        optimizer.zero_grad()
        ((X @ w - y).square().sum() / (2 * N)).backward()
        optimizer.step()


def test_a_batch_of_everything_is_gradient_descent() -> None:
    problem = TwoModes.of(10.0)
    whole, runs = FullBatchRun.of(problem, 0.6, 0.0, 30), MiniBatchRuns.of(problem, 0.6, N, 30, 0)
    np.testing.assert_allclose(
        runs.losses, np.tile(whole.measured.sum(0), (len(runs.losses), 1)), atol=1e-13
    )
    assert runs.critical == pytest.approx(1.0, rel=1e-10)


def test_expectation_floor_and_critical_rate_are_the_library_s() -> None:
    problem = TwoModes.of(10.0)
    runs = MiniBatchRuns.of(problem, 0.3, 4, 60, 0)
    data = {"batch_size": 4, "replacement": False}
    best, lr = problem.model.floor, 0.3 * problem.model.critical_learning_rate
    expected = expected_sgd_loss(problem.X, problem.y, problem.start, lr=lr, steps=60, **data)
    np.testing.assert_allclose(runs.expected, expected - best, atol=1e-14)
    assert runs.floor == pytest.approx(noise_floor(problem.X, problem.y, lr=lr, **data) - best)
    critical = mean_square_critical_rate(problem.X, **data)
    assert runs.critical == pytest.approx(critical / problem.model.critical_learning_rate)


@pytest.mark.parametrize("multiple", [0.05, 0.2])
def test_mean_of_the_runs_is_expected_within_its_error(multiple: float) -> None:
    runs = MiniBatchRuns.of(TwoModes.of(10.0), multiple, 8, 60, 0)
    error = runs.losses.std(0, ddof=1) / np.sqrt(len(runs.losses))
    z = (runs.losses.mean(0) - runs.expected)[1:] / error[1:]
    assert np.abs(z).max() < 5


def test_a_floor_exists_up_to_the_mean_square_critical_rate() -> None:
    problem = TwoModes.of(10.0)
    critical = MiniBatchRuns.of(problem, 0.1, 2, 10, 0).critical
    below, above = (MiniBatchRuns.of(problem, c * critical, 2, 10, 0) for c in (0.97, 1.03))
    assert below.floor is not None
    assert below.floor > 0
    assert above.floor is None
    assert "grows without bound" in str(above)
    assert "tends to" in str(below)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"multiple": 0.95}, "both modes shrink, the steep one overshooting at every step;"),
        ({"multiple": 0.4}, "both modes shrink; "),
        ({"multiple": 1.0}, "the steep mode jumps from side to side for ever"),
        ({"multiple": 1.25}, "the steep mode grows 2.25-fold at every step, the flat one shrinks"),
        ({"multiple": 1.2, "momentum": 0.5}, "stable below 1.50"),
        ({"multiple": 0.5, "momentum": 0.9}, "both modes shrink in swings"),
    ],
)
def test_sentence_says_what_each_mode_does(state: dict[str, float], words: str) -> None:
    panel = StabilityExplorer(**state)
    panel.join()
    panel.close()
    assert words in panel.sentence()


def test_growth_per_step_is_the_predicted_factor() -> None:
    run = FullBatchRun.of(TwoModes.of(10.0), 1.25, 0.0, 10)
    np.testing.assert_allclose(run.measured[0, 1:] / run.measured[0, :-1], 2.25, rtol=1e-9)


def test_setting_a_trait_changes_sentence_and_picture(panel: StabilityExplorer) -> None:
    sentence, png = panel.sentence(), panel.canvas.png
    panel.multiple = 1.1
    panel.join()
    assert panel.sentence() != sentence
    assert panel.canvas.png != png
    assert panel.sentence() in panel.words.value


def test_result_is_what_compute_returns(panel: StabilityExplorer) -> None:
    np.testing.assert_array_equal(panel.compute().path, panel.result.path)


def test_momentum_is_for_the_full_batch_alone(panel: StabilityExplorer) -> None:
    assert not panel.controls["momentum"].disabled
    assert panel.controls["batch_size"].disabled
    assert panel.controls["seed"].disabled
    panel.mini_batches = True
    panel.join()
    assert panel.controls["momentum"].disabled
    assert not panel.controls["batch_size"].disabled
    assert not panel.controls["seed"].disabled


@pytest.mark.parametrize("mini_batches", [False, True])
def test_every_extreme_gives_a_picture(panel: StabilityExplorer, mini_batches: bool) -> None:
    panel.mini_batches = mini_batches
    start = {name: getattr(panel, name) for name in panel.controls}
    for name, value in extremes(panel):
        with panel.hold_trait_notifications():  # one picture, not one on the way back too
            for setting, usual in start.items():
                panel.set_trait(setting, value if setting == name else usual)
        panel.join()
        assert panel.canvas.png.startswith(b"\x89PNG")
        assert "nan" not in panel.sentence()


@pytest.mark.parametrize("batch_size", [1, 64])
def test_all_extremes_at_once_give_a_picture(panel: StabilityExplorer, batch_size: int) -> None:
    for mini_batches in (False, True):
        with panel.hold_trait_notifications():
            panel.multiple, panel.condition, panel.steps, panel.momentum = 1.3, 50.0, 200, 0.95
            panel.batch_size, panel.mini_batches = batch_size, mini_batches
        panel.join()
        assert panel.canvas.png.startswith(b"\x89PNG")
        assert "nan" not in panel.sentence()


def test_unknown_settings_and_values_out_of_range_are_refused(panel: StabilityExplorer) -> None:
    with pytest.raises(TypeError, match="StabilityExplorer has no setting 'rate'; try one of"):
        StabilityExplorer(rate=0.5)
    with pytest.raises(traitlets.TraitError):
        panel.multiple = 1.5
    with pytest.raises(traitlets.TraitError):
        StabilityExplorer(momentum=1.0)
