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


@dataclass(frozen=True)
class CrossEntropyModel:
    """f_{t+1} = f_t − η Θ (softmax f_t − y)/n, iterated exactly.

    Cross-entropy is not quadratic, so the curve is no sum of exponentials; near a point it is
    one, with the rates of Θ^{½} P Θ^{½}/n, where P is block diagonal with diag(pᵢ) − pᵢpᵢᵀ.

    Attributes:
        kernel: Θ over all outputs, shape (nC, nC).
        outputs: f₀, shape (n, C).
        targets: one-hot y, shape (n, C).

    Claim C2.7.
    """

    kernel: Float[np.ndarray, "nC nC"]
    outputs: Float[np.ndarray, "n C"]
    targets: Float[np.ndarray, "n C"]

    @classmethod
    def from_kernel(cls, kernel: Any, outputs: Any, labels: Any) -> CrossEntropyModel:
        """Build the model.

        Args:
            kernel: Θ, shape (n, n), shared by all outputs, or (n, C, n, C).
            outputs: f₀, shape (n, C).
            labels: classes 0, …, C − 1, shape (n,), whole numbers.

        Raises:
            ValueError, TypeError: shapes that do not match, labels that are no classes, a kernel
                that is not symmetric or not finite.

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
        theta = as_kernel(kernel, n, C)
        full = theta if len(theta) == n * C else np.kron(theta, np.eye(C))
        return cls(full, F, np.eye(C)[classes.astype(int)])

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
        return f - lr / len(f) * (self.kernel @ pull.ravel()).reshape(f.shape)

    def loss(self, f: Float[np.ndarray, "n C"]) -> float:
        """Return the mean cross-entropy of the outputs ``f``."""
        return float(-(self.targets * log_softmax(f, axis=1)).sum() / len(f))

    def local_rates(self, f: Float[np.ndarray, "n C"] | None = None) -> Float[np.ndarray, " nC"]:
        """Return the eigenvalues of Θ^{½}PΘ^{½}/n at ``f`` (default f₀), descending."""
        f = self.outputs if f is None else f
        p = softmax(f, axis=1)
        n, C = p.shape
        values, vectors = np.linalg.eigh(self.kernel)
        root = vectors * np.sqrt(values.clip(0)) @ vectors.T
        blocks = np.zeros((n, C, n, C))
        blocks[np.arange(n), :, np.arange(n), :] = p[:, :, None] * np.eye(C) - (
            p[:, :, None] * p[:, None, :]
        )
        return np.linalg.eigvalsh(root @ blocks.reshape(n * C, n * C) @ root / n)[::-1]

    def critical_learning_rate(self, f: Float[np.ndarray, "n C"] | None = None) -> float:
        """Return 2/λ_max at ``f`` (default f₀): the largest step that is locally stable.

        Infinite where every step is: one class, or outputs beyond all doubt.
        """
        largest = float(self.local_rates(f)[0])
        return 2.0 / largest if largest > 0.0 else math.inf
