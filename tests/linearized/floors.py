"""Real SGD on least squares at its floor: the losses of its mini-batches."""

from __future__ import annotations

import numpy as np

from exptest.linearized.sgd import floor_moment, floor_problem


def floor_root(
    X: np.ndarray, y: np.ndarray, lr: float, batch: int, replacement: bool = True
) -> np.ndarray:
    """A root of M_∞, the second moment of w − w* at the floor, in the weights' own basis."""
    problem, rate, χ, _ = floor_problem(X, y, lr, batch, "half_mse", replacement)
    V = np.linalg.svd(X, full_matrices=False)[2].T
    return V @ np.linalg.cholesky(floor_moment(problem, rate, χ))


def losses_at_the_floor(
    X: np.ndarray,
    y: np.ndarray,
    *,
    lr: float,
    batch: int,
    steps: int,
    runs: int,
    seed: int,
    replacement: bool = True,
    before: int = 100,
) -> np.ndarray:
    """Mini-batch losses, shape (runs, steps), after as many steps as ``before`` says.

    The runs start with the floor's own second moment, so the mean loss is at rest from the start.
    """
    rng = np.random.default_rng(seed)
    root = floor_root(X, y, lr, batch, replacement)
    w = np.linalg.lstsq(X, y, rcond=None)[0] + rng.standard_normal((runs, len(root))) @ root.T
    losses = np.empty((before + steps, runs))
    for t in range(before + steps):
        if replacement:
            rows = rng.integers(len(X), size=(runs, batch))
        else:
            rows = rng.random((runs, len(X))).argpartition(batch)[:, :batch]
        x = X[rows]
        residual = np.einsum("rbd,rd->rb", x, w) - y[rows]
        losses[t] = (residual**2).mean(1) / 2
        w = w - lr / batch * np.einsum("rb,rbd->rd", residual, x)
    return losses[before:].T
