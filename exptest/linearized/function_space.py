"""Cross-entropy in function space: what a linearized classifier does, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import log_softmax, softmax

from exptest import _checks
from exptest.linearized.arrays import as_kernel, as_matrix
from exptest.linearized.rounding import Cut, cut, kernel_modes


@dataclass(frozen=True)
class CrossEntropyModel:
    """f_{t+1} = f_t − η Θ (softmax f_t − y)/n, iterated exactly.

    Cross-entropy is not quadratic, so the curve is no sum of exponentials; near a point it is
    one, with the rates of Θ^{½} P Θ^{½}/n, where P is block diagonal with diag(pᵢ) − pᵢpᵢᵀ.

    Attributes:
        root: Θ = root rootᵀ over all outputs, shape (nC, k), a column per mode.
        outputs: f₀, shape (n, C).
        targets: one-hot y, shape (n, C).
        cut: how many modes were left out as rounding, and why.

    Claim C2.7.
    """

    root: Float[np.ndarray, "nC k"]
    outputs: Float[np.ndarray, "n C"]
    targets: Float[np.ndarray, "n C"]
    cut: Cut

    @classmethod
    def from_kernel(
        cls, kernel: Any, outputs: Any, labels: Any, *, computed_in: Any = None
    ) -> CrossEntropyModel:
        """Build the model.

        Args:
            kernel: Θ, shape (n, n), shared by all outputs, or (n, C, n, C).
            outputs: f₀, shape (n, C).
            labels: classes 0, …, C − 1, shape (n,), whole numbers.
            computed_in: as in `LossModel.from_kernel`.

        Raises:
            ValueError, TypeError: shapes that do not match, labels that are no classes, a kernel
                that is not symmetric or not finite, has a negative eigenvalue or is in half
                precision.

        >>> model = CrossEntropyModel.from_kernel([[1.0]], [[0.0, 0.0]], [0])
        >>> round(float(model.gradient_descent(1.0, 1)[0]), 6)  # log 2
        0.693147
        """
        F = as_matrix("outputs", outputs)
        n, C = F.shape
        classes = as_matrix("labels", labels).ravel()
        if len(classes) != n or not np.isin(classes, np.arange(C)).all():
            raise ValueError(
                f"labels must be {n} whole numbers from 0 to {C - 1}, got {len(classes)} values "
                f"from {classes.min():g} to {classes.max():g}."
            )
        theta, precision = as_kernel(kernel, n, C, computed_in=computed_in)
        vectors, values, where = kernel_modes(theta, precision)
        root = vectors * np.sqrt(values)
        full = root if len(root) == n * C else np.kron(root, np.eye(C))
        return cls(full, F, np.eye(C)[classes.astype(int)], where)

    @property
    def kernel(self) -> Float[np.ndarray, "nC nC"]:
        """Θ over all outputs, without its rounding."""
        return self.root @ self.root.T

    def gradient_descent(self, lr: float, steps: int) -> Float[np.ndarray, " t"]:
        """Return L_0, …, L_steps of gradient descent at the rate ``lr``.

        Raises:
            ValueError, TypeError: a rate that is not positive, a negative number of steps.
        """
        rate, f = _checks.positive("lr", lr, 0.1), self.outputs
        curve = np.empty(_checks.at_least("steps", steps, 0, 1000) + 1)
        for t in range(len(curve)):
            curve[t] = self.loss(f)
            f = self.step(f, rate)
        return curve

    def step(self, f: Float[np.ndarray, "n C"], lr: float) -> Float[np.ndarray, "n C"]:
        """Return the outputs after one step from ``f``."""
        pull = softmax(f, axis=1) - self.targets
        return f - lr / len(f) * (self.root @ (self.root.T @ pull.ravel())).reshape(f.shape)

    def loss(self, f: Float[np.ndarray, "n C"]) -> float:
        """Return the mean cross-entropy of the outputs ``f``."""
        return float(-(self.targets * log_softmax(f, axis=1)).sum() / len(f))

    def local_rates(self, f: Float[np.ndarray, "n C"] | None = None) -> Float[np.ndarray, " nC"]:
        """Return the eigenvalues of Θ^{½}PΘ^{½}/n at ``f`` (default f₀), descending.

        Those that are rounding are 0.
        """
        f = self.outputs if f is None else f
        p = softmax(f, axis=1)[:, :, None]
        root = self.root.reshape(*f.shape, -1)
        spread = p * (root - (p * root).sum(1, keepdims=True))
        inner = self.root.T @ spread.reshape(self.root.shape) / len(f)
        values = np.linalg.eigvalsh((inner + inner.T) / 2)
        rates = np.zeros(f.size)
        alive = values[cut(values, "float64", f.size).modes :][::-1]
        rates[: len(alive)] = alive
        return rates

    def summary(self) -> str:
        """Return the sizes, the rate and what was cut, in words."""
        n, C = self.outputs.shape
        return (
            f"CrossEntropyModel: {n} examples, {C} classes, {self.root.shape[1]} modes; loss "
            f"{self.loss(self.outputs):.4g} at the start; critical η there = "
            f"{self.critical_learning_rate():.4g}" + (f"; {self.cut}" if self.cut.modes else "")
        )

    __str__ = summary

    def critical_learning_rate(self, f: Float[np.ndarray, "n C"] | None = None) -> float:
        """Return 2/λ_max at ``f`` (default f₀): the largest step that is locally stable.

        Infinite where every step is: one class, or outputs beyond all doubt.
        """
        largest = float(self.local_rates(f)[0])
        return 2.0 / largest if largest > 0.0 else math.inf
