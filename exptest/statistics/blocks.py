"""Long windows, averaged in blocks: an exponential stays one, a line stays one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

LONGEST, ENOUGH = 4096, 512


def averaged(
    y: Float[np.ndarray, " n"], period: int = 1
) -> tuple[Float[np.ndarray, " m"], int, int]:
    """Return means of equal blocks, the block's size in steps, and the period in blocks.

    There are at most 4096 blocks, but where no size divides the period.

    Steps that fill no block are left out at the end. A block of size s turns a e^{−bt} + c into
    a' e^{−bsj} + c: the same floor, the rate s times as large.
    """
    size = _size(-(-len(y) // LONGEST), len(y), period)
    if size == 1:
        return y, 1, period
    kept = len(y) // size * size
    largest = np.abs(y).max()
    scale = 2.0 ** -int(np.log2(size) + 1) if largest > 1e300 else 1.0
    means = (y[:kept] * scale).reshape(-1, size).mean(axis=1) / scale
    return means, size, max(period // size, 1)


def _size(least: int, n: int, period: int) -> int:
    """Return a block of at least so many steps that holds whole periods or divides one."""
    if least == 1 or period == 1:
        return least
    if n // period >= ENOUGH:
        return period * -(-least // period)
    divisors = [d for d in range(least, period) if period % d == 0 and n // d >= ENOUGH]
    return divisors[0] if divisors else 1
