"""How much a stochastic path wanders: its length over its net displacement."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import norm

from exptest import _checks


class PathRatio:
    """Stream gradients, read how much longer their path is than its chord.

    ρ = Σᵢ ‖gᵢ‖ / ‖Σᵢ gᵢ‖ ≥ 1, with equality exactly when all gradients share one direction.

    ``update`` takes the gradient of one step (array or tensor, any shape, the same at every
    step); ``value`` is ρ so far: 1 before the first step, infinite where the steps cancel or
    a gradient is not finite; ``reset`` begins a new window.

    Raises:
        TypeError, ValueError: a gradient is not numeric, is empty or changes its shape.

    Three steps east and one step north:

    >>> path = PathRatio()
    >>> for gradient in ([1, 0], [1, 0], [1, 0], [0, 1]):
    ...     path.update(gradient)
    >>> round(path.value**2, 12)  # 4² / (3² + 1²)
    1.6

    Claims C4.4, C4.5 and C4.9.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every step."""
        self._length = 0.0
        self._sum: Float[np.ndarray, " p"] | None = None
        self._shape: tuple[int, ...] = ()

    def update(self, gradient: Any) -> None:
        """Add the gradient of one step."""
        shape = tuple(
            np.shape(gradient.detach().cpu() if hasattr(gradient, "detach") else gradient)
        )
        g = _checks.series("gradient", _flat(gradient))
        if self._sum is None:
            self._sum, self._shape = np.zeros_like(g), shape
        elif shape != self._shape:
            raise ValueError(
                f"gradient must keep its shape {self._shape}, got {shape}; "
                "try reset() before a new model."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            self._length += float(norm(g, check_finite=False))
            self._sum += g

    @property
    def value(self) -> float:
        """ρ of the steps so far."""
        if self._sum is None:
            return 1.0
        chord = float(norm(self._sum, check_finite=False))
        if self._length == 0.0:
            return 1.0
        if not (np.isfinite(self._length) and np.isfinite(chord)) or chord == 0.0:
            return float("inf")
        return max(self._length / chord, 1.0)


def _flat(gradient: Any) -> Any:
    return gradient.reshape(-1) if hasattr(gradient, "reshape") else np.ravel(gradient)
