"""Which of two arms has the lower loss? Both are asked on the same batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

from exptest import _checks
from exptest.statistics.results import PairedTestResult
from exptest.statistics.scaling import rescaled

Vector = Float[np.ndarray, " m"]

LOOKS = (3, 6, 12, 24, 48)
FEWEST = 2
ALIKE = "both arms have the same loss on every batch"
NO_NOISE = "all differences are equal: without noise their sign decides"


def paired_test(
    first: Any, second: Any, *, alpha: float = 0.05, looks: Sequence[int] = LOOKS
) -> PairedTestResult:
    """Test which of two arms has the lower loss, looking again as batches come.

    With d = second − first on m batches, t = mean(d) √m / sd(d) and p = P(T > |t|), T Student's
    with m − 1 degrees of freedom. K looks share the level: the first with p < α/K ends the race,
    and the worse arm is ever named with probability at most α.

    Args:
        first, second: shape (m,), loss units: the arms' losses on the same fresh batches. A loss
            that is not finite counts as infinite: the arm that has the first one loses at once.
        alpha: probability of naming the worse arm, over all looks, in (0, 1).
        looks: the numbers m of batches at which the question may be asked, increasing from 2.

    Returns:
        The result at the look that decided, whatever came later; else at the last look reached.

    Raises:
        TypeError, ValueError: losses that are not numeric, not one-dimensional, empty or of
            different lengths, ``alpha`` or ``looks`` out of range.

    What both arms share cancels:

    >>> print(paired_test([2.0, 9.0, 4.0], [2.5, 9.6, 4.6], looks=[3]))
    The first arm is better: its losses are lower by 0.567 on 3 shared batches, t = 17,
    p = 0.0017 < 0.05.

    Claims C8.1 to C8.5, C8.10 and C8.11.
    """
    a, b = _checks.series("first", first), _checks.series("second", second)
    if len(a) != len(b):
        raise ValueError(
            "first and second must hold one loss each for every shared batch, got "
            f"{len(a)} and {len(b)}; try the losses of the batches that both arms have seen."
        )
    marks = _looks(looks)
    alpha = _checks.open_unit("alpha", alpha, 0.05)
    level = alpha / len(marks)
    sound = np.isfinite(a) & np.isfinite(b)
    whole = len(a) if sound.all() else int(np.argmin(sound))
    reached = tuple(takewhile(lambda m: m <= whole, marks))
    at = None
    for k, m in enumerate(reached):
        at = _Look.of(a[:m], b[:m])
        if at.pvalue < level:
            return _result(at, reached[: k + 1], alpha, level)
    if whole < len(a):
        return _broken(a[: whole + 1], b[: whole + 1], reached, alpha, level)
    if at is None:
        return _too_early(a, b, marks[0], alpha, level)
    waiting = _waiting(len(a) - reached[-1], marks[len(reached) :])
    return replace(_result(at, reached, alpha, level), remark=waiting)


def _looks(value: Any) -> tuple[int, ...]:
    try:
        marks = tuple(_checks.at_least("a look", m, FEWEST, 3) for m in value)
    except TypeError as error:
        raise TypeError(
            f"looks must be whole numbers, got {value!r}; try looks={LOOKS}."
        ) from error
    if not marks or any(m >= later for m, later in pairwise(marks)):
        raise ValueError(f"looks must be increasing, got {value!r}; try looks={LOOKS}.")
    return marks


class _Look(NamedTuple):
    """Both arms, in units of 2^coarse, and their differences, in units of 2^(coarse + fine)."""

    a: Vector
    b: Vector
    mean: float
    sd: float
    coarse: int
    fine: int

    @classmethod
    def of(cls, a: Vector, b: Vector) -> _Look:
        m = len(a)
        z, coarse = rescaled(np.concatenate([a, b]))
        d, fine = rescaled(z[m:] - z[:m])
        mean, sd = float(d[0]), 0.0
        if (d != d[0]).any():
            mean = float(d.sum()) / m
            sd = math.sqrt(float(((d - mean) ** 2).sum()) / (m - 1))
        return cls(z[:m], z[m:], mean, sd, coarse, fine)

    @property
    def t(self) -> float:
        return _ratio(self.mean * math.sqrt(len(self.a)), self.sd)

    @property
    def pvalue(self) -> float:
        return 1.0 if math.isnan(self.t) else float(stdtr(len(self.a) - 1.0, -abs(self.t)))


def _result(at: _Look, looks: tuple[int, ...], alpha: float, level: float) -> PairedTestResult:
    m, reach = len(at.a), 0.0
    if at.sd:
        reach = -stdtrit(m - 1.0, level) * at.sd / math.sqrt(m)
    ends = at.mean + reach * np.array([0.0, -1.0, 1.0])
    with np.errstate(over="ignore"):
        difference, low, high = (float(end) for end in np.ldexp(ends, at.coarse + at.fine))
    apart = _ratio(math.hypot(at.a.std(ddof=1), at.b.std(ddof=1)), math.ldexp(at.sd, at.fine))
    ahead = "first" if at.mean > 0.0 else "second"
    return PairedTestResult(
        verdict=ahead if at.pvalue < level else "undecided",
        difference=difference,
        interval=(low, high),
        statistic=at.t,
        pvalue=at.pvalue,
        df=m - 1,
        n=m,
        looks=looks,
        alpha=alpha,
        level=level,
        correlation=_correlation(at.a, at.b),
        gain=apart * apart,
        note="" if at.sd else NO_NOISE if at.mean else ALIKE,
    )


def _correlation(a: Vector, b: Vector) -> float:
    if (a == a[0]).all() or (b == b[0]).all():
        return math.nan
    product = (a - a.mean()) / a.std() @ ((b - b.mean()) / b.std())
    return float(np.clip(product / len(a), -1.0, 1.0))


def _ratio(value: float, size: float) -> float:
    """Return value/size for size ≥ 0: infinite for size 0, nan for 0/0."""
    if size:
        return value / size
    return math.copysign(math.inf, value) if value else math.nan


def _unasked(
    looks: tuple[int, ...], n: int, alpha: float, level: float, note: str
) -> PairedTestResult:
    return PairedTestResult(
        verdict="undecided",
        difference=math.nan,
        interval=(-math.inf, math.inf),
        statistic=math.nan,
        pvalue=1.0,
        df=max(n - 1, 0),
        n=n,
        looks=looks,
        alpha=alpha,
        level=level,
        correlation=math.nan,
        gain=math.nan,
        note=note,
    )


def _too_early(a: Vector, b: Vector, start: int, alpha: float, level: float) -> PairedTestResult:
    note = f"the first look comes at {start}"
    with np.errstate(over="ignore"):
        difference = float((b - a).mean())
    return replace(_unasked((), len(a), alpha, level, note), difference=difference)


def _broken(
    a: Vector, b: Vector, looks: tuple[int, ...], alpha: float, level: float
) -> PairedTestResult:
    """Judge arms of which at least one has its first non-finite loss on the last batch."""
    m = len(a)
    sound = {name: math.isfinite(arm[-1]) for name, arm in (("first", a), ("second", b))}
    if not any(sound.values()):
        note = f"neither arm's loss is finite on batch {m}"
        return _unasked(looks, m, alpha, level, note)
    better, broken = sorted(sound, key=sound.__getitem__, reverse=True)
    worst = math.inf if broken == "second" else -math.inf
    note = f"the {broken} arm's loss is not finite on batch {m}"
    result = _unasked(looks, m, alpha, level, note)
    return replace(
        result,
        verdict=better,
        difference=worst,
        interval=(worst, worst),
        statistic=worst,
        pvalue=0.0,
    )


def _waiting(batches: int, later: tuple[int, ...]) -> str:
    if not batches:
        return ""
    further = f"{batches} further batch{'es' if batches > 1 else ''}"
    if not later:
        return f"The last look is taken; {further} did not count."
    return f"{further} will count at the look at {later[0]}."
