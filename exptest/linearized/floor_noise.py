"""The noise of the mini-batch loss at SGD's floor: white, and a slow part that the weights leave.

A batch makes the loss of its step *and* moves the weights of the next: both are in the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.linearized.arrays import as_matrix
from exptest.linearized.moments import Moments
from exptest.linearized.sgd import at_rest, floor_moment, floor_problem

# Residuals below this share of the targets are what rounding leaves of a perfect fit.
FITTED = 1e-6
# Of the critical rate: above it, fourth moments of ξ leave those of a Gaussian (chapter 3.6).
TRUSTED = 0.5


@dataclass(frozen=True)
class FloorNoise:
    """How the mini-batch losses of SGD at its floor hang together.

    Attributes:
        autocovariance: Φ_j = Cov(L_t, L_{t+j}), j = 0, …, lags, squared loss units.
        batch: E Var(L_t | ξ_t), what the choice of the batch adds to Φ₀.
        wander: Var E[L_t | ξ_t], what the weights add; Φ₀ is the sum of both.
        coefficients: q_k = (1 − ηλ_k)²; mode k's part of Φ_j shrinks by about that at every step,
            if residuals and inputs are independent (skewed ones add parts of coefficient 1 − ηλ).
        weights: mode k's part of Φ₁, exactly; they sum to it and may be negative.
        long_run: Φ₀ + 2 Σ_{j≥1} Φ_j: n times the variance of the mean of n → ∞ losses.
    """

    autocovariance: Float[np.ndarray, " lags"]
    batch: float
    wander: float
    coefficients: Float[np.ndarray, " r"]
    weights: Float[np.ndarray, " r"]
    long_run: float

    @property
    def correlation(self) -> float:
        """Φ₁/Φ₀: how much of the noise the next loss remembers."""
        return float(self.autocovariance[1] / self.autocovariance[0])

    @property
    def inflation(self) -> float:
        """Σ Φ_j/Φ₀ over all lags, negative ones included: n losses are worth n over this."""
        return self.long_run / float(self.autocovariance[0])

    @property
    def memory(self) -> float:
        """Σ_{j≥1} Φ_j/Φ₁, steps: how long the slow part lasts."""
        return 0.5 * (self.inflation - 1.0) / self.correlation

    def summary(self) -> str:
        """Return the noise's size, where it comes from and what it does to a mean, in words."""
        Φ0 = float(self.autocovariance[0])
        return (
            f"Noise of standard deviation {Φ0**0.5:.4g}, {self.batch / Φ0:.2%} of its variance "
            f"from the batch; the next loss remembers {self.correlation:+.3%} of it, for "
            f"{self.memory:.3g} steps. So n losses are worth n/{self.inflation:.4g} independent "
            f"ones."
        )

    def _repr_html_(self) -> str:
        return f"<p>{self.summary()}</p>"


def loss_autocovariance(
    inputs: Any,
    targets: Any,
    *,
    lr: float,
    batch_size: int,
    lags: int = 100,
    loss: str = "half_mse",
    replacement: bool = True,
) -> FloorNoise:
    """Return the autocovariance of the mini-batch loss of SGD that has reached its floor.

    With M = M_∞ of `noise_floor`, ξ taken for Gaussian, and Ψ_j, Ψ̄_j = the covariances of L_t
    with ξξᵀ and with ξ, j steps on,

        Φ₀ = ½ tr(HMHM) + χ (mean of ¼rᵢ⁴ − mean of L²),  rᵢ = xᵢᵀξ − εᵢ
        Φ_j = ½ tr(HΨ_j),  Ψ_{j+1} = T_η(Ψ_j) − (2η²χ/n) Σ εᵢ xᵢxᵢᵀ xᵢᵀΨ̄_j,  Ψ̄_{j+1} = (I − ηH)Ψ̄_j.

    Args:
        inputs, lr, batch_size, loss, replacement: as in `noise_floor`.
        targets: y, shape (n,) or (n, 1).
        lags: the largest j, steps, at least 1.

    Raises:
        ValueError: a rate above half the critical one, where no Gaussian tells the noise; several
            outputs; or no noise: every example is fitted, or the batch holds all of them.

    Targets ±1 at x = 1, one drawn: Φ₀ = 7/18, and the step undoes what the batch saw.

    >>> noise = loss_autocovariance([[1.0], [1.0]], [1.0, -1.0], lr=0.5, batch_size=1, lags=2)
    >>> (72 * noise.autocovariance).round(6).tolist()
    [28.0, -5.0, -1.25]

    Claims C3.9 and C3.10.
    """
    lags = _checks.at_least("lags", lags, 1, 100)
    problem, rate, χ, critical = floor_problem(inputs, targets, lr, batch_size, loss, replacement)
    _refuse(problem, targets, χ, lr, critical)
    skew = problem.noise_skew(batch_size, replacement=replacement)
    λ, unit, M = problem.eigenvalues, problem.unit**2, floor_moment(problem, rate, χ)
    Ψ, mean = _one_step_on(problem, M, rate, χ, skew)

    def pull(mean: Float[np.ndarray, "r 1"]) -> Float[np.ndarray, "r r"]:
        return -2 * rate**2 * χ * problem.spread(problem.residual_sum(mean))

    weights = 0.5 * unit * λ * np.diag(Ψ)
    slow = at_rest(problem, rate, χ, Ψ + pull(mean / (rate * λ)[:, None]))
    wander, batch = _variances(problem, M, χ)
    Φ = np.empty(lags + 1)
    Φ[0] = wander + batch
    for j in range(1, lags + 1):
        Φ[j] = 0.5 * λ @ np.diag(Ψ)
        Ψ, mean = problem.transport(Ψ, rate, χ) + pull(mean), mean - (rate * λ)[:, None] * mean
    long_run = unit * (Φ[0] + λ @ np.diag(slow))
    coefficients = (1 - rate * λ) ** 2
    return FloorNoise(unit * Φ, unit * batch, unit * wander, coefficients, weights, float(long_run))


