"""Mini-batch SGD on least squares: the exact expected loss, its floor, its critical rate.

Every step draws its batch anew, with or without replacement inside the batch; both are exact.
Going through a shuffled epoch is not covered: its steps are not independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh, gmres

from exptest import _checks
from exptest.linearized.arrays import as_matrix
from exptest.linearized.moments import Moments

# A diverging loss beyond this is reported as infinite.
OVERFLOW = 1e150


def expected_sgd_loss(
    inputs: Any,
    targets: Any,
    weights: Any = None,
    *,
    lr: float,
    batch_size: int,
    steps: int,
    loss: str = "half_mse",
    replacement: bool = True,
) -> Float[np.ndarray, " t"]:
    """Return E[L_t], t = 0, …, steps, of SGD on a linear model: no approximation.

    With ξ = w − w*, residuals ε = y − Xw*, ξ̄ = E ξ, M = E ξξᵀ, H = XᵀX/n and
    χ = 1/B (with replacement) or (n − B)/(B(n − 1)) (without),

        ξ̄ ← (I − ηH) ξ̄
        M ← M − η(HM + MH) + η²[(1 − χ) HMH + (χ/n) Σ xᵢxᵢᵀ (xᵢᵀMxᵢ − 2εᵢ xᵢᵀξ̄ + εᵢ²)]
        E[L_t] = L(w*) + ½ tr(HM).

    Args:
        inputs: X, shape (n, d); for a linearized network of one output its Jacobian, shape (n, p).
        targets: y, shape (n,) or (n, C); y − f₀ for a linearized network, whose θ − θ₀ starts at 0.
        weights: w₀, shape (d,) or (d, C); zeros if None.
        lr: η.
        batch_size: B, 1 ≤ B ≤ n (any B with replacement).
        steps: how many.
        loss: ``"half_mse"`` or ``"mse"``, as in `LossModel.from_linear`.
        replacement: whether an example may come twice in one batch.

    Raises:
        ValueError, TypeError: bad shapes, values, rates or batch sizes.

    One example, B = 1: no noise, plain gradient descent.

    >>> expected_sgd_loss([[1.0]], [2.0], lr=0.5, batch_size=1, steps=2).tolist()
    [2.0, 0.5, 0.125]

    Claims C3.4, C3.5 and C3.11.
    """
    problem = Moments.of(inputs, targets, weights, loss=loss)
    χ = problem.noise_share(batch_size, replacement=replacement)
    rate = problem.unit * _checks.positive("lr", lr, 0.1)
    ξ, M = problem.mean, problem.second
    curve = np.empty(_checks.at_least("steps", steps, 0, 100) + 1)
    for t in range(len(curve)):
        curve[t] = problem.loss(M)
        if curve[t] > OVERFLOW:
            curve[t + 1 :] = np.inf
            break
        noise = problem.residual_power - 2 * problem.residual_sum(ξ)
        M = problem.transport(M, rate, χ) + rate**2 * χ * problem.spread(noise)
        ξ = ξ - rate * problem.eigenvalues[:, None] * ξ
    return curve


def noise_floor(
    inputs: Any,
    targets: Any,
    *,
    lr: float,
    batch_size: int,
    loss: str = "half_mse",
    replacement: bool = True,
) -> float:
    """Return lim E[L_t]: where SGD at a constant rate comes to rest, loss units.

    The fixed point of the recursion of `expected_sgd_loss` (ξ̄ = 0). For small η the excess over
    L(w*) is (ηχ/4) tr(E[ε²xxᵀ]) + O(η²): a smaller rate lowers it in proportion.

    Args:
        inputs, targets, lr, batch_size, loss, replacement: as in `expected_sgd_loss`.

    Raises:
        ValueError: the rate is not below `mean_square_critical_rate`; there is no floor then.

    Two examples at x = 1 that pull apart, y = ±1: M = η/(2 − η), on top of L(w*) = ½.

    >>> round(noise_floor([[1.0], [1.0]], [1.0, -1.0], lr=1.0, batch_size=1), 12)
    1.0

    Claims C3.6 and C3.11.
    """
    problem, rate, χ, _ = floor_problem(inputs, targets, lr, batch_size, loss, replacement)
    return problem.loss(floor_moment(problem, rate, χ))


def floor_problem(
    inputs: Any, targets: Any, lr: float, batch_size: int, loss: str, replacement: bool
) -> tuple[Moments, float, float, float]:
    """Return the problem, η in units of ½MSE, χ and η_ms, for a rate at which there is a floor."""
    critical = mean_square_critical_rate(
        inputs, batch_size=batch_size, loss=loss, replacement=replacement, targets=targets
    )
    if not _checks.positive("lr", lr, 0.5 * critical) < critical:
        raise ValueError(
            f"at lr = {lr:g} the expected loss diverges; try less than {critical:.4g}."
        )
    problem = Moments.of(inputs, targets, None, loss=loss)
    χ = problem.noise_share(batch_size, replacement=replacement)
    return problem, problem.unit * lr, χ, critical


def floor_moment(problem: Moments, rate: float, χ: float) -> Float[np.ndarray, "r r"]:
    """M_∞, the second moment of ξ at the floor."""
    return at_rest(problem, rate, χ, rate**2 * χ * problem.spread(problem.residual_power))


def at_rest(
    problem: Moments, rate: float, χ: float, source: Float[np.ndarray, "r r"]
) -> Float[np.ndarray, "r r"]:
    """Return the M with M = T_η(M) + source, for a rate below the critical one."""
    r = len(problem.eigenvalues)
    scale = problem.pair_sums()

    def gap(flat: Float[np.ndarray, " rr"]) -> Float[np.ndarray, " rr"]:
        M = flat.reshape(r, r) / scale
        return (scale * M - rate * problem.quadratic(M, χ)).ravel()

    operator = LinearOperator((r * r, r * r), matvec=gap, dtype=np.float64)
    solution, failed = gmres(operator, source.ravel() / rate, rtol=1e-12, atol=0.0, restart=200)
    if failed:
        raise ValueError(
            f"lr = {rate / problem.unit:g} is too close to the critical rate to find the floor; "
            "try 0.99 of it."
        )
    return solution.reshape(r, r) / scale


def mean_square_critical_rate(
    inputs: Any,
    *,
    batch_size: int,
    loss: str = "half_mse",
    replacement: bool = True,
    targets: Any = None,
) -> float:
    """Return the largest η at which the second moment of SGD's error contracts.

    The moment operator T_η = I − ηA + η²Q, A(M) = HM + MH,
    Q(M) = (1 − χ) HMH + (χ/n) Σ xᵢxᵢᵀ (xᵢᵀMxᵢ), is symmetric and maps positive matrices to
    positive ones, so its spectral radius is its largest eigenvalue, and that is 1 exactly at
    η = 1/λ_max(A^{−½} Q A^{−½}). For B → ∞ this is 2/λ_max(H); for small B it is smaller.

    Args:
        inputs: X, shape (n, d).
        batch_size, loss, replacement: as in `expected_sgd_loss`.
        targets: only their number of outputs matters, and only for ``loss="mse"``; one if None.

    Returns:
        η_ms, weights per gradient.

    Raises:
        ValueError, TypeError: bad shapes, values or batch sizes, inputs that are all zero.

    One weight: η_ms = 2 mean(x²)/mean(x⁴) at B = 1; gradient descent's bound is 2/mean(x²) = 0.4.

    >>> round(41 * mean_square_critical_rate([[1.0], [3.0]], batch_size=1), 9)
    10.0

    Claims C3.5 and C3.12 to C3.14.
    """
    Y = np.zeros(len(as_matrix("inputs", inputs))) if targets is None else targets
    problem = Moments.of(inputs, Y, None, loss=loss)
    χ = problem.noise_share(batch_size, replacement=replacement)
    r, root = len(problem.eigenvalues), np.sqrt(problem.pair_sums())

    def product(flat: Float[np.ndarray, " rr"]) -> Float[np.ndarray, " rr"]:
        return (problem.quadratic(flat.reshape(r, r) / root, χ) / root).ravel()

    if r * r <= 2:
        largest = float(product(np.ones(1))[0])
    else:
        operator = LinearOperator((r * r, r * r), matvec=product, dtype=np.float64)
        start = np.eye(r).ravel()
        largest = float(eigsh(operator, k=1, v0=start, which="LA", tol=1e-13)[0][0])
    return 1.0 / (largest * problem.unit)


def critical_batch_size(inputs: Any, *, share: float = 0.5) -> int:
    """Return the smallest B whose mean-square critical rate is ``share`` of 2/λ_max(H).

    Far below it a smaller batch costs rate nearly in proportion; above it all larger
    ones together gain less than a factor of 1/share. Batches are drawn with replacement; the
    loss's convention does not matter.

    Args:
        inputs: X, shape (n, d).
        share: of 2/λ_max(H), in (0, 1).

    Raises:
        ValueError, TypeError: bad shapes, values or shares, inputs that are all zero.

    One weight: η_ms = 10/(25 + 16/B), and 0.9 · 2/5 is reached from B = 5.76.

    >>> critical_batch_size([[1.0], [3.0]], share=0.9)
    6

    Claims C3.5, C3.12 and C3.13.
    """
    _checks.open_unit("share", share, 0.5)
    goal = share * mean_square_critical_rate(inputs, batch_size=10**12)
    low, high = 1, 1
    while mean_square_critical_rate(inputs, batch_size=high) < goal:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if mean_square_critical_rate(inputs, batch_size=middle) < goal:
            low = middle + 1
        else:
            high = middle
    return high
