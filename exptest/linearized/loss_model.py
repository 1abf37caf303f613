"""The loss curve of a linear(ized) model in closed form: a sum of exponentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.linearized import decay
from exptest.linearized.arrays import (
    as_array,
    as_kernel,
    as_matrix,
    least_squares,
    loss_scale,
    targets_like,
)
from exptest.linearized.rounding import Cut, design_modes, kernel_modes, precision_of

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn


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
        cut: how many modes were left out as rounding, and why; their loss is in the floor.

    Claims C2.1 to C2.6 and C2.8 to C2.12.
    """

    eigenvalues: Float[np.ndarray, " k"]
    amplitudes: Float[np.ndarray, " k"]
    floor: float
    basis: Float[np.ndarray, "N k"]
    coefficients: Float[np.ndarray, "k C"]
    kernel_scale: float
    cut: Cut

    @classmethod
    def from_linear(
        cls,
        inputs: Any,
        targets: Any,
        weights: Any = None,
        *,
        loss: str = "half_mse",
        computed_in: Any = None,
    ) -> LossModel:
        """Build the model of f(x) = xᵀW from its data.

        Args:
            inputs: X, shape (n, d).
            targets: y, shape (n,) or (n, C).
            weights: W₀, shape (d,) or (d, C); zeros if None.
            loss: ``"half_mse"``, ‖XW − y‖²/(2n), or ``"mse"``, ‖XW − y‖²/(nC).
            computed_in: precision in which X was computed, if not the array's; singular values
                within its rounding are no modes (`exptest.linearized.rounding`).

        Raises:
            ValueError, TypeError: bad shapes or values, an unknown loss, half precision.

        Two examples at x = 1: one step of η = 1 reaches their mean, 2.

        >>> curve = LossModel.from_linear([[1.0], [1.0]], [3.0, 1.0]).gradient_descent(1.0, 1)
        >>> curve.round(12).tolist()
        [2.5, 0.5]
        """
        X, Y, W = least_squares(inputs, targets, weights)
        U, s, _, cut = design_modes(X, precision_of("inputs", inputs, computed_in))
        with np.errstate(over="ignore"):
            return cls._from_modes(U, s**2, X @ W - Y, loss, cut)

    @classmethod
    def from_kernel(
        cls, kernel: Any, residual: Any, *, loss: str = "half_mse", computed_in: Any = None
    ) -> LossModel:
        """Build the model from a kernel Θ and the initial residual f₀ − y.

        Args:
            kernel: Θ, symmetric: (n, n), shared by all outputs, or (n, C, n, C).
            residual: f₀ − y, shape (n,) or (n, C).
            loss, computed_in: as in `from_linear`; eigenvalues within rounding are no modes.

        Raises:
            ValueError, TypeError: bad shapes, half precision, a kernel that is not symmetric or
                has a negative eigenvalue.

        >>> LossModel.from_kernel([[4.0, 0.0], [0.0, 1.0]], [1.0, 1.0]).critical_learning_rate
        1.0
        """
        R = as_matrix("residual", residual)
        U, values, cut = kernel_modes(*as_kernel(kernel, *R.shape, computed_in=computed_in))
        return cls._from_modes(U, values, R, loss, cut)

    @classmethod
    def from_network(
        cls,
        model: nn.Module,
        inputs: Any,
        targets: Any,
        *,
        loss: str = "half_mse",
        output: Any = None,
    ) -> LossModel:
        """Build the model of a network linearized at its present weights, from its NTK in float64.

        Args:
            model, inputs, output: as ``model``, ``x1`` and ``output`` of `empirical_ntk`.
            targets: shape (n,) or (n, C), as the model's outputs.
            loss: as in `from_linear`.

        Raises:
            ValueError, TypeError: as `empirical_ntk` and `from_kernel`.

        >>> from torch import nn, ones, zeros
        >>> line = nn.Linear(1, 1, bias=False)
        >>> LossModel.from_network(line, 2 * ones(3, 1), zeros(3, 1)).eigenvalues.round(9)
        array([4.])
        """
        from exptest.linearized.ntk import kernel_and_outputs

        kernel, f = kernel_and_outputs(model, inputs, output)
        return cls.from_kernel(kernel, f - targets_like("targets", targets, f), loss=loss)

    @classmethod
    def _from_modes(
        cls,
        U: Float[np.ndarray, "N k"],
        values: Float[np.ndarray, " k"],
        R: Float[np.ndarray, "n C"],
        loss: str,
        cut: Cut,
    ) -> LossModel:
        curvature, scale = loss_scale(loss, *R.shape)
        largest = values.max(initial=0.0)
        if not 0.0 < largest < np.inf:
            raise ValueError(
                f"no step changes the outputs: the kernel's largest eigenvalue is {largest:g}; "
                "look for inputs that are all zero, or scale them."
            )
        U, values = U[:, values > 0.0], values[values > 0.0]  # squares of tiny inputs underflow
        residual = R.reshape(len(U), -1)
        coefficients = U.T @ residual
        rest = residual - U @ coefficients
        return cls(
            eigenvalues=curvature * values,
            amplitudes=scale * (coefficients**2).sum(1),
            floor=float(scale * (rest**2).sum()),
            basis=U,
            coefficients=coefficients,
            kernel_scale=curvature,
            cut=cut,
        )

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
        return self.floor + decay.descent(*self._carrying(), lr, steps, momentum)

    def gradient_flow(self, times: Any) -> Float[np.ndarray, "*times"]:
        """Return L(τ) = L_∞ + Σ a_k e^{−2λ_k τ} at the times τ = ηt ≥ 0.

        Raises:
            ValueError: a time that is negative or not finite.
        """
        return np.asarray(self.floor + decay.flow(self.amplitudes, self.eigenvalues, times))

    def effective_rate(self, times: Any) -> Float[np.ndarray, "*times"]:
        """Return −d log(L − L_∞)/dτ under gradient flow: from Σ2λa/Σa it falls towards 2λ_min.

        λ_min is the smallest eigenvalue that carries loss.

        Raises:
            ValueError: a time that is negative or not finite, or a loss that starts at its floor.
        """
        a, λ = self._carrying()
        if not a.size:
            raise ValueError("the loss starts at its floor, so it has no rate of decay.")
        rest = λ - λ[-1]  # what all modes have in common would underflow
        return np.asarray(decay.flow(2 * λ * a, rest, times) / decay.flow(a, rest, times))

    def _carrying(self) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """Amplitudes and eigenvalues of the modes that carry loss: the others never will."""
        carry = self.amplitudes > 0
        return self.amplitudes[carry], self.eigenvalues[carry]

    @property
    def critical_learning_rate(self) -> float:
        """2/λ_max: below it every mode shrinks, above it one grows."""
        return float(2.0 / self.eigenvalues[0])

    @property
    def optimal_learning_rate(self) -> float:
        """2/(λ_max + λ_min): the slowest mode shrinks as fast as it can."""
        return float(2.0 / (self.eigenvalues[0] + self.eigenvalues[-1]))

    def critical_learning_rate_with(self, momentum: float) -> float:
        """Return 2(1 + μ)/λ_max: heavy ball's largest stable rate, 0 ≤ μ < 1."""
        return (1.0 + decay.momentum_of(momentum)) * self.critical_learning_rate

    def modes(self, lr: float, *, gone: float = 0.01) -> pd.DataFrame:
        """Return one row per mode: its share of the loss and the step by which it is gone.

        A mode is gone when its part of the loss is below ``gone`` times what it was.

        Raises:
            ValueError: a rate that is not positive, ``gone`` not between 0 and 1.

        Claim C2.12.
        """
        return decay.table(self.amplitudes, self.eigenvalues, self.floor, lr, gone)

    def outputs_at(
        self, cross_kernel: Any, initial: Any, *, lr: float, step: int
    ) -> Float[np.ndarray, "m C"]:
        """Return the outputs on other inputs after ``step`` steps.

        f*(t) = f*(0) − (κ/n) Θ(x*, X) U diag((1 − (1 − ηλ)^t)/λ) Uᵀ r₀.

        Args:
            cross_kernel: Θ(x*, X), shape (m, n), x* Xᵀ for a linear model; or (m, C, n, C), as
                `empirical_ntk` returns it, for a model of a kernel over all outputs.
            initial: f*(0), shape (m,) or (m, C).
            lr, step: η and t.

        Raises:
            ValueError, TypeError: shapes that do not match, a rate that is not positive.

        One step of η = 1 from w = 0 fits y = 3 at x = 1:

        >>> LossModel.from_linear([[1.0]], [3.0]).outputs_at([[2.0]], [0.0], lr=1.0, step=1)
        array([[6.]])

        Claim C2.8.
        """
        rate, t = _checks.positive("lr", lr, 0.1), _checks.at_least("step", step, 0, 100)
        start, cross = as_matrix("initial", initial), as_array("cross_kernel", cross_kernel)
        precision_of("cross_kernel", cross_kernel)
        N, C = len(self.basis), self.coefficients.shape[1]
        rows = start.size // C  # m, or m·C where the kernel is one over all outputs
        if cross.shape[:1] != start.shape[:1] or (cross.size, start.size) != (rows * N, rows * C):
            raise ValueError(
                f"cross_kernel and initial must hold a row for each new input, of {N} values for "
                f"{C} outputs, got shapes {cross.shape} and {start.shape}; "
                "try empirical_ntk(model, others, inputs) and model(others)."
            )
        gone = (1.0 - (1.0 - rate * self.eigenvalues) ** t) / self.eigenvalues
        pull = self.basis @ (gone[:, None] * self.coefficients)
        change = as_matrix("cross_kernel", cross.reshape(rows, N)) @ pull
        return start - self.kernel_scale * change.reshape(start.shape)

    def summary(self) -> str:
        """Return the spectrum, what was cut from it and the rates in words."""
        λ = self.eigenvalues
        return (
            f"LossModel: {len(λ)} modes, λ from {λ[0]:.4g} to {λ[-1]:.4g} "
            f"(ratio {λ[0] / λ[-1]:.3g}); loss {self.floor + self.amplitudes.sum():.4g} at the "
            f"start, {self.floor:.4g} at the end; critical η = {self.critical_learning_rate:.4g}"
            + (f"; {self.cut}" if self.cut.modes else "")
        )

    __str__ = summary

    def _repr_html_(self) -> str:
        return f"<p>{self.summary()}</p>"
