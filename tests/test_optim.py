"""ExpTest around torch optimizers: rates, restarts, the path ratio, no waiting, resuming."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exptest.models import mlp
from exptest.optim import ExpTest
from exptest.optim.loss_stream import ABSENT, CAPACITY, LossStream
from exptest.statistics import PathRatio, window_length
from exptest.tuner import MIN_WINDOW

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1.0),
    "momentum": lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9),
    "decay": lambda p: torch.optim.SGD(p, lr=1.0, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=1.0),
}


class Run:
    """A model, noisy data, and one step at a time, all from one seed."""

    def __init__(self, optimizer: str = "sgd", seed: int = 0, **settings: Any) -> None:
        torch.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1)
        )
        self.model.double()
        self.inputs = torch.randn(256, 6, dtype=torch.float64)
        self.targets = self.inputs.sum(1, keepdim=True) + torch.randn(256, 1, dtype=torch.float64)
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        settings = {"max_lr": 0.02, "model": self.model} | settings
        self.exptest = ExpTest(self.optimizer, **settings)

    def loss(self, step: int) -> Tensor:
        rows = torch.randint(256, (16,), generator=torch.Generator().manual_seed(step))
        return (self.model(self.inputs[rows]) - self.targets[rows]).square().mean()

    def step(self, step: int) -> Any:
        self.optimizer.zero_grad()
        loss = self.loss(step)
        loss.backward()
        self.optimizer.step()
        return self.exptest.step(loss)

    def weights(self) -> list[Tensor]:
        return [t.detach().clone() for t in self.model.state_dict().values()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


# -- rates ---------------------------------------------------------------------------------


def test_the_rate_starts_at_the_largest_and_groups_keep_their_ratios() -> None:
    model = mlp([4, 3, 1])
    groups = [
        {"params": list(model[1].parameters()), "lr": 0.1},
        {"params": list(model[3].parameters()), "lr": 0.4},
    ]
    optimizer = torch.optim.SGD(groups)
    held = optimizer.param_groups[1]
    exptest = ExpTest(optimizer, max_lr=0.8)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.2, 0.8])
    exptest.step(1.0)
    exptest.step(float("nan"))
    assert exptest.get_last_lr() == pytest.approx([0.2 * 0.33, 0.8 * 0.33])
    assert held is optimizer.param_groups[1]
    assert held["lr"] == pytest.approx(0.8 * 0.33)


def test_a_tensor_rate_changes_in_place() -> None:
    weight = nn.Parameter(torch.ones(1))
    rate = torch.tensor(1.0)
    optimizer = torch.optim.Adam([weight], lr=rate, foreach=False, capturable=False)
    ExpTest(optimizer, max_lr=0.25)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25


# -- restarts ------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rejected_search_goes_back_to_where_it_began(optimizer: str) -> None:
    run = Run(optimizer)
    before, state = run.weights(), copy.deepcopy(run.optimizer.state_dict()["state"])
    for step in range(5):
        run.step(step)
    assert not same(before, run.weights())
    decision = run.exptest.step(float("inf"))
    assert decision.kind == "divergence"
    assert decision.restarts
    assert same(before, run.weights())
    assert run.optimizer.state_dict()["state"] == state


def test_restart_none_leaves_the_weights() -> None:
    run = Run(restart=None)
    for step in range(5):
        run.step(step)
    before = run.weights()
    run.exptest.step(float("inf"))
    assert same(before, run.weights())


def test_restart_may_be_a_function() -> None:
    calls = []
    run = Run(restart=lambda: calls.append(1))
    run.step(0)
    run.exptest.step(float("inf"))
    assert calls == [1]


def test_a_divergence_while_tuning_goes_back_to_the_start_of_its_window() -> None:
    run = Run(max_lr=0.05)
    step = 0
    while run.exptest.tuner.phase == "search":
        run.step(step)
        step += 1
    at_window_start = run.weights()
    for extra in range(3):
        run.step(step + extra)
    decision = run.exptest.step(float("nan"))
    assert decision.phase == "tune"
    assert not decision.restarts
    assert same(at_window_start, run.weights())


# -- the path ratio ------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_path_ratio_is_that_of_the_gradients(optimizer: str) -> None:
    """Read off the weights (SGD) or summed (others), it equals the definition, streamed."""
    run = Run(optimizer, max_lr=0.05, restart=None)
    reference, decision, step, base = PathRatio(), None, 0, None
    while decision is None:
        decision = run.step(step)
        base = base or max(window_length(run.exptest.tuner.initial_loss, 0.05), MIN_WINDOW)
        if step < base - 1:
            gradient = torch.cat([p.grad.flatten() for p in run.model.parameters()])
            reference.update(gradient.numpy())
        step += 1
    assert decision.path_ratio == pytest.approx(reference.value, rel=1e-10)
    assert decision.window == round(reference.value * base)


def test_paper_mode_keeps_summing_over_accepted_windows_at_one_rate() -> None:
    run = Run(max_lr=0.2, method="paper", restart=None, alpha=0.999)
    reference, decisions, filled = PathRatio(), [], 0
    for step in range(4000):
        base = window_length(run.exptest.tuner.initial_loss or 1.0, run.exptest.tuner.lr)
        decision = run.step(step)
        if step == 0:
            base = window_length(run.exptest.tuner.initial_loss, 0.2)
        filled += 1
        if filled < base:
            gradient = torch.cat([p.grad.flatten() for p in run.model.parameters()])
            reference.update(gradient.numpy())
        if decision:
            assert decision.path_ratio == pytest.approx(reference.value, rel=1e-9)
            decisions.append(decision)
            filled = 0
            if not decision.accepted:
                reference.reset()
    assert len(decisions) >= 4


# -- nobody waits --------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_synchronises_between_window_ends(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(optimizer, max_lr=0.01)
    run.step(0)

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("the host waited for the device")

    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "cpu", "__float__", "__bool__", "__int__", "__index__"):
            patch.setattr(Tensor, name, forbidden)
        for step in range(1, run.exptest.tuner.attention_in - 1):
            gradients_of_a_step(run, step)
            assert run.exptest.step(run.last_loss) is None


def gradients_of_a_step(run: Run, step: int) -> None:
    """A step by hand: torch's own optimizers may call item."""
    for p in run.model.parameters():
        p.grad = torch.full_like(p, 0.01 * (step % 3))
    run.last_loss = torch.full((), 1.0 / step, dtype=torch.float64)


