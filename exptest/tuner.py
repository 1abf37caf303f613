"""The state machine: losses in, learning rates out. It knows statistics and no network.

    search ──exponential decay──▶ tune        η kept
    search ──no decay───────────▶ search      η ← βη, training starts again
    tune   ──still decreasing───▶ tune        η kept
    tune   ──stopped────────────▶ tune        η ← βη, the weights stay
    any    ──too short to tell──▶ the same    the window grows (calibrated only)
    any    ──loss explodes──────▶ the same    η ← βη at once (calibrated only)

`theory/07-the-tuner.md` states what this guarantees.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from exptest import _checks
from exptest._judge import Judgement, judge, judge_paper
from exptest._open_window import OpenWindow
from exptest._plain import from_plain, to_plain
from exptest._series import Series
from exptest.record import Decision, Record
from exptest.statistics import window_length
from exptest.statistics.phases import as_period
from exptest.statistics.spending import spent

MIN_WINDOW = 32
# Mini-batch losses scatter, of single examples over orders of magnitude: so many are asked.
PERSISTENCE = 8
MIN_LR_FACTOR = 1e-12
# What a state holds.
SETTINGS = (
    "max_lr", "alpha", "beta", "method", "min_lr", "min_window", "divergence_factor", "loss_floor",
    "period",
)  # fmt: skip
MACHINE = ("lr", "phase", "initial_loss", "_harmless", "_skipped", "_below", "_windows")


class Tuner:
    """Choose the learning rate from the losses alone.

    The rate starts at ``max_lr``. After every window of N = round(2√2 L₀/(e η)) losses, times
    the path ratio ρ if one is given, hypothesis tests decide whether η stays or becomes βη.
    Calibrated, a window that says neither is too short: it grows to twice as many losses.

    Args:
        max_lr: the largest rate that could be stable, see `max_learning_rate`.
        alpha: in (0, 1): of a search that accepts a flat loss, of a run in which a decline worth
            having is ever called none (calibrated, theory/07); of each test (paper).
        beta: factor by which a rejected rate shrinks, in (0, 1).
        method: ``"calibrated"`` or ``"paper"`` (theory/07 lists every difference).
        min_lr: the rate never falls below it; default 1e-12 × max_lr.
        min_window: fewest losses in a window. Default 32 when calibrated (theory/04), else 1.
        divergence_factor: a loss above this many times the largest harmless one (the first, the
            window's first, any of an accepted window) rejects at once; with a path ratio, eight
            in a row are asked for, and the window's first eight on average (calibrated only).
        loss_floor: the smallest value the loss can take, loss units; L₀ and explosions are
            measured from it. A log-likelihood or a policy's loss needs it: see theory/04.
        period: losses after which their shape comes back, those of an epoch; from windows that
            hold two of them that shape is removed (calibrated only, see `exponential_test`).

    Attributes:
        lr, phase: η, and ``"search"`` or ``"tune"``.
        initial_loss: L₀, height over the floor of the first loss or, on mini-batches, of a search
            window's first eight on average if that is more (calibrated); None before it is known.

    Raises:
        ValueError, TypeError: an argument is out of range; the message says what to try.

    A loss that halves every step:

    >>> tuner = Tuner(max_lr=0.5, min_window=8)
    >>> decisions = [tuner.observe(0.5**t) for t in range(8)]
    >>> decisions[-1].accepted, tuner.lr, tuner.phase
    (True, 0.5, 'tune')

    Claims C7.1 to C7.6, C7.13 and C7.16 to C7.19.
    """

    def __init__(
        self,
        max_lr: float,
        *,
        alpha: float = 0.05,
        beta: float = 0.33,
        method: str = "calibrated",
        min_lr: float | None = None,
        min_window: int | None = None,
        divergence_factor: float = 10.0,
        loss_floor: float = 0.0,
        period: int = 1,
    ) -> None:
        self.max_lr = _checks.positive("max_lr", max_lr, 0.1)
        self.alpha = _checks.open_unit("alpha", alpha, 0.05)
        self.beta = _checks.open_unit("beta", beta, 0.33)
        self.method = _checks.one_of("method", method, ("calibrated", "paper"))
        lowest = self.max_lr * MIN_LR_FACTOR
        self.min_lr = lowest if min_lr is None else _checks.positive("min_lr", min_lr, lowest)
        _checks.at_most("min_lr", self.min_lr, "max_lr", self.max_lr, lowest)
        if min_window is None:
            min_window = MIN_WINDOW if method == "calibrated" else 1
        self.min_window = _checks.at_least("min_window", min_window, 1, MIN_WINDOW)
        self.divergence_factor = _checks.positive("divergence_factor", divergence_factor, 10.0)
        self.loss_floor = _checks.finite("loss_floor", loss_floor, 0.0)
        self.period = as_period(period)
        self.lr, self.phase = self.max_lr, "search"
        self._losses, self._factors = Series(), Series()
        self._decisions: tuple[Decision, ...] = ()
        self.initial_loss: float | None = None
        self._harmless, self._skipped, self._below, self._windows = 0.0, 0, False, 0
        self._window = OpenWindow()

    @property
    def window(self) -> int | None:
        """Losses that the current window will hold (before ρ is known: N); None without L₀."""
        return self._window.target

    @property
    def filled(self) -> int:
        """Losses in the current window so far."""
        return self._window.filled

    @property
    def measuring(self) -> bool:
        """Whether the current window still measures its path ratio (its first N − 1 steps)."""
        return self._window.measuring

    @property
    def attention_in(self) -> int:
        """Losses until the tuner next consults the path ratio or decides, at least 1."""
        return self._window.attention_in

    @property
    def next_decision_in(self) -> int | None:
        """Losses until the window is full, at least (ρ may lengthen it); None without L₀."""
        return None if self.window is None else self._window.left

    @property
    def levels(self) -> tuple[float, float]:
        """α, and the share of it that the next look may spend: α/(w(w + 1) j(j + 1))."""
        looks = self._window.looks
        return self.alpha, spent(spent(self.alpha, self._windows + (not looks)), looks + 1)

    @property
    def record(self) -> Record:
        """Everything seen and decided so far, frozen."""
        return Record(
            losses=self._losses.view(),
            decisions=self._decisions,
            **{name: getattr(self, name) for name in ("max_lr", "alpha", "beta", "method")},
            factors=self._factors.view(),
            window=self.window,
            initial_loss=self.initial_loss,
            skipped=self._skipped,
        )

    def observe(
        self,
        loss: float,
        *,
        path_ratio: float | Callable[[], float] | None = None,
        factor: float = 1.0,
        broken: Callable[[], bool] | None = None,
    ) -> Decision | None:
        """Take the loss of one step; return the decision if a window ends here.

        Args:
            loss: training loss before the step's update, loss units. A non-finite one is skipped
                and counted; it is a divergence (calibrated) when the weights are broken, on full
                batches, and when it is the eighth in a row.
            path_ratio: ρ = Σ‖g‖/‖Σg‖ ≥ 1 of this window, or a function that computes it (called
                once, after N − 1 losses). None: full batch, no correction.
            factor: of a schedule, by which this step's rate was multiplied.
            broken: asked at a non-finite loss: whether the weights are not finite.

        Raises:
            ValueError: the loss is below ``loss_floor`` before a window has ended, or ρ < 1.
        """
        self._check_floor(loss := float(loss))
        self._losses.append(loss)
        self._factors.append(factor)
        if self.initial_loss is None and self.loss_floor < loss < math.inf:
            self._harmless = loss - self.loss_floor
            self._begin_window()
        window = self._window
        if window.planned is not None or not math.isfinite(loss):
            window.losses.append(loss)
        patience = 1 if path_ratio is None else PERSISTENCE
        if self.method == "calibrated":
            scale = (self.loss_floor, self.divergence_factor, self._harmless)
            if window.diverges(loss, *scale, patience, broken):
                return self._decide(None)
        if window.planned is None or (self.method == "calibrated" and not math.isfinite(loss)):
            self._skipped += not math.isfinite(loss)
            return None
        if path_ratio is not None and window.filled == window.planned - 1:
            self._plan()
            if not window.measuring:
                ratio = path_ratio() if callable(path_ratio) else path_ratio
                window.lengthen(_checks.path_ratio(ratio))
        return self._decide(self._judge()) if window.full else None

    def _check_floor(self, loss: float) -> None:
        """Below its floor a loss has no scale: L₀ would hang on the sign of one sample."""
        if not -math.inf < loss < self.loss_floor - 1e-6 * (self.initial_loss or 0.0):
            return
        text = _checks.BELOW_FLOOR.format(len(self._losses), loss, self.loss_floor)
        if not self._decisions:
            raise ValueError(text)
        if not self._below:
            warnings.warn(text, stacklevel=3)
            self._below = True

    def _judge(self) -> Judgement:
        window, losses = self._window, np.array(self._window.held())
        if self.method == "paper":
            return judge_paper(losses, self.phase, self.alpha)
        levels, self._windows = self.levels, self._windows + (not window.looks)
        return judge(losses, self.phase, window.horizon, levels, window.period(self.period))

    def _decide(self, judged: Judgement | None) -> Decision:
        """Act on a full window, or on a divergence (None)."""
        verdict = judged.verdict if judged else "shrink"
        before, window = self.lr, self._window
        if verdict == "shrink":
            self.lr = max(self.beta * before, self.min_lr)
        elif verdict == "keep":
            self._harmless = max(self._harmless, max(window.held()) - self.loss_floor)
        decision = Decision(
            step=len(self._losses) - 1,
            kind=judged.kind if judged else "divergence",
            verdict=verdict,
            test=judged.test if judged else None,
            lr_before=before,
            lr_after=self.lr,
            window=self.filled,
            path_ratio=window.path_ratio,
            loss=window.losses[-1],
            alpha=judged.alpha if judged else self.alpha,
            phase=self.phase,
            skipped=window.skipped,
            trend=judged.trend if judged else None,
            seen=window.seen,
        )
        self._decisions = (*self._decisions, decision)
        if verdict == "undecided":
            window.watch_on()
        else:
            if verdict == "keep" or self.lr == before:  # at the smallest rate a search ends, too
                self.phase = "tune"
            self._begin_window()
        return decision

    def _begin_window(self) -> None:
        self._window = OpenWindow()
        if self._harmless:
            self._plan()

    def _plan(self) -> None:
        """Say how many losses it will hold. One loss may be tiny by chance, eight are not."""
        if self.phase == "search":  # nothing is accepted yet: the first loss alone is harmless
            several = self._window.height(PERSISTENCE, self.loss_floor)
            self.initial_loss = max(self._harmless, several * (self.method == "calibrated"))
        self._window.plan(max(window_length(self.initial_loss, self.lr), self.min_window))

    # -- how it is kept --------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides what comes next, in plain types.

        Of the losses only those of the open window are kept: the state does not grow with them.
        """
        return {
            "settings": {name: getattr(self, name) for name in SETTINGS},
            "machine": {name: getattr(self, name) for name in MACHINE},
            "steps": len(self._losses),
            "window": asdict(self._window),
            "factors": self._factors.last(len(self._window.losses)),
            "decisions": [to_plain(decision) for decision in self._decisions],
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Tuner:
        """Return a tuner that goes on from ``state``; earlier losses of its record are nan."""
        tuner = cls(**state["settings"])
        for name in MACHINE:
            setattr(tuner, name, state["machine"][name])
        tuner._window = OpenWindow(**copy.deepcopy(state["window"]))
        tuner._decisions = tuple(map(from_plain, state["decisions"]))
        tuner._losses = Series.ending(tuner._window.losses, length=state["steps"])
        tuner._factors = Series.ending(state["factors"], length=state["steps"])
        return tuner
