"""What is left of the loss of every mode: powers, heavy ball, gradient flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.linearized.arrays import as_array

if TYPE_CHECKING:
    import pandas as pd

BLOCK = 128


def descent(
    amplitudes: Float[np.ndarray, " k"],
    eigenvalues: Float[np.ndarray, " k"],
    lr: Any,
    steps: Any,
    momentum: Any,
) -> Float[np.ndarray, "*rates t"]:
    """Return Σ a_k p_k(t)², t = 0, …, steps, for every rate, p_k the error of mode k."""
    steps, momentum = _checks.at_least("steps", steps, 0, 1000), momentum_of(momentum)
    rates = as_array("lr", lr)
    for rate in rates.ravel():
        _checks.positive("lr", float(rate), 0.1)
    with np.errstate(over="ignore", invalid="ignore"):
        curves = [
            _heavy_ball(amplitudes, eigenvalues, rate, steps, momentum)
            if momentum
            else _powers(amplitudes, eigenvalues, rate, steps)
            for rate in rates.ravel()
        ]
    return np.array(curves).reshape(*rates.shape, steps + 1)


def flow(
    amplitudes: Float[np.ndarray, " k"], eigenvalues: Float[np.ndarray, " k"], times: Any
) -> Float[np.ndarray, "*times"]:
    """Return Σ a_k e^{−2λ_k τ} at every time τ."""
    tau = as_array("times", times)
    wrong = tau[~(np.isfinite(tau) & (tau >= 0.0))]
    if wrong.size:
        raise ValueError(f"times must be finite and not negative, got {wrong[0]:g}.")
    return np.asarray(np.exp(-2.0 * tau[..., None] * eigenvalues) @ amplitudes)


def table(
    amplitudes: Float[np.ndarray, " k"],
    eigenvalues: Float[np.ndarray, " k"],
    floor: float,
    lr: Any,
    gone: Any,
) -> pd.DataFrame:
    """Return every mode's share of the loss and the step by which it is gone."""
    import pandas as pd

    factor = 1.0 - _checks.positive("lr", lr, 0.1) * eigenvalues
    size = np.abs(factor)
    with np.errstate(divide="ignore"):
        steps = np.log(_checks.open_unit("gone", gone, 0.01)) / (2 * np.log(size))
    return pd.DataFrame(
        {
            "eigenvalue": eigenvalues,
            "share": amplitudes / ((amplitudes.sum() + floor) or 1.0),
            "factor": factor,
            "gone_by_step": np.where(size < 1, np.maximum(np.ceil(steps), 1.0), np.inf),
        }
    )


def momentum_of(value: Any) -> float:
    """Return μ if 0 ≤ μ < 1."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"momentum must lie in [0, 1), got {value!r}; try momentum=0.9.")
    return float(value)


def _powers(a: np.ndarray, λ: np.ndarray, rate: float, steps: int) -> Float[np.ndarray, " t"]:
    factor = (1.0 - rate * λ) ** 2
    block = factor[:, None] ** np.arange(min(BLOCK, steps + 1))
    curve = np.concatenate([(a * factor**t) @ block for t in range(0, steps + 1, BLOCK)])
    return curve[: steps + 1]


def _heavy_ball(
    a: np.ndarray, λ: np.ndarray, rate: float, steps: int, momentum: float
) -> Float[np.ndarray, " t"]:
    error, velocity = np.ones_like(λ), np.zeros_like(λ)
    curve = np.empty(steps + 1)
    for t in range(steps + 1):
        curve[t] = a @ error**2
        velocity = momentum * velocity + λ * error
        error = error - rate * velocity
    return np.where(np.isnan(curve), np.inf, curve)  # ∞ − ∞, long past overflow
