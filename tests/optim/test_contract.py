"""What every optimizer is promised: a restart is a fresh run, resuming changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from exptest.optim import ExpTest
from exptest.record import Decision
from tests.optim.bases import Base, Training, base, other_names, through_a_file, torch_names
from tests.optim.run import same

pytestmark = [
    pytest.mark.usefixtures("as_users_do"),
    # torch's SequentialLR calls its parts as older versions of torch themselves advise against.
    pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning"),
]
NAMES = [*torch_names(), *other_names()]


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    """NAdam keeps a number in the default precision; torch loads it in that of the weights."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(params=NAMES)
def any_base(request: pytest.FixtureRequest) -> Base:
    if "." in request.param:
        pytest.importorskip(request.param.split(".")[0])
    return base(request.param)


# -- a restart is a fresh run --------------------------------------------------------------


@pytest.mark.claim("C7.14")
def test_a_restart_is_a_fresh_run_at_the_smaller_rate_to_the_bit(any_base: Base) -> None:
    run = Training(any_base, rate=any_base.rate)
    exptest = ExpTest(run.optimizer, max_lr=any_base.rate, model=run.model, min_window=8)

    def shown(number: int) -> float:
        return 10 * any_base.rate * (1 + 1e-3 * number)  # rising: any rate is rejected

    decision, number = None, 0
    while decision is None:
        run.update(number)
        decision, number = exptest.step(shown(number)), number + 1
    assert decision.restarts
    fresh = Training(any_base, rate=exptest.get_last_lr()[0])
    assert same(run.weights(), fresh.weights())
    for number in range(12):
        run.update(number)
        fresh.update(number)
        assert exptest.step(shown(number)) is None
        assert same(run.weights(), fresh.weights()), number


class Counting(torch.optim.Optimizer):
    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "k": 0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["k"] += 1
            for p in group["params"]:
                p -= group["lr"] / group["k"] * p.grad


def test_counters_that_an_optimizer_keeps_in_its_groups_restart_too_and_after_resuming() -> None:
    def begun(seed: int) -> tuple[Training, ExpTest]:
        run = Training(Base("Counting", Counting), rate=1.0, seed=seed)
        return run, ExpTest(run.optimizer, max_lr=1e-3, min_window=8, path_correction=False)

    (run, exptest), (resumed, again) = begun(0), begun(1)
    before = run.weights()
    for number in range(7):
        run.update(number)
        assert exptest.step(1e-3 * (1 + number)) is None
    assert run.optimizer.param_groups[0]["k"] == 7
    through_a_file(run.model, run.optimizer, exptest)(resumed.model, resumed.optimizer, again)
    for training, test in ((run, exptest), (resumed, again)):
        training.update(7)
        assert test.step(1e-2).restarts
        assert training.optimizer.param_groups[0]["k"] == 0
        assert same(training.weights(), before)


@pytest.mark.parametrize("known", [True, False])
def test_running_statistics_restart_with_the_model_and_only_with_it(known: bool) -> None:
    class Normal(Base):
        def model(self) -> nn.Module:
            return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 1)).double()

    adam = Normal("Adam", torch.optim.Adam)
    run, fresh = Training(adam, rate=0.1), Training(adam, rate=0.1 * 0.33)
    if known:
        exptest = ExpTest(run.optimizer, max_lr=0.1, model=run.model, min_window=8)
    else:
        with pytest.warns(UserWarning, match=r"BatchNorm1d hold buffers .* pass model="):
            exptest = ExpTest(run.optimizer, max_lr=0.1, min_window=8)
    decision, number = None, 0
    while decision is None:
        run.update(number)
        decision, number = exptest.step(1 + 1e-3 * number), number + 1
    assert decision.restarts
    for number in range(6):
        run.update(number)
        fresh.update(number)
        exptest.step(1.0)
    weights = [list(x.model.parameters()) for x in (run, fresh)]
    buffers = [list(x.model.buffers()) for x in (run, fresh)]
    assert same(*weights)  # in training mode the statistics are not used
    assert same(*buffers) is known


# -- resuming ------------------------------------------------------------------------------

SCHEDULES: dict[str, Any] = {
    "warm-up": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=20),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + 0.01 * step)),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 50, eta_min=1e-5),
    "cycle": lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=400, cycle_momentum=False),
    "two": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, 0.1, total_iters=9), lr_scheduler.ExponentialLR(o, 0.99)],
        milestones=[9],
    ),
}


