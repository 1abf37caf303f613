"""Bad input, answered in one voice: what was wrong, what arrived, what to try."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BELOW_FLOOR = (
    "step {}: the loss is {:.6g}, below loss_floor = {:g}, so L₀, the height over the floor, is "
    "none and windows have no length; pass loss_floor=..., the smallest value it can take."
)


def open_unit(name: str, value: Any, suggestion: float) -> float:
    """Return ``value`` as a float if 0 < value < 1."""
    number = _number(name, value, suggestion)
    if not 0.0 < number < 1.0:
        raise ValueError(
            f"{name} must lie strictly between 0 and 1, got {value!r}; try {name}={suggestion}."
        )
    return number


def positive(name: str, value: Any, suggestion: Any) -> float:
    """Return ``value`` as a float if it is finite and greater than 0."""
    number = _number(name, value, suggestion)
    if not (math.isfinite(number) and number > 0.0):
        raise ValueError(
            f"{name} must be positive and finite, got {value!r}; try {name}={suggestion}."
        )
    return number


def not_negative(name: str, value: Any, suggestion: Any) -> float:
    """Return ``value`` as a float if it is finite and at least 0."""
    number = _number(name, value, suggestion)
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(
            f"{name} must be finite and not negative, got {value!r}; try {name}={suggestion}."
        )
    return number


def finite(name: str, value: Any, suggestion: Any) -> float:
    """Return ``value`` as a float if it is finite."""
    number = _number(name, value, suggestion)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}; try {name}={suggestion}.")
    return number


def at_most(name: str, value: float, limit_name: str, limit: float, suggestion: float) -> None:
    """Raise ValueError if ``value`` exceeds ``limit``."""
    if value > limit:
        raise ValueError(
            f"{name} must not exceed {limit_name} = {limit:g}, got {value!r}; "
            f"try {name}={suggestion:g}."
        )


def at_least(name: str, value: Any, minimum: int, suggestion: Any) -> int:
    """Return ``value`` as an int if it is a whole number ≥ minimum."""
    number = _number(name, value, suggestion)
    if not math.isfinite(number) or number != int(number) or number < minimum:
        raise ValueError(
            f"{name} must be a whole number of at least {minimum}, got {value!r}; "
            f"try {name}={suggestion}."
        )
    return int(number)


def path_ratio(value: Any) -> float:
    """Return ρ ≥ 1, rounding errors below 1 taken for 1; nan and inf pass."""
    number = _number("path_ratio", value, 1.5)
    if number < 1.0 - 1e-6:
        raise ValueError(
            "path_ratio must be at least 1 (a path is never shorter than its chord), "
            f"got {value!r}; try path_ratio=None for full-batch training."
        )
    return max(number, 1.0) if math.isfinite(number) else number


def one_of(name: str, value: Any, options: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``options``."""
    known = list(options)
    if value not in known:
        choices = ", ".join(map(repr, known))
        raise ValueError(f"{name} must be one of {choices}, got {value!r}.")
    return value


def series(name: str, values: Any) -> NDArray[np.float64]:
    """Return ``values`` (list, array, Series or tensor) as a one-dimensional float64 array.

    Non-finite entries pass: what they mean is for the caller to say. Masked ones become nan.
    """
    if isinstance(values, list | tuple) and values and hasattr(values[0], "detach"):
        values = [value.detach().cpu() for value in values]
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.double()
    try:
        array = np.asarray(values)
        if isinstance(values, np.ma.MaskedArray):
            array = np.ma.filled(values.astype(np.float64), np.nan)
        if array.dtype.kind not in "biufO":
            raise TypeError(f"dtype {array.dtype}")
        with np.errstate(over="ignore"):
            array = array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"{name} must be real numbers, got {_describe(values)}; try a list of floats."
        ) from error
    if array.ndim != 1:
        raise ValueError(
            f"{name} must have one dimension, got shape {array.shape}; "
            f"try one loss per step, for example {name}.ravel()."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty; pass at least one number.")
    return array


def _number(name: str, value: Any, suggestion: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"{name} must be a number, got {_describe(value)}; try {name}={suggestion}."
        ) from error


def _describe(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
