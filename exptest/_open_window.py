"""The window that is being filled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from exptest.statistics.phases import seen_twice


@dataclass
class OpenWindow:
    """What has come of a window, and how much is to come.

    Attributes:
        planned: N, the losses that it holds before ρ is known; None without L₀.
        target: the losses that it will hold: round(ρN), doubled at every look that left it open.
        losses: what has come, in order, non-finite ones included.
        skipped: non-finite losses among them, which fill no place.
        bad: losses in a row, up to the last, that were not finite or had exploded.
        path_ratio: ρ, 1 until it is known.
        looks: how often it was judged and left open.
        seen: losses that had come at the last of those looks, non-finite ones included.
    """

    planned: int | None = None
    target: int | None = None
    losses: list[float] = field(default_factory=list)
    skipped: int = 0
    bad: int = 0
    path_ratio: float = 1.0
    looks: int = 0
    seen: int = 0

    @property
    def filled(self) -> int:
        """Losses that fill a place."""
        return len(self.losses) - self.skipped

    @property
    def measuring(self) -> bool:
        """Whether its path ratio is still being measured: over its first N − 1 steps."""
        return self.planned is None or self.filled < self.planned - 1

    @property
    def left(self) -> int:
        """Losses until it is full, at least 1."""
        assert self.target is not None
        return max(self.target - self.filled, 1)

    @property
    def attention_in(self) -> int:
        """Losses until ρ is asked for or it is full, at least 1."""
        if self.planned is None:
            return 1
        return max(self.planned - 1 - self.filled, 1) if self.measuring else self.left

    @property
    def horizon(self) -> int:
        """Losses that it was meant to hold at its first look."""
        assert self.target is not None
        return self.target >> self.looks

    @property
    def full(self) -> bool:
        return self.target is not None and self.filled >= self.target

    def diverges(
        self,
        loss: float,
        floor: float,
        factor: float,
        harmless: float,
        patience: int,
        broken: Callable[[], bool] | None,
    ) -> bool:
        """Count its last loss as good or bad; return whether training has diverged.

        A loss is bad if it is not finite, or explodes: above ``factor`` times the largest harmless
        height over the floor, the mean of the window's first ``patience`` ones before it included.
        Training has diverged at ``patience`` bad ones in a row, or with ``broken`` weights.
        """
        if math.isfinite(loss):
            limit, earlier = (loss - floor) / factor, max(self.filled - 1, 1)
            bad = limit > harmless and limit > self.height(min(earlier, patience), floor)
        else:
            self.skipped += 1
            bad = True
        self.bad = self.bad + 1 if bad else 0
        lost = broken is not None and not math.isfinite(loss) and broken()
        return lost or self.bad >= patience

    def height(self, count: int, floor: float) -> float:
        """Return how high its first ``count`` losses lie over the floor on average; 0 without."""
        first = [*islice(filter(math.isfinite, self.losses), count)]
        return math.fsum(first) / len(first) - floor if first else 0.0

    def plan(self, length: int) -> None:
        """Say how many losses it will hold."""
        self.planned = self.target = length

    def lengthen(self, ratio: float) -> None:
        """Lengthen it by ρ; a non-finite ρ (gradients overflowed) changes nothing."""
        if self.planned is not None and math.isfinite(ratio):
            self.path_ratio = ratio
            self.target = max(round(ratio * self.planned), self.planned)

    def watch_on(self) -> None:
        """Leave it open until it holds twice as much."""
        assert self.target is not None
        self.target, self.looks, self.seen = 2 * self.target, self.looks + 1, len(self.losses)

    def period(self, told: int) -> int:
        """Return the period to test with: 1 where a loss is missing, or it is not seen twice."""
        return 1 if self.skipped else seen_twice(told, self.filled)

    def held(self) -> list[float]:
        """The losses to be tested."""
        if not self.skipped:
            return self.losses
        return [loss for loss in self.losses if math.isfinite(loss)]
