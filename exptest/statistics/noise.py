"""What the noise around a fit looks like: its correlation, and how many losses it leaves."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " n"]


def autocorrelation(residual: Vector, parameters: int) -> float:
    """Return the lag-1 correlation ρ of the noise, from residuals, corrected for their bias.

    ρ̂ = r₁ + (parameters + (parameters + 2)·r₁) / n, kept in [0, 1).
    """
    n = len(residual)
    energy = float(residual @ residual)
    if energy == 0.0:
        return 0.0
    r = float(residual[1:] @ residual[:-1]) / energy
    return float(np.clip(r + (parameters + (parameters + 2) * r) / n, 0.0, 1.0 - 1.0 / n))


def effective_length(n: int, rho: float) -> float:
    """Return n (1 − ρ)/(1 + ρ): how many independent losses say as much about a slow trend."""
    return n * (1.0 - rho) / (1.0 + rho)
