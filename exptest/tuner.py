"""The state machine: losses in, learning rates out. It knows statistics and no network.

    search ──exponential decay──▶ tune        η kept
    search ──no decay───────────▶ search      η ← βη, training starts again
    tune   ──still decreasing───▶ tune        η kept
    tune   ──not decreasing─────▶ tune        η ← βη, the weights stay
    any    ──loss explodes──────▶ the same    η ← βη at once (calibrated only)

`theory/07-the-tuner.md` states what this guarantees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from exptest import _checks
from exptest.record import Decision, Kind, Record, TestResult
from exptest.statistics import exponential_test, slope_test, window_length

MIN_WINDOW = 32
DIVERGENCE_FACTOR = 10.0
# Mini-batch losses scatter, of single examples over orders of magnitude: so many in a row.
PERSISTENCE = 8
MIN_LR_FACTOR = 1e-12


class Tuner:
    """Choose the learning rate from the losses alone.

    The rate starts at ``max_lr``. After every window of N = round(2√2 L₀/(e η)) losses, times
    the path ratio ρ if one is given, one hypothesis test decides whether η stays or becomes βη.

    Args:
        max_lr: the largest rate that could be stable, see `max_learning_rate`.
        alpha: level of both tests, in (0, 1).
        beta: factor by which a rejected rate shrinks, in (0, 1).
        method: ``"calibrated"`` or ``"paper"`` (theory/07 lists every difference).
        min_lr: the rate never falls below it; default 1e-12 × max_lr.
        min_window: fewest losses in a window, in steps. Default 32 when calibrated (theory/04
            says why), 1 in paper mode.
        divergence_factor: a loss above this many times the largest harmless one (L₀, the
            window's first, any of an accepted window) rejects at once; with a path ratio, when
            eight in a row are (calibrated only).

    Raises:
        ValueError, TypeError: an argument is out of range; the message says what to try.

    A loss that halves every step is kept, and the decision says why:

    >>> tuner = Tuner(max_lr=0.5, min_window=8)
    >>> decisions = [tuner.observe(0.5**t) for t in range(8)]
    >>> decisions[-1].accepted, tuner.lr, tuner.phase
    (True, 0.5, 'tune')

    Claims C7.1 to C7.6.
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
        divergence_factor: float = DIVERGENCE_FACTOR,
    ) -> None:
        self.max_lr = _checks.positive("max_lr", max_lr, 0.1)
        self.alpha = _checks.open_unit("alpha", alpha, 0.05)
        self.beta = _checks.open_unit("beta", beta, 0.33)
        self.method = _checks.one_of("method", method, ("calibrated", "paper"))
        self.min_lr = self._checked_min_lr(min_lr)
        shortest = MIN_WINDOW if method == "calibrated" else 1
        self.min_window = _checks.at_least(
            "min_window", shortest if min_window is None else min_window, 1, MIN_WINDOW
        )
        self.divergence_factor = _checks.positive("divergence_factor", divergence_factor, 10.0)

        self.lr = self.max_lr
        self.phase = "search"
        self._losses: list[float] = []
        self._ratios: list[float] = []
        self._decisions: list[Decision] = []
        self._initial_loss: float | None = None
        self._harmless = 0.0
        self._noisy = False
        self._base: int | None = None
        self._target: int | None = None
        self._begin_window()

    def _checked_min_lr(self, min_lr: float | None) -> float:
        if min_lr is None:
            return self.max_lr * MIN_LR_FACTOR
        checked = _checks.positive("min_lr", min_lr, self.max_lr * MIN_LR_FACTOR)
        if checked > self.max_lr:
            raise ValueError(
                f"min_lr must not exceed max_lr = {self.max_lr:g}, got {min_lr!r}; "
                f"try min_lr={self.max_lr * MIN_LR_FACTOR:g}."
            )
        return checked

    # -- what it shows ---------------------------------------------------------------------

    @property
    def initial_loss(self) -> float | None:
        """L₀, the first positive and finite loss; None until one has come."""
        return self._initial_loss

    @property
    def window(self) -> int | None:
        """Losses that the current window will hold (before ρ is known: N); None without L₀."""
        return self._target

    @property
    def filled(self) -> int:
        """Losses in the current window so far."""
        return len(self._losses) - self._start

    @property
    def measuring(self) -> bool:
        """Whether the current window still measures its path ratio (its first N − 1 steps)."""
        return self._base is None or self.filled < self._base - 1

    @property
    def attention_in(self) -> int:
        """Losses until the tuner next consults the path ratio or decides, at least 1."""
        if self._base is None or self._target is None:
            return 1
        end = self._base - 1 if self.measuring else self._target
        return max(end - self.filled, 1)

    @property
    def record(self) -> Record:
        """Everything seen and decided so far, frozen."""
        return Record(
            losses=np.array(self._losses),
            decisions=tuple(self._decisions),
            max_lr=self.max_lr,
            alpha=self.alpha,
            beta=self.beta,
            method=self.method,
        )

    # -- what it does ----------------------------------------------------------------------

    def observe(
        self, loss: float, *, path_ratio: float | Callable[[], float] | None = None
    ) -> Decision | None:
        """Take the loss of one step; return the decision if a window ends here.

        Args:
            loss: training loss before the step's update, loss units. A non-finite one is a
                divergence, not an error.
            path_ratio: ρ = Σ‖g‖/‖Σg‖ ≥ 1 over this window's steps, or a function that computes
                it (called once a window, after N − 1 losses). None: full batch, no correction.

        Raises:
            ValueError: the first loss is negative, or ρ < 1.
        """
        loss = float(loss)
        self._losses.append(loss)
        self._noisy = path_ratio is not None
        if self._initial_loss is None:
            self._set_initial_loss(loss)
        if self.method == "calibrated" and self._diverges(loss):
            return self._decide("divergence", None, accepted=False)
        if self._base is None or self._target is None:
            return None
        if path_ratio is not None and self.filled == self._base - 1:
            self._correct(path_ratio() if callable(path_ratio) else path_ratio)
        return self._test() if self.filled >= self._target else None

    def _set_initial_loss(self, loss: float) -> None:
        if math.isfinite(loss) and loss < 0:
            self._losses.pop()
            raise ValueError(
                f"the first loss must not be negative (it sets the window's length), got {loss!r}; "
                "try adding a constant that makes the smallest possible loss 0."
            )
        if math.isfinite(loss) and loss > 0:
            self._initial_loss = self._harmless = loss
            self._start = len(self._losses) - 1
            self._plan_window()

    def _diverges(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        limit = self.divergence_factor * max(self._harmless, self._losses[self._start])
        if self._initial_loss is None or loss <= limit:
            return False
        needed = PERSISTENCE if self._noisy else 1
        return self.filled >= needed and min(self._losses[-needed:]) > limit

    def _correct(self, ratio: float) -> None:
        """Lengthen the window by ρ; a non-finite ρ (gradients overflowed) changes nothing."""
        ratio = _checks.path_ratio(ratio)
        self._ratios.append(ratio)
        if math.isfinite(ratio):
            self._path_ratio = ratio
            assert self._base is not None
            self._target = max(round(self._path_ratio * self._base), self._base)

    def _test(self) -> Decision:
        losses = np.array(self._losses[self._start :])
        result: TestResult
        if self.phase == "search":
            result = exponential_test(losses, method=self.method)
            return self._decide("exponential", result, accepted=result.reject(self.alpha))
        result = slope_test(losses, method=self.method)
        return self._decide("slope", result, accepted=result.reject(self.alpha))

    def _decide(self, kind: Kind, result: TestResult | None, *, accepted: bool) -> Decision:
        before = self.lr
        self.lr = before if accepted else max(self.beta * before, self.min_lr)
        exhausted = not accepted and self.lr == before
        if accepted:
            self._harmless = max(self._harmless, max(self._losses[self._start :]))
        decision = Decision(
            step=len(self._losses) - 1,
            kind=kind,
            accepted=accepted,
            test=result,
            lr_before=before,
            lr_after=self.lr,
            window=self.filled,
            path_ratio=self._path_ratio,
            loss=self._losses[-1],
            alpha=self.alpha,
            phase=self.phase,
        )
        if self.phase == "search" and (accepted or exhausted):
            self.phase = "tune"
        self._decisions.append(decision)
        self._begin_window()
        return decision

    def _begin_window(self) -> None:
        self._start = len(self._losses)
        self._path_ratio = 1.0
        self._base, self._target = None, None
        if self._initial_loss is not None:
            self._plan_window()

    def _plan_window(self) -> None:
        assert self._initial_loss is not None
        self._base = max(window_length(self._initial_loss, self.lr), self.min_window)
        self._target = self._base

    # -- how it is kept --------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the settings, the losses and the path ratios: all that decides the rest."""
        return {
            "max_lr": self.max_lr,
            "alpha": self.alpha,
            "beta": self.beta,
            "method": self.method,
            "min_lr": self.min_lr,
            "min_window": self.min_window,
            "divergence_factor": self.divergence_factor,
            "losses": list(self._losses),
            "path_ratios": list(self._ratios) if self._noisy else None,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Tuner:
        """Return a tuner in the state of ``state``, by taking the same decisions again."""
        config = dict(state)
        losses, ratios = config.pop("losses"), config.pop("path_ratios")
        tuner = cls(**config)
        next_ratio = None if ratios is None else iter(ratios).__next__
        for loss in losses:
            tuner.observe(loss, path_ratio=next_ratio)
        return tuner
