"""A saved state, checked whole before anything is changed."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer

from exptest.optim.updates import innermost
from exptest.tuner import Tuner

# What these hold depends on the model, the optimizer, the schedule or the run.
FREE = {"schedule", "buffers", "groups", "memory", "decisions"}


def described(optimizer: Optimizer) -> dict[str, Any]:
    """Return by what an optimizer is known again: its class, its groups' parameters' shapes."""
    groups = optimizer.param_groups
    return {
        "class": type(innermost(optimizer)).__name__,
        "shapes": [[tuple(p.shape) for p in group["params"]] for group in groups],
    }


def checked(state: Any, own: dict[str, Any], parts: dict[str, Any]) -> Tuner:
    """Return the tuner of ``state`` if all of it fits the ExpTest whose state is ``own``.

    Raises:
        ValueError: what is missing, unknown or different; the message names it.
    """
    _compare_names("state", state, own)
    for name, here in own["optimizer"].items():
        if state["optimizer"][name] != here:
            raise ValueError(
                f"the state was saved with an optimizer of {name} {state['optimizer'][name]}, this "
                f"one's is {here}; build the model and the optimizer that it was saved with."
            )
    if (state["path"] is None) != (own["path"] is None):
        raise ValueError(
            "the saved state and this ExpTest differ in path_correction; "
            "construct it with the settings it was saved with."
        )
    _compare_settings(state["tuner"]["settings"], own["tuner"]["settings"])
    for name, part in parts.items():
        if hasattr(part, "check_state"):
            part.check_state(state[name])
    try:
        return Tuner.from_state_dict(state["tuner"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the saved state of the tuner is broken ({error}); pass what state_dict() returned."
        ) from error


def _compare_names(where: str, saved: Any, own: Any) -> None:
    """Raise ValueError if a dict of ``saved`` has other keys than the same one of ``own``."""
    if not isinstance(own, dict) or saved is None:
        return
    known, found = set(own), set(saved) if isinstance(saved, dict) else set()
    if found != known:
        lacks, strange = sorted(map(str, known - found)), sorted(map(str, found - known))
        raise ValueError(
            f"this is no state of ExpTest: its {where} lacks {', '.join(lacks) or 'nothing'} and "
            f"has {', '.join(strange) or 'nothing'} besides; pass what state_dict() returned."
        )
    for name in known - FREE:
        _compare_names(name, saved[name], own[name])


def _compare_settings(saved: dict[str, Any], own: dict[str, Any]) -> None:
    for name, value in own.items():
        other = saved[name]
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
