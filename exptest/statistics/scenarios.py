"""Losses whose truth is known: what a test is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from jaxtyping import Float
from scipy.signal import lfilter

from exptest import _checks

Steps = Float[np.ndarray, " n"]
Losses = Float[np.ndarray, "replications n"]

# Mean curves of size 1 on x in [0, 1]; k e-folds where they bend.
TRUTHS: dict[str, Callable[[Steps, float], Steps]] = {
    "flat": lambda x, k: np.zeros_like(x),
    "line": lambda x, k: 1.0 - x,
    "rise": lambda x, k: x,
    "exponential": lambda x, k: np.exp(-k * x),
    "saturating growth": lambda x, k: -np.exp(-k * x),
    "power law": lambda x, k: 1.0 / (1.0 + k * x),
    "dip, then diverge": lambda x, k: 3.0 * x**3 - x,
}


def ar1(rng: np.random.Generator, shape: tuple[int, int], phi: float) -> Losses:
    """Return rows of AR(1) noise of standard deviation 1, e_t = φ e_{t−1} + shock."""
    shocks = rng.standard_normal(shape) * np.sqrt(1.0 - phi**2)
    shocks[:, 0] /= np.sqrt(1.0 - phi**2)
    return lfilter([1.0], [1.0, -phi], shocks, axis=1)


# Noise of standard deviation 1 (the random walk: of its steps).
NOISES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Losses]] = {
    "iid": lambda rng, shape: rng.standard_normal(shape),
    "AR(1) 0.5": lambda rng, shape: ar1(rng, shape, 0.5),
    "AR(1) 0.9": lambda rng, shape: ar1(rng, shape, 0.9),
    "t3": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3.0),
    "shrinking": lambda rng, shape: rng.standard_normal(shape) * np.linspace(1.5, 0.5, shape[1]),
    "growing": lambda rng, shape: rng.standard_normal(shape) * np.linspace(0.5, 1.5, shape[1]),
    "random walk": lambda rng, shape: rng.standard_normal(shape).cumsum(axis=1),
}


@dataclass(frozen=True)
class Scenario:
    """A truth under a noise, over n steps.

    Attributes:
        truth: key of ``TRUTHS``.
        noise: key of ``NOISES``; its standard deviation is the unit.
        n: window, in steps.
        size: of the truth, in standard deviations of the noise.
        efolds: k, of the truths that bend.
    """

    truth: str = "flat"
    noise: str = "iid"
    n: int = 50
    size: float = 0.0
    efolds: float = 5.0

    def __post_init__(self) -> None:
        _checks.one_of("truth", self.truth, TRUTHS)
        _checks.one_of("noise", self.noise, NOISES)
        _checks.at_least("n", self.n, 1, 50)

    @property
    def mean(self) -> Steps:
        """The curve without noise, in standard deviations of the noise."""
        return self.size * TRUTHS[self.truth](np.linspace(0.0, 1.0, self.n), self.efolds)

    def simulate(self, replications: int, seed: int = 0) -> Losses:
        """Return curves with noise, shape (replications, n); the same for the same seed."""
        _checks.at_least("replications", replications, 1, 2000)
        rng = np.random.default_rng([seed, crc32(repr(self).encode())])
        return self.mean + NOISES[self.noise](rng, (replications, self.n))


# Truths that each test must not reject, with their sizes.
NULLS = {
    "exponential": (
        ("flat", 0.0),
        ("line", 1.0),
        ("line", 10.0),
        ("rise", 1.0),
        ("rise", 10.0),
        ("saturating growth", 5.0),
        ("dip, then diverge", 10.0),
    ),
    "slope": (
        ("flat", 0.0),
        ("rise", 1.0),
        ("rise", 10.0),
        ("saturating growth", 5.0),
        ("dip, then diverge", 10.0),
    ),
}
