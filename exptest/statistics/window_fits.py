"""One window of losses under the two rival curves: a straight line and the best decay."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from exptest.statistics.geometry import geometry
from exptest.statistics.noise import Noise, describe_noise
from exptest.statistics.null import crossing_probability
from exptest.statistics.varpro import Projector

Vector = Float[np.ndarray, " n"]

# Squared error of a straight line that is only rounding, per loss of size 1.
ROUNDING = 16.0 * float(np.finfo(float).eps)
# A first loss is a spike when a line with a spike beats every decay by this many variances.
SPIKE, SPIKE_SMALL = 4.0, 130.0


class Decay(NamedTuple):
    """The best decay at one rate: e-folds in the window, residuals and their squares."""

    rate: float
    residual: Vector
    sse: float


class WindowFits:
    """The line and the best decay on losses of size about 1, at least three of them."""

    def __init__(self, z: Vector) -> None:
        self.n = len(z)
        self.shape = geometry(self.n)
        self.problem = Projector(self.shape.x, z)
        self.fall = float(self.shape.line @ self.problem.centred)
        self.off_line = self.problem.centred - self.fall * self.shape.line
        self.sse = float(self.off_line @ self.off_line)

    @property
    def straight(self) -> bool:
        """Whether the losses follow the line to the last digit."""
        return self.sse <= self.n * ROUNDING**2

    @cached_property
    def best(self) -> int | None:
        """Index of the best tabulated rate; None if no decay fits better than a constant."""
        along = self.shape.curves @ self.problem.centred
        best = int(np.argmax(along))
        return best if along[best] > 0.0 else None

    def decay(self, *, refine: bool = True) -> Decay | None:
        """Return the best decay, at a tabulated rate only unless ``refine``."""
        if self.best is None:
            return None
        rate = float(self.shape.rates[self.best])
        if refine:
            rate = self.problem.root_near(self.shape.rates, self.best)
        fit = self.problem.at(rate)
        return Decay(rate, fit.residual, fit.sse)

    def spike_beats(self, decay: Decay) -> bool:
        """Whether a line with a free first loss fits far better than the decay."""
        if self.n < 6:
            return False
        jump = float(self.shape.spike @ self.problem.centred)
        left = max(self.sse - jump * jump, 0.0)
        margin = (SPIKE + SPIKE_SMALL / self.n) * left / (self.n - 3)
        return jump > 0.0 and decay.sse - left > margin

    def pvalue(self, decay: Decay, noise: Noise) -> float:
        """Return how often a straight line looks as exponential as this."""
        lean = self.fall / float(np.sqrt(self.sse))
        return crossing_probability(self.shape, lean, 1.0 - decay.sse / self.sse, noise)

    def noise(self, decay: Decay | None = None) -> Noise:
        """Return the noise around the decay, or around the line."""
        if decay is None:
            return describe_noise(self.off_line, 2)
        return describe_noise(decay.residual, 3)
