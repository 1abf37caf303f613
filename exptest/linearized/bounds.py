"""The largest stable learning rate of a linear model, for the loss that it minimizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh

from exptest import _checks
from exptest.linearized.arrays import as_matrix

# λ_max(Hessian) ≤ CURVATURE · λ_max(XᵀX/n), with equality where the docstring says so.
CURVATURE = {"half_mse": 1.0, "mse": 2.0, "cross_entropy": 0.5, "logistic": 0.25}
DENSE_UP_TO = 2000


def max_learning_rate(inputs: Any, *, loss: str = "half_mse", bias: bool = False) -> float:
    """Return the largest learning rate at which gradient descent on a linear model is stable.

    η_max = 2 / (κ λ_max(XᵀX/n)), where κ bounds the curvature of the loss in its prediction:

    - ``half_mse``, J = ‖Xw − y‖²/(2n): Hessian XᵀX/n, κ = 1 exactly.
    - ``mse``, J = ‖Xw − y‖²/n (torch's MSELoss, one output): Hessian 2XᵀX/n, κ = 2 exactly.
    - ``cross_entropy`` (softmax): Hessian Σᵢ (diag pᵢ − pᵢpᵢᵀ) ⊗ xᵢxᵢᵀ/n. For a unit vector v,
      vᵀ(diag p − ppᵀ)v is the variance of v under p, at most (max v − min v)²/4 ≤ ½; κ = ½.
    - ``logistic``: Hessian Σᵢ pᵢ(1 − pᵢ) xᵢxᵢᵀ/n with p(1 − p) ≤ ¼; κ = ¼.

    For the last two the bound is sufficient; it is attained where p = ½ on every example.
    Inputs are taken as they are. On columns standardized with the population deviation it is the
    paper's 2n/((n − 1) λ_max(Σ)), Σ the sample covariance.

    Args:
        inputs: array or tensor, shape (n, d), or (n,) for one feature. Single constant columns are
            fine.
        loss: one of the names above, with mean reduction over examples.
        bias: append a column of ones, for a model with an intercept.

    Returns:
        η_max, weights per gradient.

    Raises:
        ValueError: empty, of more dimensions, non-finite, or without any variation.
        TypeError: no real numbers.

    >>> max_learning_rate([[1.0, 0.0], [0.0, 2.0]])  # XᵀX/n = diag(½, 2)
    1.0

    Claim C3.1.
    """
    curvature = CURVATURE[_checks.one_of("loss", loss, CURVATURE)]
    X = _design(inputs)
    if bias:
        X = np.column_stack([X, np.ones(len(X))])
    return float(2.0 / (curvature * _largest_eigenvalue(X)))


def _design(inputs: Any) -> Float[np.ndarray, "n d"]:
    X = as_matrix("inputs", inputs)
    if not X.any() or (len(X) > 1 and np.ptp(X, axis=0).max() == 0):
        raise ValueError(
            "inputs are all constant: every example is the same; check how they were loaded."
        )
    return X


def _largest_eigenvalue(X: Float[np.ndarray, "n d"]) -> float:
    """λ_max(XᵀX/n), from the smaller of the two Gram matrices."""
    n, d = X.shape
    scale = np.abs(X).max()
    X = X / scale
    if min(n, d) <= DENSE_UP_TO:
        gram = X.T @ X if d <= n else X @ X.T
        largest = np.linalg.eigvalsh(gram)[-1]
    else:
        product = LinearOperator((d, d), matvec=lambda v: X.T @ (X @ v), dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(d)
        largest = eigsh(product, k=1, v0=start, tol=1e-12, return_eigenvectors=False)[0]
    return float(largest / n * scale**2)
