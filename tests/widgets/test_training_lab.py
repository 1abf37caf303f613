"""TrainingLab trains exactly as `fit` does, and survives everything that a class does to it."""

from __future__ import annotations

import contextlib
import gc
import random
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import traitlets

from exptest import fit
from exptest.widgets import TrainingLab
from exptest.widgets.tasks import tasks
from exptest.widgets.training_lab import ASK_AGAIN_S
from exptest.widgets.training_run import OPTIMIZERS, Settings, WatchedRun

LINEAR = "linear regression, known spectrum"


@pytest.fixture
def lab() -> Iterator[TrainingLab]:
    panel = TrainingLab(speed="full speed", limit=1000)
    yield panel
    panel.close()


def fitted(run: WatchedRun) -> tuple[Any, torch.nn.Module]:
    """The same run by `fit`."""
    s, task = run.settings, run.task
    data = task.load()
    torch.manual_seed(s.seed)
    model = task.build(s)
    kind, options = OPTIMIZERS[s.optimizer]
    history = fit(
        model,
        (data.inputs, data.targets),
        loss_fn=task.loss_fn(),
        optimizer=kind(model.parameters(), lr=1.0, **options),
        batch_size=s.batch_size or None,
        steps=len(run.losses),
        max_lr=run.tuner.max_lr,
        alpha=s.alpha,
        beta=s.beta,
        method=s.method,
        seed=s.seed,
        progress=False,
    )
    return history, model


