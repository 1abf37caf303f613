"""The panel on width: the network is trained as in notebook 01, over what the library foretells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import traitlets
from torch.nn.utils import parameters_to_vector

from exptest.linearized import LossModel, empirical_ntk, linearize, wide_network
from exptest.widgets import NetworkExplorer
from exptest.widgets.network import WIDTHS
from exptest.widgets.network_race import Race, threes_and_fives


@pytest.fixture
def panel() -> Iterator[NetworkExplorer]:
    panel = NetworkExplorer(width=16, steps=20)
    panel.join()
    yield panel
    panel.close()


def trained(network: torch.nn.Module, lr: float, steps: int) -> list[float]:
    """Gradient descent on ½MSE, written out."""
    x, y = threes_and_fives()
    weights, losses = list(network.parameters()), []
    for _ in range(steps + 1):
        loss = (network(x.to(weights[0])) - y).square().sum() / (2 * len(x))
        losses.append(loss.item())
        with torch.no_grad():
            for w, g in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                w -= lr * g
    return losses


def test_task_is_forty_threes_and_fives() -> None:
    x, y = threes_and_fives()
    assert x.shape == (40, 64)
    assert set(y.flatten().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(("width", "activation"), [(8, "tanh"), (64, "relu")])
def test_race_is_the_library_s(width: int, activation: str) -> None:
    x, y = threes_and_fives()
    kind = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[activation]
    network = wide_network(64, width, 1, activation=kind, seed=3)
    forecast = LossModel.from_network(network, x, y)
    start = empirical_ntk(network, x, dtype=torch.float64)[:, 0, :, 0]
    race = Race.run(width, 0.5, 30, activation, 3)
    assert race.lr == pytest.approx(0.5 * forecast.critical_learning_rate, rel=1e-6)
    np.testing.assert_allclose(
        race.predicted, forecast.gradient_descent(race.lr, 30), rtol=1e-4, atol=1e-9
    )
    np.testing.assert_allclose(race.losses, trained(network, race.lr, 30), rtol=1e-4)
    np.testing.assert_allclose(race.before, torch.linalg.eigvalsh(start).flip(0) / 40, rtol=1e-6)


def test_distances_are_those_between_start_and_end() -> None:
    x, _ = threes_and_fives()
    race = Race.run(32, 0.5, 20, "tanh", 0)
    start, end = (wide_network(64, 32, 1, seed=0) for _ in range(2))
    trained(end, race.lr, 19)
    kernels = [empirical_ntk(m, x, dtype=torch.float64)[:, 0, :, 0] for m in (start, end)]
    vectors = [parameters_to_vector(m.parameters()).detach() for m in (start, end)]
    for moved, (a, b) in ((race.kernel_moved, kernels), (race.weights_moved, vectors)):
        assert moved == pytest.approx(float((b - a).norm() / a.norm()), rel=1e-3)
    np.testing.assert_allclose(
        race.after, torch.linalg.eigvalsh(kernels[1]).flip(0) / 40, rtol=1e-3
    )


def test_the_linearized_network_follows_the_prediction() -> None:
    race = Race.run(16, 0.5, 20, "tanh", 0)
    tangent = linearize(wide_network(64, 16, 1, seed=0).double())
    np.testing.assert_allclose(trained(tangent, race.lr, 20), race.predicted, rtol=1e-5)


def test_gap_and_movement_fall_with_width() -> None:
    narrow, wide = (Race.run(width, 0.5, 100, "tanh", 0) for width in (16, 1024))
    assert wide.gap < 0.1 * narrow.gap
    assert wide.kernel_moved < 0.1 * narrow.kernel_moved
    assert wide.weights_moved < 0.3 * narrow.weights_moved


def test_catapult_climbs_and_ends_where_the_tangent_is_stable() -> None:
    race = Race.run(1024, 1.5, 60, "tanh", 0)
    assert race.losses.max() > 5 * race.losses[0]
    assert race.losses[-1] < 0.1 * race.losses[0]
    assert race.predicted[-1] > 1e9
    assert race.before[0] * race.lr / 2 == pytest.approx(1.5)
    assert race.sharpness < 1
    assert "the linearization diverges, the network's loss climbs to" in str(race)


def test_a_lost_network_is_stopped_and_told() -> None:
    race = Race.run(1024, 2.5, 60, "tanh", 0)
    assert race.diverged
    assert len(race.losses) < 60
    assert np.isfinite(race.losses).all()
    assert np.isnan(race.kernel_moved)
    assert "the network diverges" in str(race)
    assert "nan" not in str(race)


def test_other_widths_follow_the_first_picture(panel: NetworkExplorer) -> None:
    assert sorted(panel.result.known) == list(WIDTHS)
    assert panel.result.here is panel.result.known[16]


def test_first_picture_does_not_wait_for_other_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[set[int]] = []
    draw = NetworkExplorer.draw

    def watched(self: NetworkExplorer, result: object) -> None:
        drawn.append(set(result.known))
        draw(self, result)

    monkeypatch.setattr(NetworkExplorer, "draw", watched)
    panel = NetworkExplorer(width=8, steps=20)
    panel.join()
    panel.close()
    assert drawn == [{8}, set(WIDTHS)]


def test_a_change_interrupts_the_other_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    raced: list[tuple[int, float]] = []
    run = Race.run.__func__

    def counted(cls: type[Race], width: int, multiple: float, *others: object) -> Race:
        raced.append((width, multiple))
        if len(raced) == 2:
            panel.multiple = 0.8
        return run(cls, width, multiple, *others)

    monkeypatch.setattr(Race, "run", classmethod(counted))
    panel = NetworkExplorer(width=8, steps=20)
    panel.join()
    panel.close()
    assert raced[:3] == [(8, 0.5), (4, 0.5), (8, 0.8)]
    assert len(raced) == 2 + len(WIDTHS)
    assert panel.result.here.multiple == 0.8
    assert {race.multiple for race in panel.result.known.values()} == {0.8}


def test_a_known_width_is_not_raced_again(panel: NetworkExplorer) -> None:
    before = panel.result.known
    panel.width = 64
    panel.join()
    assert panel.result.here is before[64]


def test_setting_a_trait_changes_sentence_and_picture(panel: NetworkExplorer) -> None:
    for name, value in (("width", 64), ("multiple", 0.9), ("activation", "relu"), ("seed", 1)):
        sentence, png = panel.sentence(), panel.canvas.png
        setattr(panel, name, value)
        panel.join()
        assert panel.sentence() != sentence
        assert panel.canvas.png != png
        assert panel.sentence() in panel.words.value


def test_result_is_what_compute_returns(panel: NetworkExplorer) -> None:
    fresh = Race.run(panel.width, panel.multiple, panel.steps, panel.activation, panel.seed)
    assert panel.compute().here is panel.result.here
    np.testing.assert_array_equal(fresh.losses, panel.result.here.losses)


@pytest.mark.parametrize(
    ("width", "multiple", "activation", "steps", "seed"),  # every pair of them
    [
        (4, 0.1, "tanh", 20, 0),
        (4, 2.5, "relu", 200, 0),
        (1024, 0.1, "relu", 20, 20),
        (1024, 2.5, "tanh", 20, 0),
        (4, 2.5, "relu", 20, 20),
        (1024, 0.1, "tanh", 200, 20),
    ],
)
def test_every_extreme_gives_a_picture(
    width: int, multiple: float, activation: str, steps: int, seed: int
) -> None:
    panel = NetworkExplorer(
        width=width, multiple=multiple, activation=activation, steps=steps, seed=seed
    )
    panel.join()
    assert panel.canvas.png.startswith(b"\x89PNG")
    assert "nan" not in panel.sentence()
    panel.close()


@pytest.mark.slow
@pytest.mark.parametrize("multiple", [0.1, 0.5, 1.0, 1.5, 2.5])
def test_every_network_has_a_sentence(multiple: float) -> None:
    for activation in ("tanh", "relu"):
        for width in WIDTHS[:4]:
            for seed in range(21):
                race = Race.run(width, multiple, 100, activation, seed)
                assert "nan" not in race.summary()


def test_unknown_settings_and_values_out_of_range_are_refused(panel: NetworkExplorer) -> None:
    with pytest.raises(TypeError, match="NetworkExplorer has no setting 'depth'; try one of"):
        NetworkExplorer(depth=2)
    with pytest.raises(traitlets.TraitError):
        panel.width = 100
    with pytest.raises(traitlets.TraitError):
        NetworkExplorer(multiple=3.0)
