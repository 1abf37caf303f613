"""Decisions as plain types and back: what a checkpoint may hold."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from exptest.record import Decision
from exptest.statistics import (
    ExponentialFit,
    ExponentialTestResult,
    LineFit,
    SlopeTestResult,
    TrendResult,
)
from exptest.statistics.noise import Noise


def to_plain(decision: Decision) -> dict[str, Any]:
    """Return ``decision`` as dicts, tuples and numbers.

    >>> decision = Decision(3, "divergence", "shrink", None, 0.1, 0.03, 4, 1, 9.0, 0.05, "search")
    >>> from_plain(to_plain(decision)) == decision
    True
    """
    return _plain(asdict(decision))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def from_plain(kept: dict[str, Any]) -> Decision:
    """Return the decision that `to_plain` was given."""
    fields = dict(kept)
    if (test := fields["test"]) is not None:
        fields["test"] = _slope(test) if fields["kind"] == "slope" else _exponential(test)
    if (trend := fields["trend"]) is not None:
        fields["trend"] = TrendResult(**trend | {"slope": _slope(trend["slope"])})
    return Decision(**fields)


def _slope(kept: dict[str, Any]) -> SlopeTestResult:
    return SlopeTestResult(**kept | _line_and_noise(kept))


def _exponential(kept: dict[str, Any]) -> ExponentialTestResult:
    curve = ExponentialFit(**kept["exponential"]) if kept["exponential"] else None
    return ExponentialTestResult(**kept | _line_and_noise(kept) | {"exponential": curve})


def _line_and_noise(kept: dict[str, Any]) -> dict[str, Any]:
    noise = Noise(**kept["noise"]) if kept["noise"] else None
    return {"line": LineFit(**kept["line"]), "noise": noise}