@pytest.mark.filterwarnings("ignore:nothing will be decided")  # the last one fills no window
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"start": 30.0, "seed": 4, "method": "paper"},
        {"task": "digits: softmax regression", "optimizer": "SGD, momentum 0.9"},
        {"task": LINEAR, "batch_size": 0, "beta": 0.5},
        {"task": "digits: convolutions", "width": 32, "optimizer": "Adam", "start": 0.01},
    ],
    ids=str,
)
def test_losses_decisions_and_weights_are_those_of_fit(settings: dict[str, Any]) -> None:
    lab = TrainingLab(speed="full speed", limit=400, **settings)
    lab.play()
    lab.join()
    assert lab.run is not None
    history, model = fitted(lab.run)
    assert len(lab.run.losses) == 400
    assert np.array_equal(lab.run.losses, history.losses, equal_nan=True)
    assert [str(d) for d in lab.run.decisions] == [str(d) for d in history.decisions]
    for ours, theirs in zip(lab.run.training.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    lab.close()


def test_step_one_window_ends_with_its_decision(lab: TrainingLab) -> None:
    lab.step_window()
    lab.join()
    assert lab.run is not None
    assert len(lab.run.decisions) == 1
    assert len(lab.run.losses) == lab.run.decisions[0].step + 1
    assert str(lab.run.decisions[0]) == lab.sentence()
    assert "1 of 1 decisions" in lab.table.value
    assert "test accuracy" in lab.status.value


def test_a_run_pauses_goes_on_and_ends_at_its_limit(lab: TrainingLab) -> None:
    lab.speed = "slow"
    lab.play()
    lab.pause()
    lab.join()
    assert lab.run is not None
    done = len(lab.run.losses)
    assert done < lab.limit
    lab.speed = "full speed"
    lab.play()
    lab.join()
    assert len(lab.run.losses) == lab.limit
    assert "(the limit)" in lab.status.value


def test_new_settings_wait_for_reset(lab: TrainingLab) -> None:
    lab.join()
    lab.seed = 7
    assert "Reset" in lab.pending.value
    lab.step_window()
    lab.join()
    assert "Reset" in lab.pending.value
    assert lab.run is not None
    assert lab.run.settings.seed == 0
    lab.reset()
    lab.join()
    assert lab.run.settings.seed == 7
    assert lab.run.losses == []
    assert lab.pending.value == ""


def test_an_earlier_run_is_laid_under_the_next(lab: TrainingLab) -> None:
    lab.advance(windows=1)
    lab.lay_over.value = True
    lab.reset()
    lab.join()
    assert lab.ghost is not None
    assert len(lab.ghost.losses) > 0
    lab.lay_over.value = False
    lab.advance(windows=1)
    lab.reset()
    lab.join()
    assert lab.ghost is None


def test_only_settings_that_the_task_has_can_be_moved(lab: TrainingLab) -> None:
    lab.task = "digits: softmax regression"
    assert lab.controls["width"].disabled
    assert lab.controls["depth"].disabled
    lab.task = "digits: network"
    assert not lab.controls["width"].disabled
    linear = TrainingLab(task=LINEAR)
    assert linear.controls["width"].disabled
    linear.close()


def test_the_heart_is_asked_again_until_a_browser_answers(
    lab: TrainingLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.join()
    asked: list[bool] = []
    lab.heart.observe(lambda change: asked.append(change["new"]), "playing")

    def beat(now: float) -> None:
        monkeypatch.setattr("exptest.widgets.training_lab.perf_counter", lambda: now)
        lab._beat()

    for now in (100.0, 100.0 + 0.9 * ASK_AGAIN_S):
        beat(now)
    assert asked == [True]
    beat(100.0 + 1.1 * ASK_AGAIN_S)
    assert asked == [True, False, True]
    lab.heart.value += 1
    for now in (100.0 + 3 * ASK_AGAIN_S, 100.0 + 9 * ASK_AGAIN_S):
        beat(now)
    assert asked == [True, False, True]


def test_the_heart_beats_while_a_run_plays_and_rests_with_it(lab: TrainingLab) -> None:
    lab.join()
    beats = threading.Event()
    lab.heart.observe(lambda change: change["new"] and beats.set(), "playing")
    lab.limit, lab.speed = 200_000, "slow"
    lab.play()
    beats.wait()
    lab.pause()
    lab.join()
    assert not lab.heart.playing


@pytest.mark.parametrize("batch_size", [0, 8])
def test_a_linear_task_is_predicted(batch_size: int) -> None:
    run = WatchedRun(Settings(task=LINEAR, batch_size=batch_size, start=0.5))
    while not run.decisions:
        run.step()
    (_, curve), *_ = run.predictions
    n = len(run.losses)
    if batch_size == 0:
        assert run.losses == pytest.approx(curve[:n], rel=1e-3)
    else:  # one run scatters around its mean
        assert np.mean(run.losses[-20:]) == pytest.approx(curve[n - 20 : n].mean(), rel=0.5)


def test_a_provisional_test_says_what_the_decision_will_say(lab: TrainingLab) -> None:
    run = WatchedRun(Settings())
    assert run.provisional() is None
    before = None
    while not run.decisions:
        before = run.provisional()
        run.step()
    assert before is not None
    assert before.verdict == run.decisions[0].verdict == "keep"


def test_an_error_while_training_is_shown_and_raised(
    lab: TrainingLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.join()
    assert lab.run is not None

    def broken() -> None:
        raise ArithmeticError("the disk is full")

    monkeypatch.setattr(lab.run, "step", broken)
    lab.play()
    with pytest.raises(ArithmeticError, match="the disk is full"):
        lab.join()
    assert "the disk is full" in lab.words.value
    lab.reset()
    lab.advance(windows=1)
    assert len(lab.run.decisions) == 1


def test_a_run_pauses_when_its_browser_is_gone(lab: TrainingLab) -> None:
    lab.limit, lab.speed = 200_000, "slow"
    lab.play()
    lab._heard = -1e9
    lab.join()
    assert lab.run is not None
    assert len(lab.run.losses) < lab.limit


def test_bad_settings_are_named() -> None:
    with pytest.raises(TypeError, match="TrainingLab has no setting 'rate'"):
        TrainingLab(rate=0.1)
    with pytest.raises(traitlets.TraitError, match="alpha"):
        TrainingLab(alpha=2.0)
    with pytest.raises(traitlets.TraitError, match="digits"):
        TrainingLab(task="imagenet")


def test_every_task_on_this_machine_takes_a_step() -> None:
    for name, task in tasks().items():
        if task.needs is None:
            run = WatchedRun(Settings(task=name))
            run.step()
            assert np.isfinite(run.losses[0])


def act(lab: TrainingLab, draw: random.Random) -> None:
    """One thing that a hand on the controls might do."""
    actions: list[Any] = [lab.play, lab.pause, lab.step_window, lab.reset]
    names = ["task", "width", "depth", "batch_size", "optimizer", "method", "seed", "speed"]
    choice = draw.randrange(9)
    if choice < 4:
        actions[choice]()
    elif choice == 4:
        lab.lay_over.value = draw.random() < 0.5
    elif choice == 5:
        lab.start = draw.choice([0.01, 1.0, 1000.0])
    elif choice == 6:
        lab.beta = draw.uniform(0.1, 0.9)
    else:
        control = lab.controls.get(draw.choice(names))
        if control is not None and hasattr(control, "options"):
            control.value = draw.choice([value for _, value in control.options])
        elif control is not None:
            control.value = draw.randrange(control.min, min(control.max, 64), control.step)


def test_two_hundred_random_actions_leave_it_working(as_users_do: None) -> None:
    draw, process = random.Random(0), psutil.Process()
    lab = TrainingLab(speed="full speed", limit=600)
    lab.advance(windows=1)
    for _ in range(50):
        act(lab, draw)
    lab.pause()
    lab.join()
    gc.collect()
    before = process.memory_info().rss
    for _ in range(200):
        act(lab, draw)
        with contextlib.suppress(TimeoutError):
            lab.join(draw.choice([0.0, 0.01, 0.05]))
    lab.task, lab.speed, lab.start, lab.lay_over.value = LINEAR, "full speed", 1.0, False
    lab.reset()
    lab.play()
    lab.join()
    gc.collect()
    assert lab.run is not None
    assert len(lab.run.losses) == lab.limit
    assert process.memory_info().rss - before < 50e6
    lab.close()
    assert [t for t in threading.enumerate() if t.name.startswith("exptest")] == []