def drawn(draw: random.Random, base: Base) -> dict[str, Any]:
    """Settings at random: of ExpTest, and how the training is built."""
    max_lr = base.rate * 10 ** draw.uniform(-1, 1)
    return {
        "ratios": (1.0,) if base.one_rate else draw.choice([(1.0,), (0.3, 1.0)]),
        "schedule": draw.choice([None, *SCHEDULES]),
        "restart": draw.choice(["initial", "initial", None, "function"]),
        "max_lr": max_lr,
        "alpha": draw.choice([0.01, 0.05, 0.3]),
        "beta": draw.uniform(0.2, 0.9),
        "method": draw.choice(["calibrated", "paper"]),
        "min_window": draw.choice([4, 8, 15]),
        "min_lr": draw.choice([None, 0.3 * max_lr]),
        "divergence_factor": draw.choice([2.0, 10.0]),
        "loss_floor": draw.choice([0.0, -0.1]),
        "path_correction": draw.random() < 0.7,
    }


class Story:
    """A training with ExpTest, and what it has been told."""

    def __init__(self, base: Base, settings: dict[str, Any], seed: int = 0) -> None:
        settings = dict(settings)
        self.scale = 6 * settings["max_lr"]  # of the losses: windows of a few steps
        ratios, schedule = settings.pop("ratios"), settings.pop("schedule")
        if len([*base.model().parameters()]) < len(ratios):
            ratios = (1.0,)
        self.run = Training(base, rate=base.rate, ratios=ratios, seed=seed)
        if settings["restart"] == "function":
            settings["restart"] = self.halve
        self.exptest = ExpTest(
            self.run.optimizer,
            schedule=SCHEDULES[schedule](self.run.optimizer) if schedule else None,
            **settings,
        )
        self.told: list[str] = []

    @torch.no_grad()
    def halve(self) -> None:
        for p in self.run.model.parameters():
            p.mul_(0.5)

    def train(self, first: int, last: int) -> None:
        for number in range(first, last):
            loss = self.run.update(number)
            try:
                decision: Decision | None = self.exptest.step(self.scale * loss.detach())
            except (RuntimeError, ValueError) as error:  # weights are lost: told the same way
                self.told.append(f"{number} {error}")
            else:
                self.told += [repr(decision)] if decision else []
            self.told.append(repr(self.exptest.get_last_lr()))


@pytest.mark.parametrize("seed", range(2))
def test_resuming_in_a_window_changes_no_bit_whatever_the_settings(
    any_base: Base, seed: int
) -> None:
    draw = random.Random(f"{any_base.name} {seed}")
    settings, steps = drawn(draw, any_base), 90
    cut = draw.randrange(1, steps)
    whole, killed = Story(any_base, settings), Story(any_base, settings)
    whole.train(0, steps)
    killed.train(0, cut)
    load = through_a_file(killed.run.model, killed.run.optimizer, killed.exptest)
    resumed = Story(any_base, settings, seed=99)
    load(resumed.run.model, resumed.run.optimizer, resumed.exptest)
    resumed.train(cut, steps)
    assert killed.told + resumed.told == whole.told
    assert repr(resumed.exptest.record.decisions) == repr(whole.exptest.record.decisions)
    bits = [[w.numpy().tobytes() for w in story.run.weights()] for story in (whole, resumed)]
    assert bits[0] == bits[1]  # nan included


def test_after_resuming_a_divergence_goes_back_with_the_optimizers_memory(any_base: Base) -> None:
    def begun(seed: int) -> tuple[Training, ExpTest]:
        run = Training(any_base, rate=any_base.rate, seed=seed)
        return run, ExpTest(run.optimizer, max_lr=any_base.rate, model=run.model, min_window=8)

    run, exptest = begun(0)
    number, extra = 0, 3
    while extra:
        run.update(number)
        exptest.step(10 * any_base.rate * 0.8**number)  # falls: the first rate is kept
        number, extra = number + 1, extra - (exptest.tuner.phase == "tune")
    load, (resumed, again) = through_a_file(run.model, run.optimizer, exptest), begun(1)
    load(resumed.model, resumed.optimizer, again)
    weights = []
    for training, test in ((run, exptest), (resumed, again)):
        training.update(number)
        with torch.no_grad():
            next(training.model.parameters()).fill_(float("nan"))
        decision = test.step(float("nan"))
        assert decision is not None
        assert decision.phase == "tune"
        assert decision.kind == "divergence"
        for later in range(5):
            training.update(later)
            test.step(1e-3)
        weights.append(training.weights())
    assert same(*weights)


def test_the_settings_drawn_lead_to_decisions_of_every_kind() -> None:
    kinds = set()
    for name in ("SGD", "SGD momentum", "Adam"):
        for seed in range(4):
            draw = random.Random(f"{name} {seed}")
            story = Story(base(name), drawn(draw, base(name)))
            story.train(0, 90)
            kinds |= {(d.kind, d.accepted) for d in story.exptest.record.decisions}
    assert {("exponential", True), ("exponential", False), ("slope", False)} <= kinds
    assert {kind for kind, _ in kinds} == {"exponential", "slope", "divergence"}
