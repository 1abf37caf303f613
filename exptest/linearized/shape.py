"""How exponential is the curve? The best single exponential, how far it is, and the knee."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from exptest import _checks
from exptest.linearized.loss_model import LossModel

POINTS = 2000
GRID = 60


@dataclass(frozen=True)
class SingleExponential:
    """The least-squares a·e^{−bτ} + c to a loss curve on [0, T], T in units of τ = ηt.

    Attributes:
        amplitude, floor: a and c, loss units.
        rate: b, per unit of τ.
        horizon: T.
        deviation: largest |L(τ) − fit| over the fall L(0) − L(T): 0 for one mode.
        unexplained: residual sum of squares over that of the best straight line. ExpTest's
            premise is that this is well below 1.
    """

    amplitude: float
    rate: float
    floor: float
    horizon: float
    deviation: float
    unexplained: float

    def predict(self, times: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        """Return the fit at the times τ."""
        return self.amplitude * np.exp(-self.rate * times) + self.floor

    def __str__(self) -> str:
        return (
            f"{self.amplitude:.4g}·exp(−{self.rate:.4g} τ) + {self.floor:.4g} on [0, "
            f"{self.horizon:.4g}]: at most {self.deviation:.1%} of the fall away, "
            f"{self.unexplained:.2%} of the straight line's squares left"
        )


def best_exponential(model: LossModel, horizon: float) -> SingleExponential:
    """Return the single exponential nearest to the gradient-flow curve on [0, horizon].

    min over (a, b, c) of Σ (L(τ_i) − a e^{−bτ_i} − c)² on an even grid; for a fixed rate b the
    fit is linear in (a, c), so only the rate is searched.

    Args:
        model: whose curve.
        horizon: T > 0, in units of τ = ηt.

    Raises:
        ValueError: the horizon is not positive, or the curve does not fall over it.

    One mode is one exponential:

    >>> model = LossModel.from_linear([[1.0]], [1.0])
    >>> fit = best_exponential(model, 3.0)
    >>> round(fit.rate, 6), round(fit.deviation, 6)
    (2.0, 0.0)

    Claim C2.6.
    """
    T = _checks.positive("horizon", horizon, 1.0)
    τ = np.linspace(0.0, T, POINTS)
    y = model.gradient_flow(τ)
    if not y[0] > y[-1]:
        raise ValueError(
            f"the loss does not fall within horizon = {T:g}: it stays at {y[0]:.6g}; "
            "try a longer horizon, or a start away from the solution."
        )

    def fit(basis: Float[np.ndarray, " t"]) -> tuple[float, float, float]:
        design = np.column_stack([basis, np.ones_like(τ)])
        (a, c), *_ = np.linalg.lstsq(design, y, rcond=None)
        return float(a), float(c), float(((y - design @ (a, c)) ** 2).sum())

    def squares(log_rate: float) -> float:
        return fit(np.exp(-np.exp(log_rate) * τ))[2]

    rate = float(np.exp(_minimum(squares, np.log(np.geomspace(1e-2 / T, POINTS / T, GRID)))))
    a, c, sse = fit(np.exp(-rate * τ))
    away = float(abs(a * np.exp(-rate * τ) + c - y).max())
    return SingleExponential(
        amplitude=a,
        rate=rate,
        floor=c,
        horizon=T,
        deviation=away / float(y[0] - y[-1]),
        unexplained=sse / fit(τ)[2],
    )


def knee(model: LossModel) -> float:
    """Return the time τ at which the graph of L(τ) is most curved.

    Curvature is L''/(1 + L'²)^{3/2} with L in loss units and τ in units of η·steps. For one
    mode a·e^{−bτ} it is where the slope is −1/√2: τ = log(√2 a b)/b. A curve that starts out
    flatter bends most at its start, and the knee is 0.

    Args:
        model: whose gradient-flow curve.

    >>> model = LossModel.from_linear([[1.0]], [2.0])  # 2 e^{−2τ}
    >>> round(knee(model), 5), round(float(np.log(np.sqrt(2) * 2 * 2) / 2), 5)
    (0.86643, 0.86643)

    Claim C4.8.
    """
    twice = 2.0 * model.eigenvalues

    def flatness(time: float) -> float:
        decays = model.amplitudes * np.exp(-time * twice)
        slope, bend = -(twice @ decays), (twice**2) @ decays
        return -float(bend / (1.0 + slope**2) ** 1.5)

    grid = np.log(np.geomspace(1e-6 / twice[0], 50.0 / twice[-1], 400))
    found = float(np.exp(_minimum(lambda log_time: flatness(np.exp(log_time)), grid)))
    return found if flatness(found) < flatness(0.0) else 0.0


def _minimum(function: Callable[[float], float], grid: Float[np.ndarray, " g"]) -> float:
    """The least value's place: the best of the grid, then between its neighbours."""
    best = int(np.argmin([function(u) for u in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(function, bounds=around, method="bounded", options={"xatol": 1e-12})
    return float(found.x)
