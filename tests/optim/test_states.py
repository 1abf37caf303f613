"""A state is loaded whole or not at all, and does not grow; the record costs nothing to read."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from exptest.optim import ExpTest
from exptest.optim.snapshot import _beside
from tests.optim.bases import Base, Training, base, through_a_file
from tests.optim.run import same

pytestmark = pytest.mark.usefixtures("as_users_do")
USUAL: dict[str, Any] = {"max_lr": 0.2, "min_window": 8}


def cosine(optimizer: torch.optim.Optimizer) -> Any:
    return lr_scheduler.CosineAnnealingLR(optimizer, 50)


def exponential(optimizer: torch.optim.Optimizer) -> Any:
    return lr_scheduler.ExponentialLR(optimizer, 0.99)


def made(name: str = "SGD momentum", **settings: Any) -> tuple[Training, ExpTest]:
    settings = USUAL | settings
    ratios, schedule = settings.pop("ratios", (1.0,)), settings.pop("schedule", None)
    run = Training(settings.pop("base", base(name)), rate=1.0, ratios=ratios)
    if schedule:
        settings["schedule"] = schedule(run.optimizer)
    return run, ExpTest(run.optimizer, model=run.model, **settings)


def train(run: Training, exptest: ExpTest, first: int, last: int) -> None:
    for number in range(first, last):
        exptest.step(run.update(number))


class Wider(Base):
    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 1)).double()


class Normal(Base):
    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 1)
        ).double()


# -- all or nothing ------------------------------------------------------------------------

# Of another ExpTest, trained alike: what differs from the usual one, what the message says.
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "optimizer": ({"name": "Adam"}, "saved with an optimizer of class Adam, this one's is SGD"),
    "groups": ({"ratios": (0.5, 1.0)}, "saved with an optimizer of shapes"),
    "shapes": ({"base": Wider("SGD momentum", torch.optim.SGD)}, r"of shapes \[\[\(7, 4\), \(7,\)"),
    "buffers": (
        {"base": Normal("SGD momentum", torch.optim.SGD)},
        "its buffers have shapes .*mean",
    ),
    "method": ({"method": "paper"}, "has method = 'paper', this ExpTest 'calibrated'"),
    "max_lr": ({"max_lr": 0.3}, r"has max_lr = 0\.3, this ExpTest 0\.2"),
    "min_lr": ({"min_lr": 0.01}, r"has min_lr = 0\.01"),
    "alpha": ({"alpha": 0.1}, r"has alpha = 0\.1, this ExpTest 0\.05"),
    "beta": ({"beta": 0.5}, r"has beta = 0\.5"),
    "window": ({"min_window": 9}, "has min_window = 9, this ExpTest 8"),
    "factor": ({"divergence_factor": 20.0}, "has divergence_factor = 20"),
    "floor": ({"loss_floor": -1.0}, r"has loss_floor = -1\.0"),
    "schedule": ({"schedule": cosine}, "has schedule = CosineAnnealingLR, this ExpTest None"),
    "path": ({"path_correction": False}, "differ in path_correction"),
    "restart": ({"restart": None}, "has restart = None, this ExpTest 'initial'"),
    "function": ({"restart": int}, "has restart = 'a function', this ExpTest 'initial'"),
}


def spoil(*way: Any, value: Any = None, drop: bool = False) -> Callable[[Any], None]:
    """Return what changes or drops one entry of a state."""

    def change(state: Any) -> None:
        for key in way[:-1]:
            state = state[key]
        if drop:
            del state[way[-1]]
        else:
            state[way[-1]] = value

    return change


BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "unknown": (spoil("more", value=1), "its state lacks nothing and has more besides"),
    "missing": (spoil("rates", drop=True), "its state lacks rates and has nothing besides"),
    "unknown setting": (spoil("tuner", "settings", "gamma", value=1), "settings .* has gamma"),
    "missing setting": (spoil("tuner", "settings", "beta", drop=True), "settings lacks beta"),
    "missing machine": (spoil("tuner", "machine", "lr", drop=True), "machine lacks lr"),
    "unknown in window": (spoil("tuner", "window", "more", value=1), "window .* has more"),
    "no window": (spoil("tuner", "window", value=3), "window lacks bad, "),
    "broken decision": (spoil("tuner", "decisions", value=[{}]), "state of the tuner is broken"),
    "missing sums": (spoil("path", "sums", drop=True), "path lacks sums"),
    "unknown loss": (spoil("observations", "more", value=1), "observations .* has more"),
    "missing place": (spoil("restarts", "place", "memory", drop=True), "place lacks memory"),
    "missing rates": (spoil("rates", "began", drop=True), "rates lacks began"),
    "another optimizer": (spoil("optimizer", value="SGD"), "optimizer lacks class, shapes"),
}


@cache
def undisturbed() -> tuple[Training, ExpTest]:
    run, exptest = made()
    train(run, exptest, 0, 300)
    assert exptest.record.decisions
    return run, exptest


@pytest.mark.parametrize("other", [*OTHERS, *BROKEN])
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(other: str) -> None:
    run, exptest = made()
    train(run, exptest, 0, 70)
    if other in OTHERS:
        settings, message = OTHERS[other]
        stranger, strange = made(**settings)
        train(stranger, strange, 0, 40)
        state = strange.state_dict()
    else:
        change, message = BROKEN[other]
        state = copy.deepcopy(exptest.state_dict())
        change(state)
    with pytest.raises(ValueError, match=message):
        exptest.load_state_dict(state)
    train(run, exptest, 70, 300)
    whole, usual = undisturbed()
    assert repr(exptest.record) == repr(usual.record)
    assert same(run.weights(), whole.weights())


@pytest.mark.parametrize(("saved", "here"), [(None, cosine), (cosine, exponential)])
def test_a_state_with_another_schedule_is_refused(saved: Any, here: Any) -> None:
    run, exptest = made(schedule=here)
    state = made(schedule=saved)[1].state_dict()
    with pytest.raises(ValueError, match="the saved state has schedule = "):
        exptest.load_state_dict(state)
    assert exptest.get_last_lr() == [0.2]
    assert run.optimizer.param_groups[0]["lr"] == 0.2


def test_updates_before_a_state_was_loaded_do_not_count() -> None:
    run, exptest = made()
    train(run, exptest, 0, 3)
    state = copy.deepcopy(exptest.state_dict())
    run.update(3)
    exptest.load_state_dict(state)
    train(run, exptest, 3, 5)
    assert len(exptest.record.losses) == 5


def test_the_saved_ratios_of_the_groups_win_over_those_of_the_new_optimizer() -> None:
    run, exptest = made(ratios=(0.3, 1.0))
    train(run, exptest, 0, 3)
    load, (resumed, again) = through_a_file(exptest), made(ratios=(1.0, 0.5))
    load(again)
    assert again.get_last_lr() == exptest.get_last_lr()
    train(resumed, again, 3, 5)
    assert again.get_last_lr()[0] == pytest.approx(0.3 * again.get_last_lr()[1])


def longer(optimizer: torch.optim.Optimizer) -> Any:
    return lr_scheduler.CosineAnnealingLR(optimizer, 80)


def test_after_resuming_a_restart_begins_the_saved_schedule_again() -> None:
    run, exptest = made(schedule=cosine)
    train(run, exptest, 0, 5)
    load, (resumed, again) = through_a_file(run.model, exptest), made(schedule=longer)
    load(resumed.model, again)
    rates = []
    for training, test in ((run, exptest), (resumed, again)):
        decision, own = None, []
        while decision is None:
            training.update(5)
            decision = test.step(float("nan"))
        for number in range(4):
            test.step(training.update(number))
            own += test.get_last_lr()
        rates.append(own)
    assert rates[0] == rates[1]


def test_a_state_whose_buffers_have_other_shapes_is_refused() -> None:
    def begun(size: int) -> ExpTest:
        model = nn.Linear(2, 1)
        model.register_buffer("seen", torch.zeros(size))
        return ExpTest(torch.optim.SGD(model.parameters(), lr=1.0), max_lr=0.1, model=model)

    with pytest.raises(ValueError, match=r"buffers have shapes {'seen': \(4,\)}"):
        begun(3).load_state_dict(begun(4).state_dict())


def test_a_state_that_is_no_dict_is_refused() -> None:
    with pytest.raises(ValueError, match="its state lacks observations"):
        made()[1].load_state_dict([1, 2])  # type: ignore[arg-type]


def test_a_bound_computed_again_in_single_precision_is_the_same_setting() -> None:
    _, exptest = made()
    exptest.load_state_dict(made(max_lr=0.2 * (1 + 1e-6))[1].state_dict())
    assert exptest.tuner.max_lr == 0.2 * (1 + 1e-6)


def test_a_group_added_just_before_saving_is_in_the_state() -> None:
    def with_late_group(seed: int) -> tuple[Training, ExpTest, nn.Parameter]:
        run, exptest = made()
        late = nn.Parameter(torch.full((2,), float(seed), dtype=torch.float64))
        run.optimizer.add_param_group({"params": [late], "lr": 0.5})
        return run, exptest, late

    run, exptest, late = with_late_group(1)
    load = through_a_file(run.model, run.optimizer, exptest)
    resumed, again, _ = with_late_group(2)
    load(resumed.model, resumed.optimizer, again)
    assert again.get_last_lr() == [0.2, 0.1]
    assert same(again.state_dict()["restarts"]["place"]["tensors"][-1:], [late.detach()])


def test_memory_loaded_on_the_host_goes_to_its_parameters_device_but_for_counters() -> None:
    owner = torch.empty(2, device="meta")
    kept = _beside(
        owner, {"exp_avg": torch.ones(2), "step": torch.tensor(3.0), "old": [torch.ones(1)]}
    )
    assert [kept[name].device.type for name in ("exp_avg", "step")] == ["meta", "cpu"]
    assert kept["old"][0].device.type == "meta"


# -- small ---------------------------------------------------------------------------------


def size(*states: Any) -> int:
    file = io.BytesIO()
    torch.save(states, file)
    return file.tell()


def test_after_a_hundred_thousand_losses_the_state_is_model_open_window_and_decisions() -> None:
    torch.manual_seed(0)
    model = nn.Linear(100, 30)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    exptest = ExpTest(optimizer, max_lr=0.001, model=model)
    noise = np.random.default_rng(0).standard_normal(100_000)
    steps = np.arange(100_000)
    losses = 1 + np.exp(-steps / 3000) - 9e-6 * steps + 0.02 * noise
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for loss in losses:
        exptest._updates.made = 1  # an optimizer step, which costs most of the time
        exptest.step(loss)
    assert len(exptest.record.losses) == 100_000
    tensors = 3 * size(model.state_dict())  # a place with weights and momentum, one sum
    window, decisions = exptest.tuner.filled, len(exptest.record.decisions)
    assert window < 5000
    assert decisions > 20
    assert size(exptest.state_dict()) < tensors + 20 * window + 700 * decisions


def test_reading_the_record_copies_nothing() -> None:
    run, exptest = made()
    train(run, exptest, 0, 200)
    first, again = exptest.record, exptest.record
    assert first.decisions
    assert first.decisions is again.decisions
    assert np.shares_memory(first.losses, again.losses)
    assert np.shares_memory(first.factors, again.factors)
    seen = first.losses.copy()
    train(run, exptest, 200, 400)
    assert first.losses.tolist() == seen.tolist()
    assert len(first.losses) == 200
    with pytest.raises(ValueError, match="read-only"):
        first.losses[0] = 0.0
