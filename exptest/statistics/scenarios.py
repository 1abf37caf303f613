"""Losses whose truth is known: what a test is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, rfft
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


def white_and_slow(rng: np.random.Generator, shape: tuple[int, int], phi: float) -> Losses:
    """Return rows of white noise plus AR(1) noise in equal parts, of standard deviation 1."""
    return (rng.standard_normal(shape) + ar1(rng, shape, phi)) / np.sqrt(2.0)


def cycle(rng: np.random.Generator, shape: tuple[int, int], period: float, radius: float) -> Losses:
    """Return rows of AR(2) noise of roots r e^{±2πi/period}, of standard deviation 1."""
    first, second = 2.0 * radius * np.cos(2.0 * np.pi / period), -(radius**2)
    before = int(30.0 / (1.0 - radius))  # until the start is forgotten to e^−30
    shocks = rng.standard_normal((shape[0], before + shape[1]))
    variance = (1.0 - second) / ((1.0 + second) * ((1.0 - second) ** 2 - first**2))
    rows = lfilter([1.0], [1.0, -first, -second], shocks, axis=1)[:, before:]
    return rows / np.sqrt(variance)


def long_memory(rng: np.random.Generator, shape: tuple[int, int], d: float) -> Losses:
    """Return rows of fractionally differenced noise (1 − L)^{−d} white, of standard deviation 1.

    Exact, by embedding its autocorrelations in a circulant matrix (Davies and Harte 1987).
    """
    lags = np.arange(1, shape[1] + 1)
    rho = np.cumprod(np.r_[1.0, (lags - 1.0 + d) / (lags - d)])
    circle = np.r_[rho, rho[-2:0:-1]]
    gains = np.sqrt(np.maximum(rfft(circle).real, 0.0))
    waves = rfft(rng.standard_normal((shape[0], len(circle))), axis=1)
    return irfft(gains * waves, len(circle), axis=1)[:, : shape[1]]


def early(rng: np.random.Generator, shape: tuple[int, int]) -> Losses:
    """Return rows of noise of standard deviation 4 in the first tenth, then 1."""
    size = np.where(np.arange(shape[1]) < 0.1 * shape[1], 4.0, 1.0)
    return size * rng.standard_normal(shape)


def saw_tooth(rng: np.random.Generator, shape: tuple[int, int], periods: float) -> Losses:
    """Return rows of white noise on teeth of height 2 that fall through a period of steps."""
    phase = np.arange(shape[1]) % tooth(shape[1], periods)
    return rng.standard_normal(shape) + 1.0 - 2.0 * phase / tooth(shape[1], periods)


def tooth(n: int, periods: float) -> int:
    """Return the steps of a period of which so many fit into n steps."""
    return max(round(n / periods), 2)


# Periods of "epochs" in a window.
PERIODS = 3.3

# Noise of standard deviation 1 (the random walk: of its steps; "early" and "epochs": its rest).
NOISES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Losses]] = {
    "iid": lambda rng, shape: rng.standard_normal(shape),
    "AR(1) 0.5": lambda rng, shape: ar1(rng, shape, 0.5),
    "AR(1) 0.9": lambda rng, shape: ar1(rng, shape, 0.9),
    "t3": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3.0),
    "shrinking": lambda rng, shape: rng.standard_normal(shape) * np.linspace(1.5, 0.5, shape[1]),
    "growing": lambda rng, shape: rng.standard_normal(shape) * np.linspace(0.5, 1.5, shape[1]),
    "white + AR(1) 0.9": lambda rng, shape: white_and_slow(rng, shape, 0.9),
    "white + AR(1) 0.95": lambda rng, shape: white_and_slow(rng, shape, 0.95),
    "white + AR(1) 0.99": lambda rng, shape: white_and_slow(rng, shape, 0.99),
    "long memory 0.2": lambda rng, shape: long_memory(rng, shape, 0.2),
    "long memory 0.4": lambda rng, shape: long_memory(rng, shape, 0.4),
    "cycle": lambda rng, shape: cycle(rng, shape, 12.0, 0.9),
    "early": early,
    "epochs": lambda rng, shape: saw_tooth(rng, shape, PERIODS),
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

    @property
    def period(self) -> int:
        """Steps of one period of the noise, 1 where it has none."""
        return tooth(self.n, PERIODS) if self.noise == "epochs" else 1

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
