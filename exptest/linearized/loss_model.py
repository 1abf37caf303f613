"""The loss curve of a linear(ized) model in closed form: a sum of exponentials."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.linearized.arrays import as_matrix, loss_scale, matching, targets_like

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

BLOCK = 128
# Modes whose eigenvalue is below this share of the largest do not move in any number of steps.
NEGLIGIBLE = 1e-14


@dataclass(frozen=True)
class LossModel:
    """L_t = L_∞ + Σ_k a_k (1 − η λ_k)^{2t}, exactly, for gradient descent on squared error.

    With residual r₀ = f₀ − y, kernel Θ and function-space Hessian κΘ/n = U diag(λ) Uᵀ
    (κ = 1 for ½MSE, 2/C for torch's MSELoss over C outputs), residuals evolve as
    r_{t+1} = (I − ηκΘ/n) r_t, mode by mode.

    Attributes:
        eigenvalues: λ_k > 0, descending, shape (k,): also the Hessian's in weight space.
        amplitudes: a_k ≥ 0, shape (k,): loss carried by mode k at t = 0, loss units.
        floor: L_∞, the loss that no number of steps removes, loss units.
        basis: U, shape (N, k); N = n, or n·C for a kernel over all outputs.
        coefficients: Uᵀr₀, shape (k, C) or (k, 1).
        kernel_scale: κ/n.

    Claims C2.1 to C2.6 and C2.8.
    """

    eigenvalues: Float[np.ndarray, " k"]
    amplitudes: Float[np.ndarray, " k"]
    floor: float
    basis: Float[np.ndarray, "N k"]
    coefficients: Float[np.ndarray, "k C"]
    kernel_scale: float

    @classmethod
    def from_linear(
        cls, inputs: Any, targets: Any, weights: Any = None, *, loss: str = "half_mse"
    ) -> LossModel:
        """Build the model of f(x) = xᵀW from its data.

        Args:
            inputs: X, shape (n, d).
            targets: y, shape (n,) or (n, C).
            weights: W₀, shape (d,) or (d, C); zeros if None.
            loss: ``"half_mse"``, ‖XW − y‖²/(2n), or ``"mse"``, ‖XW − y‖²/(nC).

        Raises:
            ValueError, TypeError: shapes that do not match, non-finite values, unknown loss.

        Two examples at x = 1: one step of η = 1 reaches their mean, 2.

        >>> curve = LossModel.from_linear([[1.0], [1.0]], [3.0, 1.0]).gradient_descent(1.0, 1)
        >>> curve.round(12).tolist()
        [2.5, 0.5]
        """
        X, Y = as_matrix("inputs", inputs), as_matrix("targets", targets)
        matching("inputs", X, "targets", Y)
        W = np.zeros((X.shape[1], Y.shape[1])) if weights is None else as_matrix("weights", weights)
        if W.shape != (X.shape[1], Y.shape[1]):
            raise ValueError(
                f"weights must have shape {(X.shape[1], Y.shape[1])}, got {W.shape}; "
                "try weights=None for zeros."
            )
        U, s, _ = np.linalg.svd(X, full_matrices=False)
        return cls._from_modes(U, s**2, X @ W - Y, loss)

    @classmethod
    def from_kernel(cls, kernel: Any, residual: Any, *, loss: str = "half_mse") -> LossModel:
        """Build the model from a kernel Θ and the initial residual f₀ − y.

        Args:
            kernel: Θ, symmetric: (n, n), shared by all outputs, or (n, C, n, C).
            residual: f₀ − y, shape (n,) or (n, C).
            loss: as in `from_linear`.

        Raises:
            ValueError, TypeError: shapes that do not match, a kernel that is not symmetric.
        """
        theta, R = np.asarray(_numpy(kernel)), as_matrix("residual", residual)
        outputs = R.shape[1]
        if theta.ndim == 4:
            n, C = theta.shape[:2]
            if theta.shape != (n, C, n, C) or R.shape != (n, C):
                raise ValueError(
                    f"a kernel of shape {theta.shape} needs residuals of shape {(n, C)}, "
                    f"got {R.shape}."
                )
            theta, R = theta.reshape(n * C, n * C), R.reshape(n * C, 1)
        theta = as_matrix("kernel", theta)
        if theta.shape != (len(R), len(R)):
            raise ValueError(
                f"kernel and residual must match, got shapes {theta.shape} and {R.shape}; "
                "try empirical_ntk(model, inputs)."
            )
        if not np.allclose(theta, theta.T, rtol=1e-6, atol=1e-6 * abs(theta).max()):
            raise ValueError("the kernel is not symmetric; pass the kernel of one set with itself.")
        values, vectors = np.linalg.eigh((theta + theta.T) / 2)
        return cls._from_modes(vectors[:, ::-1], values[::-1], R, loss, outputs=outputs)

    @classmethod
    def from_network(
        cls, model: nn.Module, inputs: Any, targets: Any, *, loss: str = "half_mse"
    ) -> LossModel:
        """Build the model of a network linearized at its present weights, from its NTK in float64.

        Args:
            model: any module `empirical_ntk` accepts.
            inputs: a floating-point tensor, shape (n, ...).
            targets: shape (n,) or (n, C), as the model's outputs.
            loss: as in `from_linear`.

        Raises:
            ValueError, TypeError: as `empirical_ntk` and `from_kernel`.
        """
        from exptest.linearized.networks import examples, outputs_of
        from exptest.linearized.ntk import empirical_ntk

        x, model = examples("inputs", inputs).double(), deepcopy(model).double()
        kernel = empirical_ntk(model, x)
        outputs = outputs_of(model, x).detach().cpu().numpy()
        residual = outputs - targets_like("targets", targets, outputs)
        return cls.from_kernel(kernel, residual, loss=loss)

    @classmethod
    def _from_modes(
        cls,
        U: Float[np.ndarray, "N k"],
        values: Float[np.ndarray, " k"],
        R: Float[np.ndarray, "N C"],
        loss: str,
        *,
        outputs: int | None = None,
    ) -> LossModel:
        outputs = R.shape[1] if outputs is None else outputs
        curvature, scale = loss_scale(loss, R.size // outputs, outputs)
        alive = values > NEGLIGIBLE * max(values.max(initial=0.0), 0.0)
        U, values = U[:, alive], values[alive]
        coefficients = U.T @ R
        rest = R - U @ coefficients
        return cls(
            eigenvalues=curvature * values,
            amplitudes=scale * (coefficients**2).sum(1),
            floor=float(scale * (rest**2).sum()),
            basis=U,
            coefficients=coefficients,
            kernel_scale=curvature,
        )

    # -- curves ----------------------------------------------------------------------------

    def gradient_descent(
        self, lr: Any, steps: int, *, momentum: float = 0.0
    ) -> Float[np.ndarray, "*rates t"]:
        """Return L_0, …, L_steps of gradient descent, L_t = L_∞ + Σ a_k (1 − ηλ_k)^{2t}.

        Heavy ball as in torch: v ← μv + g, w ← w − ηv, mode by mode
        (e, v) ← [[1 − ηλ, −ημ], [λ, μ]] (e, v).

        Args:
            lr: η, a number or an array of them, whose shape comes first in the result.
            steps: how many.
            momentum: μ in [0, 1).

        Raises:
            ValueError: a rate that is not positive, a negative number of steps, μ outside [0, 1).

        Claims C2.1 and C2.5.
        """
        _checks.at_least("steps", steps, 0, 1000)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}; try momentum=0.9.")
        rates = np.asarray(_numpy(lr), dtype=np.float64)
        for rate in rates.ravel():
            _checks.positive("lr", rate, 0.1)
        with np.errstate(over="ignore", invalid="ignore"):
            curves = [
                self._heavy_ball(rate, steps, momentum) if momentum else self._powers(rate, steps)
                for rate in rates.ravel()
            ]
        return np.array(curves).reshape(*rates.shape, steps + 1)

    def _powers(self, rate: float, steps: int) -> Float[np.ndarray, " t"]:
        factor = (1.0 - rate * self.eigenvalues) ** 2
        block = factor[:, None] ** np.arange(min(BLOCK, steps + 1))
        starts = range(0, steps + 1, BLOCK)
        curve = np.concatenate([(self.amplitudes * factor**t) @ block for t in starts])
        return self.floor + curve[: steps + 1]

    def _heavy_ball(self, rate: float, steps: int, momentum: float) -> Float[np.ndarray, " t"]:
        error, velocity = np.ones_like(self.eigenvalues), np.zeros_like(self.eigenvalues)
        curve = np.empty(steps + 1)
        for t in range(steps + 1):
            curve[t] = self.floor + self.amplitudes @ error**2
            velocity = momentum * velocity + self.eigenvalues * error
            error = error - rate * velocity
        return curve

    def gradient_flow(self, times: Any) -> Float[np.ndarray, "*times"]:
        """Return L(τ) = L_∞ + Σ a_k e^{−2λ_k τ} at the times τ = ηt."""
        tau = np.asarray(_numpy(times), dtype=np.float64)
        decays = np.exp(-2.0 * tau[..., None] * self.eigenvalues)
        return np.asarray(self.floor + decays @ self.amplitudes)

    def effective_rate(self, times: Any) -> Float[np.ndarray, "*times"]:
        """Return −d log(L − L_∞)/dτ under gradient flow: from Σ2λa/Σa it falls towards 2λ_min."""
        tau = np.asarray(_numpy(times), dtype=np.float64)
        decay = np.exp(-2.0 * tau[..., None] * (self.eigenvalues - self.eigenvalues[-1]))
        rate = (decay @ (2 * self.eigenvalues * self.amplitudes)) / (decay @ self.amplitudes)
        return np.asarray(rate)

    # -- rates -----------------------------------------------------------------------------

    @property
    def critical_learning_rate(self) -> float:
        """2/λ_max: below it every mode shrinks, above it one grows."""
        return float(2.0 / self.eigenvalues[0])

    @property
    def optimal_learning_rate(self) -> float:
        """2/(λ_max + λ_min): the slowest mode shrinks as fast as it can."""
        return float(2.0 / (self.eigenvalues[0] + self.eigenvalues[-1]))

    def critical_learning_rate_with(self, momentum: float) -> float:
        """2(1 + μ)/λ_max: heavy ball's largest stable rate."""
        return (1.0 + momentum) * self.critical_learning_rate

    def modes(self, lr: float, *, gone: float = 0.01) -> pd.DataFrame:
        """Return one row per mode: its share of the loss and the step by which it is gone.

        A mode is gone when its part of the loss is below ``gone`` times what it was.
        """
        import pandas as pd

        factor = np.abs(1.0 - lr * self.eigenvalues)
        with np.errstate(divide="ignore"):
            steps = np.where(factor < 1, np.log(gone) / (2 * np.log(factor)), np.inf)
        total = self.amplitudes.sum() + self.floor
        return pd.DataFrame(
            {
                "eigenvalue": self.eigenvalues,
                "share": self.amplitudes / total,
                "factor": 1.0 - lr * self.eigenvalues,
                "gone_by_step": np.where(factor == 0, 1.0, np.ceil(steps)),
            }
        )

    # -- predictions -----------------------------------------------------------------------

    def outputs_at(
        self, cross_kernel: Any, initial: Any, *, lr: float, step: int
    ) -> Float[np.ndarray, "m C"]:
        """Return the outputs on other inputs after ``step`` steps.

        f*(t) = f*(0) − (κ/n) Θ(x*, X) U diag((1 − (1 − ηλ)^t)/λ) Uᵀ r₀.

        Args:
            cross_kernel: Θ(x*, X), shape (m, N); x* Xᵀ for a linear model.
            initial: f*(0), shape (m,) or (m, C).
        """
        cross, start = as_matrix("cross_kernel", cross_kernel), as_matrix("initial", initial)
        matching("cross_kernel", cross, "initial", start)
        moved = (1.0 - (1.0 - lr * self.eigenvalues) ** step) / self.eigenvalues
        return start - self.kernel_scale * cross @ (
            self.basis @ (moved[:, None] * self.coefficients)
        )

    def summary(self) -> str:
        """Return the spectrum and the rates in words."""
        λ = self.eigenvalues
        return (
            f"LossModel: {len(λ)} modes, λ from {λ[0]:.4g} to {λ[-1]:.4g} "
            f"(ratio {λ[0] / λ[-1]:.3g}); loss {self.floor + self.amplitudes.sum():.4g} at the "
            f"start, {self.floor:.4g} at the end; critical η = {self.critical_learning_rate:.4g}"
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return f"<p>{self.summary()}</p>"


def _numpy(values: Any) -> Any:
    return values.detach().cpu().double().numpy() if hasattr(values, "detach") else values
