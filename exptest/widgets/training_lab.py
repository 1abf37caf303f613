"""TrainingLab: watch ExpTest think while a network learns."""

from __future__ import annotations

from collections import deque
from dataclasses import fields
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any

import ipywidgets as widgets
import torch
import traitlets

from exptest.record import Record
from exptest.widgets import controls
from exptest.widgets.canvas import DRAWING
from exptest.widgets.controls import choice, counter, log_slider, slider
from exptest.widgets.panel import Panel
from exptest.widgets.tasks import tasks
from exptest.widgets.training_export import export, write_csv, write_figure
from exptest.widgets.training_picture import RunPicture
from exptest.widgets.training_run import OPTIMIZERS, Settings, WatchedRun
from exptest.widgets.training_words import put, status, table
from exptest.widgets.wording import told

FRAMES_PER_SECOND = 11
DRAWING_SHARE = 0.3
SPEEDS = {"slow": 60.0, "medium": 300.0, "fast": 1500.0, "full speed": float("inf")}
HEARTBEAT_MS, ASK_AGAIN_S, SILENCE_S = 1000, 3.0, 15.0


class TrainingLab(Panel):
    """Live ExpTest: press Play and watch the loss, the window, the fits, p and the rate.

    Every setting of `Settings` is a trait and an argument, and so are ``speed`` and ``limit``, the
    number of steps after which a run ends. A new setting takes effect with Reset. The run is
    exactly that of `exptest.fit` with the same seed; `code` returns the cell that repeats it.

    A panel sets torch to one thread for the whole process: small networks train fastest so beside a
    browser, and the last bits of a run depend on that number.

    >>> lab = TrainingLab(task="linear regression, known spectrum", seed=3)
    >>> lab.advance(windows=1)
    >>> lab.run.decisions[0].kind
    'exponential'
    >>> lab.close()
    """

    title = "Training lab"
    size = (960, 520)

    task = choice("digits: network", tuple(tasks()), "task")
    width = counter(128, 4, 512, "hidden units", step=4)
    depth = counter(1, 1, 4, "hidden layers")
    batch_size = choice(32, (1, 4, 8, 16, 32, 64, 128, 256, 512, 0), "batch size (0: all)")
    optimizer = choice("SGD", tuple(OPTIMIZERS), "optimizer")
    method = choice("calibrated", ("calibrated", "paper"), "method")
    alpha = slider(0.05, 0.001, 0.5, "level α", step=0.001, form=".3f")
    beta = slider(0.33, 0.05, 0.95, "factor β")
    start = log_slider(1.0, 0.01, 1000.0, "start, × η_max")
    seed = counter(0, 0, 99, "seed")
    speed = choice("medium", tuple(SPEEDS), "speed")
    limit = counter(20_000, 100, 200_000, "steps at most", step=100)

    def __init__(self, **state: Any) -> None:
        torch.set_num_threads(1)
        self._orders: deque[str] = deque()
        self._mode = "pause"
        self._next_frame = 0.0
        self._heard: float | None = None
        self._asked = 0.0
        self._drawn = Event()
        self.run: WatchedRun | None = None
        self.ghost: Record | None = None
        super().__init__(**state)
        for shape in ("width", "depth"):
            traitlets.dlink(
                (self, "task"), (self.controls[shape], "disabled"),
                lambda task, shape=shape: shape not in tasks()[task].uses,
            )  # fmt: skip
        self.picture = RunPicture(self.canvas)
        self._order("reset")

    # -- from Python -------------------------------------------------------------------------

    def play(self) -> None:
        """Train until `pause` or until ``limit`` steps are done; returns at once."""
        self._order("play")

    def pause(self) -> None:
        """Stop training; `play` goes on."""
        self._order("pause")

    def step_window(self) -> None:
        """Train to the end of the current window, however far it grows."""
        self._order("window")

    def reset(self) -> None:
        """Begin again, with the settings as they are now."""
        self._order("reset")

    def advance(self, *, windows: int) -> None:
        """Train to the end of the ``windows``-th window from here, and wait for the picture."""
        for _ in range(windows):
            self.step_window()
            self.join()

    @property
    def settings(self) -> Settings:
        """The settings as they are now; the run keeps those that it began with."""
        return Settings(**{field.name: getattr(self, field.name) for field in fields(Settings)})

    def code(self) -> str:
        """Return Python that makes the same run with `exptest.fit`."""
        return self._current().code()

    def to_csv(self, path: str | Path) -> Path:
        """Write one row per step, ``loss`` and ``lr``: `exptest.replay` reads it."""
        return write_csv(self._current(), path)

    def save_figure(self, path: str | Path) -> Path:
        """Write the whole run as a picture, PNG or SVG by the name's ending."""
        return write_figure(self._current(), path)

    def sentence(self) -> str:
        """Return the last decision, or what is waited for."""
        run = self.run
        if run is None or not run.losses:
            return f"{self.task}: press Play."
        if run.decisions:
            return run.decisions[-1].reason
        return f"step {len(run.losses)}: the first window is not full yet."

    # -- the panel ---------------------------------------------------------------------------

    def _children(self) -> list[widgets.Widget]:
        actions = {
            "Play": ("play", "train until paused", self.play),
            "Pause": ("pause", "stop training, keep everything", self.pause),
            "Step one window": ("step-forward", "train to this window's end", self.step_window),
            "Reset": ("refresh", "begin again with the settings below", self.reset),
        }
        exports = {
            "CSV": ("table", "write every loss and rate", lambda: self._export("csv")),
            "PNG": ("image", "write the picture", lambda: self._export("png")),
            "SVG": ("object-group", "write the picture as vectors", lambda: self._export("svg")),
            "Code": ("code", "the Python that repeats this run", lambda: self._export("code")),
        }
        self.buttons = {}
        for label, (icon, tooltip, act) in (actions | exports).items():
            style = "primary" if label == "Play" else ""
            self.buttons[label] = controls.button(label, icon, tooltip, style=style)
            self.buttons[label].on_click(lambda _, act=act: act())
        self.lay_over = widgets.ToggleButton(
            description="Lay over", icon="clone",
            tooltip="keep this run in the picture after Reset", layout=widgets.Layout(width="auto"),
        )  # fmt: skip
        self.status, self.pending, self.table, self.exported = (widgets.HTML() for _ in range(4))
        self.heart = widgets.Play(max=10**9, interval=HEARTBEAT_MS)
        self.heart.layout.display = "none"
        self.heart.observe(self._hear, "value")
        speed = self.controls.pop("speed")
        speed.layout.width, speed.style.description_width = "180px", "60px"
        self.words.layout.min_height = "84px"  # three lines: the picture stays where it is
        first = [self.buttons[name] for name in actions]
        last = [self.buttons[name] for name in exports]
        return [
            controls.row(*first, self.lay_over, speed),
            self.status,
            self.words,
            self.canvas.image,
            controls.row(*self.controls.values()),
            self.pending,
            self.table,
            controls.row(*last, self._keep),
            self.exported,
            self.heart,
        ]

    def _changed(self, name: str) -> None:
        self._remind()

    def _remind(self) -> None:
        pending = self.run is not None and self.run.settings != self.settings
        put(self.pending, told("Settings changed: Reset begins a run with them.") * pending)

    def refresh(self) -> None:
        """Ask for a new frame; returns at once."""
        if hasattr(self, "picture"):
            self.worker.wake()

    def _order(self, order: str) -> None:
        self._orders.append(order)
        self._heard = None
        self.refresh()

    def _await_picture(self, *, live: bool) -> None:
        if live and (self._orders or self._mode == "play"):
            self._drawn.wait(10)  # shown while it plays
        else:
            self.join()

    def _current(self) -> WatchedRun:
        if self._mode == "pause":
            self.join()
        if self.run is None:
            raise RuntimeError("the panel is closed and has made no run; make a new TrainingLab.")
        return self.run

    # -- on the thread -----------------------------------------------------------------------

    def _work(self) -> bool:
        obeyed = self._obey()
        run = self.run
        assert run is not None
        if self._mode != "pause":
            self._beat()
            self._train(run)
        now = perf_counter()
        if obeyed or now >= self._next_frame or self._mode == "pause":
            with DRAWING:
                self.picture.frame(run, self.ghost)
            self._report(run)
            self._drawn.set()
            spent = perf_counter() - now
            self._next_frame = now + max(1 / FRAMES_PER_SECOND, spent / DRAWING_SHARE)
        if self._mode == "pause":
            self.heart.playing = False
        return self._mode != "pause" or bool(self._orders)

    def _obey(self) -> bool:
        obeyed = bool(self._orders)
        while self._orders:
            order = self._orders[0]
            if order == "reset" or self.run is None:
                self._begin()
            if order != "reset":
                self._mode = order
            self._orders.popleft()
        return obeyed

    def _begin(self) -> None:
        self._mode = "pause"
        over = self.lay_over.value and self.run is not None and self.run.losses
        self.ghost = self.run.record() if over and self.run is not None else None
        self.run = WatchedRun(self.settings)

    def _train(self, run: WatchedRun) -> None:
        """Train until the next frame is due, a window ends, or an order arrives."""
        began, pace = perf_counter(), SPEEDS[self.speed]
        done = 0
        while not self._orders and not self.worker.stopped.is_set():
            if len(run.losses) >= self.limit or self._alone():
                self._mode = "pause"
                return
            if done >= pace * (perf_counter() - began) + 1:
                self.worker.stopped.wait(min(1 / pace, 0.02))
            else:
                decision = run.step()
                done += 1
                ended = decision is not None and decision.verdict != "undecided"
                if ended and self._mode == "window":
                    self._mode = "pause"
                    return
            if perf_counter() >= self._next_frame:
                return

    def _show_error(self, error: BaseException) -> None:
        self._mode = "pause"
        self._orders.clear()
        self.heart.playing = False
        self._drawn.set()
        super()._show_error(error)

    def _beat(self) -> None:
        """Have the browser count seconds; ask again until it does, for it may yet have to come."""
        now = perf_counter()
        if self._heard is None and now > self._asked + ASK_AGAIN_S:
            self.heart.playing, self._asked = False, now
        self.heart.playing = True

    def _hear(self, _: Any) -> None:
        self._heard = perf_counter()

    def _alone(self) -> bool:
        """Whether a browser was there, and is gone."""
        return self._heard is not None and perf_counter() - self._heard > SILENCE_S

    def _report(self, run: WatchedRun) -> None:
        put(self.status, status(run, self.limit))
        put(self.words, told(self.sentence()))
        put(self.table, table(run))
        self._remind()

    def _export(self, kind: str) -> None:
        self.exported.value = export(self.run, kind)
