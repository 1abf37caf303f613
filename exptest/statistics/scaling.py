"""Numbers of any size, brought near 1 without a rounding error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " n"]


def rescaled(y: Vector) -> tuple[Vector, int]:
    """Return (z, e) with y = 2ᵉ z and max |z| in [½, 1): a power of two loses no digit."""
    exponent = int(np.frexp(np.abs(y).max())[1])
    return np.ldexp(y, -exponent), exponent