def test_losses_that_have_not_arrived_are_waited_for_only_when_told() -> None:
    stream = LossStream()
    sent = [float(x) for x in range(CAPACITY + 300)]
    taken: list[float] = []
    for count, value in enumerate(sent):
        stream._send(torch.tensor(value, dtype=torch.float64))
        if count == 5:
            late = (stream._first + 3) % CAPACITY
            arrived_value = stream._ring[late].clone()
            stream._bits()[late] = ABSENT[torch.float64]
            taken += stream.arrived(wait=False)
            assert taken == sent[:3]
            stream._ring[late] = arrived_value
    taken += stream.arrived(wait=True)
    assert taken == sent
    assert len(stream) == 0


def test_a_nan_loss_arrives_as_a_nan() -> None:
    stream = LossStream()
    stream._send(torch.tensor(float("nan")))
    assert np.isnan(stream.arrived(wait=False)).tolist() == [True]


# -- stop and resume -----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", ["paper", "calibrated"])
@pytest.mark.parametrize("cut", [8, 130])
def test_resuming_mid_window_is_exact_to_the_bit(optimizer: str, method: str, cut: int) -> None:
    settings = {"max_lr": 0.6, "method": method}
    whole = Run(optimizer, **settings)
    for step in range(600):
        whole.step(step)

    killed = Run(optimizer, **settings)
    for step in range(cut):
        killed.step(step)
    assert killed.exptest.tuner.filled > 0
    file = io.BytesIO()
    torch.save([x.state_dict() for x in (killed.model, killed.optimizer, killed.exptest)], file)
    file.seek(0)

    resumed = Run(optimizer, seed=99, **settings)
    resumed.inputs, resumed.targets = whole.inputs, whole.targets
    states = torch.load(file, weights_only=True)
    for part, state in zip(
        (resumed.model, resumed.optimizer, resumed.exptest), states, strict=True
    ):
        part.load_state_dict(state)
    for step in range(cut, 600):
        resumed.step(step)
    assert same(whole.weights(), resumed.weights())
    assert str(resumed.exptest.record) == str(whole.exptest.record)
    assert whole.exptest.record.decisions