def _refuse(problem: Moments, targets: Any, χ: float, lr: float, critical: float) -> None:
    if (outputs := problem.residuals.shape[1]) > 1:
        raise ValueError(f"targets must be of one output, got {outputs}; try one column at a time.")
    if χ == 0.0:
        raise ValueError("the batch holds every example, so there is no noise; try a smaller one.")
    if problem.optimum <= 0.5 * FITTED**2 * (as_matrix("targets", targets) ** 2).mean():
        raise ValueError("the model fits every example, so no noise is left; try other targets.")
    if lr > TRUSTED * critical:
        raise ValueError(
            f"at lr = {lr:g}, near the critical {critical:.4g}, the weights are far from Gaussian; "
            f"try at most {TRUSTED * critical:.4g}."
        )


def _variances(problem: Moments, M: Float[np.ndarray, "r r"], χ: float) -> tuple[float, float]:
    """Var E[L_t | ξ] and E Var(L_t | ξ) in units of ½MSE."""
    λ, mean_loss = problem.eigenvalues, problem.loss(M) / problem.unit
    wander = 0.5 * float(np.sum(λ[:, None] * M**2 * λ))
    squares = 0.25 * float(_fourth(problem, M).mean())
    return wander, χ * (squares - mean_loss**2 - wander)


def _fourth(problem: Moments, M: Float[np.ndarray, "r r"]) -> Float[np.ndarray, " n"]:
    """E rᵢ⁴ of the residuals rᵢ = xᵢᵀξ − εᵢ."""
    ε2, along = problem.residual_power, problem.along(M)
    return ε2**2 + 6 * ε2 * along + 3 * along**2


def _one_step_on(
    problem: Moments, M: Float[np.ndarray, "r r"], rate: float, χ: float, χ3: float
) -> tuple[Float[np.ndarray, "r r"], Float[np.ndarray, "r 1"]]:
    """Ψ₁ and Ψ̄₁: what a batch's loss has to do with the weights that the batch makes."""
    λ, F = problem.eigenvalues, problem.loss(M) / problem.unit
    H, A, ε, along = np.diag(λ), 1 - rate * λ, problem.residuals[:, 0], problem.along(M)
    MHM = M @ H @ M
    G = problem.spread(ε**2 + along)  # (1/n) Σ E rᵢ² xᵢxᵢᵀ
    undone = 1.5 * M @ G - (F * M + MHM) @ H  # E ξ Cov(½r², g | ξ)ᵀ, one example drawn
    kicked = (
        0.5 * problem.spread(_fourth(problem, M))
        - F * G
        - problem.spread(problem.along(MHM))
        - 1.5 * (G @ M @ H + H @ M @ G)
        + 2 * H @ (F * M + MHM) @ H
    )  # E of the third central moment of ½r², g and g
    undone = A[:, None] * undone
    Ψ = problem.transport(MHM, rate, χ) - rate * χ * (undone + undone.T) + rate**2 * χ3 * kicked
    push = 0.5 * problem.Z.T @ (ε**3 + 3 * ε * along) / len(ε)  # −E Cov(½r², g | ξ)
    return Ψ, (rate * χ * push)[:, None]
