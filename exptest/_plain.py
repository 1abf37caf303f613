"""Decisions as plain types and back: what a checkpoint may hold."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from exptest.record import Decision
from exptest.statistics import ExponentialFit, ExponentialTestResult, LineFit, SlopeTestResult
from exptest.statistics.noise import Noise


def to_plain(decision: Decision) -> dict[str, Any]:
    """Return ``decision`` as dicts, tuples and numbers.

    >>> decision = Decision(3, "divergence", False, None, 0.1, 0.03, 4, 1.0, 9.0, 0.05, "search")
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
    if fields["test"] is not None:
        test = dict(fields["test"])
        test["line"] = LineFit(**test["line"])
        test["noise"] = Noise(**test["noise"]) if test["noise"] else None
        if fields["kind"] == "slope":
            fields["test"] = SlopeTestResult(**test)
        else:
            curve = test["exponential"]
            test["exponential"] = ExponentialFit(**curve) if curve else None
            fields["test"] = ExponentialTestResult(**test)
    return Decision(**fields)
