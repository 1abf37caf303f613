"""The rate whose loss is lowest after a given number of steps: it depends on that number."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from exptest import _checks
from exptest.linearized.loss_model import LossModel


def best_learning_rate(model: LossModel, steps: int) -> float:
    """Return the one rate at which gradient descent's loss is lowest after ``steps`` steps.

    argmin_η Σ_k a_k (1 − ηλ_k)^{2t}, the root of Σ_k a_k λ_k (1 − ηλ_k)^{2t−1} between 1/λ_max and
    1/λ_min. One step: Σaλ/Σaλ², the exact line search. It tends to 2/(λ_max + λ_min), of the
    modes that carry loss.

    Args:
        model: whose loss.
        steps: t, 1 or more.

    Raises:
        TypeError, ValueError: ``steps`` is no number of steps, or the loss starts at its floor.

    Equal residuals in the modes λ = 4 and 1 carry equal loss:

    >>> model = LossModel.from_kernel([[8.0, 0.0], [0.0, 2.0]], [1.0, 1.0])
    >>> round(best_learning_rate(model, 1), 6), round((4 + 1) / (16 + 1), 6)
    (0.294118, 0.294118)

    Claims C8.7 and C8.8.
    """
    t = _checks.at_least("steps", steps, 1, 100)
    carry = model.amplitudes > 0.0
    a, λ = model.amplitudes[carry], model.eigenvalues[carry]
    if not a.size:
        raise ValueError("the loss starts at its floor, so no rate is better than another.")
    logs = np.log(a) + np.log(λ)

    def slope(lr: float) -> float:
        left = 1.0 - lr * λ
        with np.errstate(divide="ignore"):
            sizes = logs + (2 * t - 1) * np.log(np.abs(left))
        return float(np.sign(left) @ np.exp(sizes - sizes.max()))

    low, high = 1.0 / λ[0], 1.0 / λ[-1]
    if low == high:
        return float(low)
    return float(brentq(slope, low, high, xtol=1e-15 * low, rtol=1e-14))
