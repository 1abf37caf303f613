"""The window that is being filled."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class OpenWindow:
    """What has come of a window, and how much is to come.

    Attributes:
        planned: N, the losses that it holds before ρ is known; None without L₀.
        target: the losses that it will hold: round(ρN).
        losses: what has come, in order, non-finite ones included.
        skipped: non-finite losses among them, which fill no place.
        bad: losses in a row, up to the last, that were not finite or had exploded.
        path_ratio: ρ, 1 until it is known.
    """

    planned: int | None = None
    target: int | None = None
    losses: list[float] = field(default_factory=list)
    skipped: int = 0
    bad: int = 0
    path_ratio: float = 1.0

    @property
    def filled(self) -> int:
        """Losses that fill a place."""
        return len(self.losses) - self.skipped

    @property
    def first(self) -> float | None:
        """The first finite loss, if one has come."""
        return next((loss for loss in self.losses if math.isfinite(loss)), None)

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
    def full(self) -> bool:
        return self.target is not None and self.filled >= self.target

    def alarm(self, loss: float, floor: float, factor: float, harmless: float) -> int:
        """Return how many losses in a row, up to this last one, are not finite or explode.

        A loss explodes above ``factor`` times the largest harmless height over the floor, the
        window's own first one included.
        """
        if math.isfinite(loss):
            height = loss - floor
            exploded = height > factor * harmless and (
                self.first is not None and height > factor * (self.first - floor)
            )
        else:
            self.skipped += 1
            exploded = True
        self.bad = self.bad + 1 if exploded else 0
        return self.bad

    def plan(self, length: int) -> None:
        """Say how many losses it will hold."""
        self.planned = self.target = length

    def lengthen(self, ratio: float) -> None:
        """Lengthen it by ρ; a non-finite ρ (gradients overflowed) changes nothing."""
        if self.planned is not None and math.isfinite(ratio):
            self.path_ratio = ratio
            self.target = max(round(ratio * self.planned), self.planned)

    def held(self) -> list[float]:
        """The losses to be tested."""
        if not self.skipped:
            return self.losses
        return [loss for loss in self.losses if math.isfinite(loss)]