def test_a_state_of_other_settings_is_refused() -> None:
    state = Run(restart=None).exptest.state_dict()
    with pytest.raises(ValueError, match="differ in restart='initial'"):
        Run().exptest.load_state_dict(state)


def test_a_state_of_another_model_changes_nothing() -> None:
    run, other = Run(), nn.Linear(3, 1)
    stranger = ExpTest(torch.optim.SGD(other.parameters(), lr=1.0), max_lr=0.1)
    run.step(0)
    with pytest.raises(ValueError, match=r"belongs to another model: .* \[\(1, 3\), \(1,\)\]"):
        run.exptest.load_state_dict(stranger.state_dict())
    with pytest.raises(ValueError, match="the state lacks initial, path, ratios"):
        run.exptest.load_state_dict(run.optimizer.state_dict())
    assert len(run.exptest.record.losses) == 1
    assert run.exptest.tuner.max_lr == 0.02


def test_a_group_that_came_later_is_named_before_the_loss_counts() -> None:
    run, late = Run(), nn.Parameter(torch.ones(1))
    run.optimizer.add_param_group({"params": [late]})
    with pytest.raises(RuntimeError, match=r"had 1 parameter groups .* now it has 2"):
        run.exptest.step(1.0)
    assert len(run.exptest.record.losses) == 0


def test_a_group_at_rest_does_not_hide_the_path_ratio() -> None:
    torch.manual_seed(0)
    moving, resting = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    groups = [{"params": [moving], "lr": 1.0}, {"params": [resting], "lr": 0.0}]
    exptest = ExpTest(torch.optim.SGD(groups, lr=1.0), max_lr=0.1, min_window=8)
    path = PathRatio()
    for step in range(exptest.tuner.min_window + 4):
        for p in (moving, resting):
            p.grad = torch.randn(3)
        if step < 7:
            path.update(np.concatenate([moving.grad.numpy(), resting.grad.numpy()]))
        exptest.optimizer.step()
        exptest.step(0.1)
    assert exptest.tuner.window is not None
    assert exptest.tuner._path_ratio == pytest.approx(path.value, rel=1e-5)


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (torch.ones(3), ValueError, r"loss must be a scalar, got shape \(3,\); try loss.mean"),
        ("0.3", TypeError, "loss must be a scalar tensor or a float, got str"),
        (torch.tensor(1j), TypeError, "loss must be real, got torch.complex64"),
    ],
)
def test_a_loss_that_is_no_scalar_is_refused_and_not_counted(
    loss: Any, error: type[Exception], message: str
) -> None:
    run = Run()
    with pytest.raises(error, match=message):
        run.exptest.step(loss)
    assert len(run.exptest.record.losses) == 0


@pytest.mark.usefixtures("as_users_do")
def test_bad_settings_change_nothing() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.7)
    with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1"):
        ExpTest(optimizer, max_lr=0.1, alpha=2)
    with pytest.raises(ValueError, match="max_lr must be positive"):
        ExpTest(optimizer, max_lr=-1)
    with pytest.raises(ValueError, match="restart must be 'initial', None or a function"):
        ExpTest(optimizer, max_lr=0.1, restart="fresh")
    assert optimizer.param_groups[0]["lr"] == 0.7


@pytest.mark.usefixtures("as_users_do")
def test_an_optimizer_without_parameters_is_named() -> None:
    empty = torch.optim.SGD([{"params": []}], lr=0.1)
    with pytest.raises(ValueError, match="the optimizer has no parameters"):
        ExpTest(empty, max_lr=0.1)
    with pytest.raises(TypeError, match=r"optimizer must be a torch\.optim\.Optimizer, got list"):
        ExpTest([], max_lr=0.1)


@pytest.mark.usefixtures("as_users_do")
def test_a_numpy_scalar_is_a_loss() -> None:
    run = Run()
    run.exptest.step(np.float32(0.5))
    assert run.exptest.record.losses.tolist() == [0.5]


def test_sparse_gradients_are_named() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    exptest = ExpTest(torch.optim.SGD(table.parameters(), lr=1.0), max_lr=0.1)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match="dense gradients, got a sparse one"):
        exptest.step(torch.tensor(1.0))
