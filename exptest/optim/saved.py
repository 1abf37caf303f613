"""A saved state, checked whole before anything is changed."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer

from exptest.tuner import Tuner

OPTIONS = {
    "initial": "restart='initial'",
    "window_start": "restart='initial'",
    "path": "path_correction",
}


def checked(state: Any, tuner: Tuner, optimizer: Optimizer, parts: dict[str, Any]) -> Tuner:
    """Return the tuner of ``state`` if all of it fits this optimizer and these settings.

    Raises:
        ValueError: what is missing, unknown or different; the message names it.
    """
    known = {"tuner", "optimizer", *parts}
    found = set(state) if isinstance(state, dict) else set()
    if found != known:
        lacks, strange = sorted(known - found), sorted(map(str, found - known))
        raise ValueError(
            f"this is no state of ExpTest: it lacks {', '.join(lacks) or 'nothing'} and has "
            f"{', '.join(strange) or 'nothing'} besides; pass what state_dict() returned."
        )
    if state["optimizer"] != type(optimizer).__name__:
        raise ValueError(
            f"the state was saved with {state['optimizer']}, this optimizer is "
            f"{type(optimizer).__name__}; build the optimizer that it was saved with."
        )
    for name, part in parts.items():
        if (state[name] is None) != (part is None):
            raise ValueError(
                "the saved state and this ExpTest differ in path_correction; "
                "construct it with the settings it was saved with."
            )
    _compare(state["tuner"]["settings"], tuner)
    for name, part in parts.items():
        if part is not None and hasattr(part, "check_state"):
            part.check_state(state[name])
    return Tuner.from_state_dict(state["tuner"])


def _compare(saved: dict[str, Any], tuner: Tuner) -> None:
    own = tuner.state_dict()["settings"]
    for name, value in own.items():
        other = saved.get(name)
        same = other == value or (
            isinstance(value, float)
            and isinstance(other, float)
            and math.isclose(other, value, rel_tol=1e-4)  # a bound computed again, in float32
        )
        if not same:
            raise ValueError(
                f"the saved state has {name} = {other!r}, this ExpTest {value!r}; "
                "construct it with the settings it was saved with."
            )
