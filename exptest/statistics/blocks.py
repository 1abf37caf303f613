"""Long windows, averaged in blocks: an exponential stays one, a line stays one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

LONGEST = 4096


def averaged(y: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " m"], int]:
    """Return means of equal blocks, at most 4096 of them, and the block's size in steps.

    Steps that fill no block are left out at the end. A block of size s turns a e^{−bt} + c into
    a' e^{−bsj} + c: the same floor, the rate s times as large.
    """
    size = -(-len(y) // LONGEST)
    if size == 1:
        return y, 1
    kept = len(y) // size * size
    largest = np.abs(y).max()
    scale = 2.0 ** -int(np.log2(size) + 1) if largest > 1e300 else 1.0
    return (y[:kept] * scale).reshape(-1, size).mean(axis=1) / scale, size
