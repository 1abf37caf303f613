"""Losses that repeat with a period, as those of one epoch after another: the shape is removed.

Each phase has a mean of its own, which is projected out of the losses and of every curve that
they are compared with. A period of 1 is the usual mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks


def as_period(value: Any) -> int:
    """Return a period in steps, at least 1.

    Raises:
        TypeError, ValueError: it is not a whole number of steps, or less than one.
    """
    return _checks.at_least("period", value, 1, 469)


def seen_twice(period: int, n: int) -> int:
    """Return the period if n losses hold it twice, else 1: once, its shape is any shape."""
    return period if n >= 2 * period else 1


def phase_centred(v: Float[np.ndarray, "*any n"], period: int = 1) -> Float[np.ndarray, "*any n"]:
    """Return v less the mean at each phase t mod period, along the last axis."""
    n = v.shape[-1]
    if period == 1:
        return v - v.mean(axis=-1, keepdims=True)
    whole = n // period * period
    sums = v[..., :whole].reshape(*v.shape[:-1], -1, period).sum(axis=-2)
    sums[..., : n - whole] += v[..., whole:]
    means = sums / times_seen(n, period)[:period]
    return v - np.concatenate([means] * (n // period) + [means[..., : n - whole]], axis=-1)


def times_seen(n: int, period: int) -> Float[np.ndarray, " n"]:
    """Return how often the phase of each step occurs in n ≥ period steps."""
    phase = np.arange(n) % period
    return (n // period + (phase < n % period)).astype(float)
