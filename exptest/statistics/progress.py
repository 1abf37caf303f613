"""Not "did the loss decrease over the window" but "is it decreasing at its end"."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exptest import _checks
from exptest.statistics.results import SlopeTestResult
from exptest.statistics.slope import slope_test


def progress_test(
    losses: Any, *, part: float = 0.5, method: str = "calibrated", period: int = 1
) -> SlopeTestResult:
    """Test whether losses decrease over the last part of the window.

    The slope test on the last ⌈part · n⌉ losses. Of a decline that goes on at one pace it sees
    only part^{3/2} of the signal (theory/06): that is the price of asking about the end.

    Args:
        losses: shape (n,), loss units, one per step.
        part: share of the window that counts, in (0, 1).
        method, period: of the slope test.

    Returns:
        The slope test's result on the last part.

    Raises:
        TypeError, ValueError: as `slope_test`, or ``part`` is not in (0, 1).

    A fall that ended half-way is no progress:

    >>> losses = [8.0, 6.0, 4.0, 2.0, 1.0, 1.1, 1.0, 1.1]
    >>> slope_test(losses).reject(), progress_test(losses).reject()
    (True, False)

    Claims C6.3 and C6.4.
    """
    y = _checks.series("losses", losses)
    _checks.open_unit("part", part, 0.5)
    last = -int(-(part * len(y)) // 1)
    result = slope_test(y[len(y) - last :], method=method, period=period)
    remark = f"Only the last {last} of {len(y)} losses were tested. {result.remark}".strip()
    return replace(result, remark=remark)
