"""One window of losses under the two rival curves: a straight line and the best decay."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from jaxtyping import Float

from exptest.statistics.geometry import geometry
from exptest.statistics.noise import NoiseAlongDecays, describe_noise, independent_noise
from exptest.statistics.null import crossing_probability
from exptest.statistics.varpro import Projection, Projector

Vector = Float[np.ndarray, " n"]

# Squared error of a straight line that is only rounding, per loss of size 1.
ROUNDING = 16.0 * float(np.finfo(float).eps)
# Slopes take the noise around the exponential where that is found at this level.
CLEAR, WORTH_A_LOOK = 0.05, 4.0
# A first loss is a spike when a line with a spike beats every decay by this many variances.
SPIKE, SPIKE_SMALL = 4.0, 180.0


class WindowFits:
    """The line and the best decay on losses of size about 1, at least three of them.

    ``independent``: the noise is known to be equal and independent, and is not estimated.
    ``period``: after so many steps the losses have the same mean, but for the curve.
    """

    def __init__(self, z: Vector, *, independent: bool = False, period: int = 1) -> None:
        self.n, self.independent, self.period = len(z), independent, period
        self.free = self.n - period + 1
        self.shape = geometry(self.n, period)
        self.problem = Projector(self.shape.x, z, period=period)
        self.fall = float(self.shape.line @ self.problem.centred)
        self.off_line = self.problem.centred - self.fall * self.shape.line
        self.sse = float(self.off_line @ self.off_line)

    @property
    def straight(self) -> bool:
        """Whether the losses follow the line to the last digit."""
        return self.sse <= self.n * ROUNDING**2

    @property
    def level(self) -> bool:
        """Whether the line neither falls nor rises, to the last digit."""
        return abs(self.fall) <= math.sqrt(self.n) * ROUNDING

    @property
    def line(self) -> tuple[float, float, float]:
        """Slope per step, mean and squared error of the line."""
        return self.fall * self.shape.step, self.problem.mean, self.sse

    def rises(self, times: float, information: float) -> bool:
        """Whether the line rises by more than so many standard errors."""
        return -self.fall * math.sqrt(information) > times * math.sqrt(self.sse)

    @cached_property
    def along(self) -> Float[np.ndarray, " g"]:
        """Length of the losses along every tabulated decay."""
        return self.shape.curves @ self.problem.centred

    def decay(self, *, refine: bool = True) -> Projection | None:
        """Return the best decay, or None if none fits better than a constant.

        Without ``refine`` only the tabulated rates are tried.
        """
        best = int(self.along.argmax())
        if self.along[best] <= 0.0:
            return None
        rates = self.shape.rates
        if not refine:
            return self.problem.at(float(rates[best]))
        return self.problem.root_near(rates, best, self._peak(best))

    def _peak(self, best: int) -> float | None:
        """Return the rate where the parabola through the best three lengths peaks."""
        if best in (0, len(self.along) - 1):
            return None
        left, middle, right = (float(a) for a in self.along[best - 1 : best + 2])
        bend = left - 2.0 * middle + right
        offset = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
        k = float(self.shape.rates[best])
        return k * (float(self.shape.rates[best + 1]) / k) ** offset

    def spike_beats(self, decay: Projection) -> bool:
        """Whether a line with a free first loss fits far better than the decay."""
        if self.free < 6:
            return False
        jump = float(self.shape.spike @ self.problem.centred)
        left = max(self.sse - jump * jump, 0.0)
        margin = (SPIKE + SPIKE_SMALL / self.free) * left / (self.free - 3)
        return jump > 0.0 and decay.sse - left > margin

    def pvalue(self, decay: Projection, noise: NoiseAlongDecays) -> float:
        """Return how often a straight line looks as exponential as this."""
        lean = self.fall / float(np.sqrt(self.sse))
        return crossing_probability(self.shape, lean, 1.0 - decay.sse / self.sse, noise)

    def noise(self, decay: Projection | None = None) -> NoiseAlongDecays:
        """Return the noise around the decay, or around the line."""
        residual, parameters = (self.off_line, 2) if decay is None else (decay.residual, 3)
        if self.independent:
            return independent_noise(residual, parameters, self.period)
        return describe_noise(residual, parameters, self.period)

    def clear_decay(self) -> tuple[Projection, NoiseAlongDecays] | None:
        """Return the best decay and the noise around it if the test finds it."""
        if self.free <= 5 or not self._worth_a_look():
            return None
        decay = self.decay()
        if decay is None:
            return None
        noise = self.noise(decay)
        return (decay, noise) if self.pvalue(decay, noise) <= CLEAR else None

    def _worth_a_look(self) -> bool:
        """Whether the best tabulated decay beats the line by a plain F of 4."""
        longest = max(float(self.along.max()), 0.0)
        centred = self.problem.centred
        left = float(centred @ centred) - longest**2
        return (self.sse - left) * (self.free - 3) > WORTH_A_LOOK * left
