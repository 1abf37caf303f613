"""What the loss model takes: finite float64 matrices with matching rows, and a known loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.linearized.rounding import precision_of

# What sums in another order leave: float32 kernels of 1e6 weights differ by up to 1e-6.
ASYMMETRY = {"float32": 1e-5, "float64": 1e-6}


def as_array(name: str, values: Any) -> np.ndarray:
    """Return ``values``, an array, a tensor or nested lists, as a float64 array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.numpy() if values.is_complex() else values.double().numpy()
    try:
        array = np.asarray(values)
        if np.iscomplexobj(array):
            raise TypeError("complex numbers")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be real numbers, got {type(values).__name__}; try a float array."
        ) from error


def as_matrix(name: str, values: Any) -> Float[np.ndarray, "rows columns"]:
    """Return ``values`` as a finite float64 matrix; a vector becomes one column."""
    matrix = as_array(name, values)
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


def as_kernel(
    values: Any, examples: int, outputs: int, *, computed_in: Any = None
) -> tuple[Float[np.ndarray, "N N"], str]:
    """Return a kernel, (n, n) for all outputs or (nC, nC) over them, and its precision."""
    theta = as_array("kernel", values)
    precision = precision_of("kernel", values, computed_in)
    n, C = examples, outputs
    if theta.shape not in ((n, n), (n, C, n, C)):
        raise ValueError(
            f"kernel must have shape {(n, n)} or {(n, C, n, C)}, got {theta.shape}; "
            "try empirical_ntk(model, inputs)."
        )
    theta = as_matrix("kernel", theta.reshape(-1, n if theta.ndim == 2 else n * C))
    tolerance = ASYMMETRY[precision]
    if not np.allclose(theta, theta.T, rtol=tolerance, atol=tolerance * abs(theta).max()):
        raise ValueError("the kernel is not symmetric; pass the kernel of one set with itself.")
    return (theta + theta.T) / 2, precision


def least_squares(
    inputs: Any, targets: Any, weights: Any
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], Float[np.ndarray, "d C"]]:
    """Return X, Y and W₀, zeros if None, of matching shapes."""
    X, Y = as_matrix("inputs", inputs), as_matrix("targets", targets)
    matching("inputs", X, "targets", Y)
    shape = X.shape[1], Y.shape[1]
    W = np.zeros(shape) if weights is None else as_matrix("weights", weights)
    if W.shape != shape:
        raise ValueError(
            f"weights must have shape {shape}, got {W.shape}; try weights=None for zeros."
        )
    return X, Y, W


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
