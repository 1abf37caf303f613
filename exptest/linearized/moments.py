"""The moments of SGD's error on least squares, and the operators that move them by one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.linearized.arrays import least_squares, loss_scale
from exptest.linearized.rounding import design_modes, precision_of


@dataclass(frozen=True)
class Moments:
    """Least squares in the eigenbasis of H, null directions left out (they never move).

    Attributes:
        Z: inputs in that basis, shape (n, r).
        eigenvalues: of H, shape (r,).
        residuals: ε, shape (n, C).
        mean, second: ξ₀ (r, C) and M₀ (r, r), summed over outputs.
        optimum: L(w*) in units of ½MSE.
        unit: κ of the loss: learning rates and losses are multiples of ½MSE's.
    """

    Z: Float[np.ndarray, "n r"]
    eigenvalues: Float[np.ndarray, " r"]
    residuals: Float[np.ndarray, "n C"]
    mean: Float[np.ndarray, "r C"]
    second: Float[np.ndarray, "r r"]
    optimum: float
    unit: float

    @classmethod
    def of(cls, inputs: Any, targets: Any, weights: Any, *, loss: str) -> Moments:
        X, Y, W = least_squares(inputs, targets, weights)
        n, outputs = Y.shape
        if not X.any():
            raise ValueError("inputs are all zero, so no step changes the outputs.")
        U, s, Vt, _ = design_modes(X, precision_of("inputs", inputs))
        V = Vt.T
        best = (U.T @ Y) / s[:, None]
        error = V.T @ W - best
        residuals = Y - U @ (s[:, None] * best)
        return cls(
            Z=U * s,
            eigenvalues=s**2 / n,
            residuals=residuals,
            mean=error,
            second=error @ error.T,
            optimum=float((residuals**2).sum() / (2 * n)),
            unit=n * loss_scale(loss, n, outputs)[0],
        )

    def noise_share(self, batch_size: int, *, replacement: bool) -> float:
        """χ: the share of one example's gradient covariance that a batch keeps."""
        n, B = len(self.Z), _checks.at_least("batch_size", batch_size, 1, 32)
        if replacement:
            return 1.0 / B
        if n < B:
            raise ValueError(
                f"batch_size = {B} exceeds the {n} examples; try replacement=True or less."
            )
        return (n - B) / (B * (n - 1)) if n > 1 else 0.0

    def noise_skew(self, batch_size: int, *, replacement: bool) -> float:
        """χ₃: the share of one example's third central moments that a batch keeps."""
        n, B = len(self.Z), batch_size
        if replacement:
            return 1.0 / B**2
        return (n - B) * (n - 2 * B) / (B**2 * (n - 1) * (n - 2)) if n > 2 else 0.0

    def loss(self, M: Float[np.ndarray, "r r"]) -> float:
        return self.unit * (self.optimum + 0.5 * float(self.eigenvalues @ np.diag(M)))

    def pair_sums(self) -> Float[np.ndarray, "r r"]:
        """λ_j + λ_k: the diagonal of A in this basis."""
        return self.eigenvalues[:, None] + self.eigenvalues

    def spread(self, power: Float[np.ndarray, " n"]) -> Float[np.ndarray, "r r"]:
        """(1/n) Σ powerᵢ xᵢxᵢᵀ."""
        return (self.Z.T * power) @ self.Z / len(self.Z)

    def quadratic(self, M: Float[np.ndarray, "r r"], χ: float) -> Float[np.ndarray, "r r"]:
        """Q(M)."""
        λ = self.eigenvalues
        return (1 - χ) * (λ[:, None] * M * λ) + χ * self.spread(self.along(M))

    def along(self, M: Float[np.ndarray, "r r"]) -> Float[np.ndarray, " n"]:
        """xᵢᵀMxᵢ."""
        return np.einsum("ij,ij->i", self.Z @ M, self.Z)

    def transport(self, M: Float[np.ndarray, "r r"], rate: float, χ: float) -> np.ndarray:
        """T_η(M)."""
        return M - rate * self.pair_sums() * M + rate**2 * self.quadratic(M, χ)

    @property
    def residual_power(self) -> Float[np.ndarray, " n"]:
        return (self.residuals**2).sum(1)

    def residual_sum(self, ξ: Float[np.ndarray, "r C"]) -> Float[np.ndarray, " n"]:
        """Σ over outputs of ε xᵢᵀξ̄."""
        return (self.residuals * (self.Z @ ξ)).sum(1)
