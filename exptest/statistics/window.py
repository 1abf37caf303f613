"""How long to watch: the knee of an exponential and the window that is sure to hold it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from exptest import _checks

# Steps × rate / loss: the paper's. Our reconstruction: twice the latest knee, √2 L₀/e (theory/04).
WINDOW_CONSTANT = 2.0 * math.sqrt(2.0) / math.e


def knee_time(initial_loss: Any, rate: Any) -> float:
    """Return when the loss L₀ e^{−bτ} has its knee, the point of slope −1/√2.

    τ* = ln(√2 L₀ b) / b; where √2 L₀ b ≤ 1 the curve is bent most at its start, τ* = 0.

    Args:
        initial_loss: L₀ ≥ 0, loss units.
        rate: b > 0 per unit of gradient-flow time τ = η · step.

    Returns:
        τ* ≥ 0, in units of gradient-flow time (divide by η for steps).

    Raises:
        TypeError, ValueError: L₀ is negative or b is not positive, or either is not finite.

    The latest knee of all rates comes at b = e/(√2 L₀) and is at √2 L₀/e:

    >>> import math
    >>> late = knee_time(initial_loss=3.0, rate=math.e / (math.sqrt(2) * 3.0))
    >>> math.isclose(late, math.sqrt(2) * 3.0 / math.e)
    True

    Claims C4.1 and C4.2.
    """
    loss = _checks.not_negative("initial_loss", initial_loss, 1.0)
    b = _checks.positive("rate", rate, 1.0)
    steepness = math.sqrt(2.0) * loss * b
    return math.log(steepness) / b if steepness > 1.0 else 0.0


def window_length(initial_loss: Any, lr: Any) -> int:
    """Return the number of steps that the paper watches at learning rate η.

    N = round(2√2 L₀ / (e η)): twice the latest knee, as we reconstruct it.

    Args:
        initial_loss: L₀ ≥ 0, the first loss, loss units.
        lr: learning rate η > 0.

    Returns:
        N ≥ 0, in steps; a Python integer, exact however large.

    Raises:
        TypeError, ValueError: L₀ is negative or η is not positive, or either is not finite.

    >>> import math
    >>> window_length(initial_loss=math.e, lr=2 * math.sqrt(2) / 100)
    100

    Claim C4.3.
    """
    loss = _checks.not_negative("initial_loss", initial_loss, 1.0)
    eta = _checks.positive("lr", lr, 0.1)
    numerator, denominator = 2.0 * math.sqrt(2.0) * loss, math.e * eta
    steps = numerator / denominator
    if math.isfinite(steps):
        return round(steps)
    return round(Fraction(WINDOW_CONSTANT) * Fraction(loss) / Fraction(eta))
