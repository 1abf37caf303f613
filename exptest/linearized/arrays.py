"""What the loss model takes: finite float64 matrices with matching rows, and a known loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks


def as_matrix(name: str, values: Any) -> Float[np.ndarray, "rows columns"]:
    """Return ``values`` as a finite float64 matrix; a vector becomes one column."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    try:
        matrix = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be real numbers, got {type(values).__name__}; try a float array."
        ) from error
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(
            f"{name} must be a non-empty matrix, got shape {matrix.shape}; "
            f"try {name}.reshape(len({name}), -1)."
        )
    bad = int((~np.isfinite(matrix)).sum())
    if bad:
        raise ValueError(f"{name} hold {bad} non-finite values; remove or impute them first.")
    return matrix


def matching(name: str, first: Any, other: str, second: Any) -> None:
    """Raise unless both have the same number of rows."""
    if len(first) != len(second):
        raise ValueError(
            f"{name} and {other} differ in length: {len(first)} and {len(second)}; "
            "pass one row per example."
        )


def targets_like(name: str, values: Any, outputs: Any) -> Float[np.ndarray, "rows columns"]:
    """Return ``values`` as a matrix of the shape of ``outputs``."""
    matrix = as_matrix(name, values)
    if matrix.shape != outputs.shape:
        raise ValueError(
            f"{name} must have the shape of the model's outputs, {outputs.shape}, got "
            f"{matrix.shape}; one-hot encode class labels."
        )
    return matrix


def loss_scale(loss: str, examples: int, outputs: int) -> tuple[float, float]:
    """Return (κ/n, s): function-space Hessian is κΘ/n, and the loss is s‖f − y‖².

    ``half_mse``: ‖f − y‖²/(2n), κ = 1. ``mse``, torch's mean over all entries: κ = 2/C.
    """
    _checks.one_of("loss", loss, ("half_mse", "mse"))
    if loss == "half_mse":
        return 1.0 / examples, 0.5 / examples
    return 2.0 / (examples * outputs), 1.0 / (examples * outputs)
