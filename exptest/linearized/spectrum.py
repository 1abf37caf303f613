"""The largest curvature of any network's loss, without the matrix: how large a step is stable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn

from exptest import _checks
from exptest.linearized.chosen import chosen
from exptest.linearized.company import refuse_company
from exptest.linearized.curvature import CURVATURES, Curvature, refuse_asymmetric
from exptest.linearized.derivatives import refuse_wrong
from exptest.linearized.inputs import examples, length, parts, refuse_coarse, split
from exptest.linearized.losses import (
    LossFn,
    averages_examples,
    largest_output_curvature,
    refuse_weighted_batches,
)
from exptest.linearized.networks import call, refuse_mixing, trainable
from exptest.linearized.rounding import PRECISIONS, UNITS

DENSE_UP_TO = 32


@dataclass(frozen=True)
class Spectrum:
    """The largest eigenvalues of a loss's curvature over all trainable weights.

    Attributes:
        eigenvalues: largest first, loss units per squared weight.
        vectors: unit eigenvectors, one per column, in the order of ``model.parameters()``.
        residuals: ‖Av − λv‖/|λ_max|, what is left to converge.
        products: matrix-vector products spent, each one sweep over the data.
        curvature: which matrix.
        norm: ‖A‖, estimated (Frobenius); eigenvalues within its rounding are 0.
        output_curvature: κ_f, the largest eigenvalue of the loss in the outputs of one example: the
            factor that the loss's convention brings (½MSE 1; MSE over C outputs 2/C; cross-entropy
            at most ½).
    """

    eigenvalues: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "p k"]
    residuals: Float[np.ndarray, " k"]
    products: int
    curvature: str
    norm: float
    output_curvature: float

    @property
    def critical_learning_rate(self) -> float:
        """2/λ_max, weights per gradient.

        Infinite where the loss has no curvature, nan where it curves, but nowhere upwards: there
        every step leads away, and no rate is stable.
        """
        if self.eigenvalues[0] > 0.0:
            return 2.0 / float(self.eigenvalues[0])
        return math.nan if self.norm > 0.0 else math.inf

    def __str__(self) -> str:
        return (
            f"λ_max = {self.eigenvalues[0]:.6g} ({self.curvature}; relative residual "
            f"{self.residuals[0]:.1e}, {self.products} products), {self._verdict()}; the loss "
            f"brings a factor of {self.output_curvature:.4g}."
        )

    def _verdict(self) -> str:
        if self.eigenvalues[0] > 0.0:
            return f"so gradient descent is stable below η = {self.critical_learning_rate:.6g}"
        if self.norm > 0.0:
            return "so the loss curves downwards and nowhere upwards, and no η is stable"
        return "so the loss is flat and its curvature limits no η"

    def summary(self) -> str:
        """Return the eigenvalues with their residuals, and the verdict."""
        rows = [
            f"λ_{k:<4}{value:<14.6g}{residual:.1e}"
            for k, (value, residual) in enumerate(
                zip(self.eigenvalues, self.residuals, strict=True), 1
            )
        ]
        return "\n".join([f"{'':6}{'eigenvalue':<14}residual", *rows, str(self)])

    def _repr_html_(self) -> str:
        return f"<p>{self}</p>"


def critical_learning_rate(
    model: nn.Module, loss_fn: LossFn, inputs: Any, targets: Any, **options: Any
) -> float:
    """Return 2/λ_max: the largest rate at which gradient descent is stable near these weights.

    Args:
        model, loss_fn, inputs, targets: as in `curvature_spectrum`.
        **options: ``curvature``, ``batch_size``, ``seed``, ``tolerance``, ``max_products``,
            ``output`` of `curvature_spectrum`, whose result also holds the residual and the
            number of products.

    Returns:
        η, weights per gradient; infinite where the loss has no curvature at all.

    Raises:
        TypeError, ValueError, RuntimeError: as `curvature_spectrum`.
        ValueError: the loss curves downwards and nowhere upwards, as at a maximum.

    >>> line = nn.Linear(1, 1, bias=False)  # L = (2w)², for torch's MSELoss has no ½
    >>> critical_learning_rate(line, nn.MSELoss(), torch.full((3, 1), 2.0), torch.zeros(3, 1))
    0.25

    Claims C3.2, C3.3, C3.15 and C3.16.
    """
    spectrum = curvature_spectrum(model, loss_fn, inputs, targets, **options)
    if math.isnan(spectrum.critical_learning_rate):
        raise ValueError(
            "no learning rate is stable where the loss curves downwards and nowhere upwards, here: "
            f"the largest eigenvalue is {spectrum.eigenvalues[0]:.4g} ({spectrum.curvature}); look "
            "for a sign in loss_fn, or train away from the maximum first."
        )
    return spectrum.critical_learning_rate


def curvature_spectrum(
    model: nn.Module,
    loss_fn: LossFn,
    inputs: Any,
    targets: Any,
    *,
    curvature: str = "ggn",
    k: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    max_products: int = 1000,
    output: Any = None,
) -> Spectrum:
    """Return the k largest eigenvalues of a loss's curvature, from matrix-vector products.

    With L(θ) = mean (or sum) of ℓ(f_θ(x_i), y_i), J the Jacobian of all outputs:

    - ``hessian``: ∇²L;
    - ``ggn``: Jᵀ (∂²L/∂f²) J, the Hessian of the linearized network, positive for convex ℓ;
    - ``ntk``: κ_f JᵀJ/n, the eigenvalues of κ_f Θ/n, κ_f the largest curvature of ℓ in
      its outputs here.

    λ(ntk) ≥ λ(ggn), equal for squared error. Implicitly restarted Lanczos (ARPACK).

    Args:
        model: any module, dropout and batch normalization in evaluation mode. It is not changed.
        loss_fn: (outputs, targets) ↦ one number, a mean or a sum over examples.
        inputs: shape (n, ...), features or token ids; or a tuple of such tensors, which the model
            takes side by side.
        targets: whatever ``loss_fn`` takes, shape (n, ...).
        curvature: one of the names above.
        k: how many eigenvalues.
        batch_size: examples per forward pass; all by default. The result does not depend on it.
        seed: of the starting vector; the same seed gives the same answer.
        tolerance: relative residual asked for; 1e-10 in float64, 1e-5 below.
        max_products: give up after about this many.
        output: of a model that returns a dict or a tuple, the key or index of what ``loss_fn``
            takes; or a function of what it returns.

    Returns:
        The spectrum, which prints its residual and the number of products.

    Raises:
        TypeError: inputs that are no real tensors of single or double precision, targets that are
            no tensor.
        ValueError: shapes that do not match, non-finite values, a loss that is neither mean nor
            sum, does not add up over batches or has no second derivative, a model that mixes
            examples or is random.
        RuntimeError: not converged; the message says how far it got.

    >>> model, x = nn.Linear(2, 1, bias=False), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> spectrum = curvature_spectrum(model, nn.MSELoss(), x, torch.zeros(2, 1), k=2)
    >>> spectrum.eigenvalues.round(5)  # of 2XᵀX/n
    array([4., 1.])

    Claims C3.2, C3.3, C3.15 and C3.16.
    """
    _checks.one_of("curvature", curvature, CURVATURES)
    matrix = _curvature(model, loss_fn, inputs, targets, curvature, batch_size, output)
    weights = trainable(model)
    p = sum(w.numel() for w in weights.values())
    if _checks.at_least("k", k, 1, 1) > p:
        raise ValueError(f"k must not exceed the {p} trainable weights, got {k!r}; try k=1.")
    like = torch.cat([w.flatten() for w in weights.values()])
    count = 0

    def product(v: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
        nonlocal count
        count += 1
        return (matrix @ torch.as_tensor(v.ravel()).to(like)).cpu().numpy()

    double = like.dtype == torch.float64
    dtype = np.dtype("float64" if double else "float32")
    start = np.random.default_rng(seed).standard_normal(p).astype(dtype)
    start /= np.linalg.norm(start)
    norm = float(np.linalg.norm(product(start)) * p**0.5)
    zero = UNITS * PRECISIONS[dtype.name] * norm
    tol = tolerance if tolerance is not None else (1e-10 if double else 1e-5)
    if p <= max(DENSE_UP_TO, k + 1):
        rows = np.stack([product(e) for e in np.eye(p, dtype=dtype)])
        values, vectors = np.linalg.eigh((rows + rows.T) / 2)
    else:
        tol = _checks.positive("tolerance", tol, 1e-6)
        operator = LinearOperator((p, p), matvec=product, dtype=dtype)
        values, vectors = _lanczos(operator, k, tol, start, max_products)
        if values.max() < -zero:  # ARPACK may have passed over 0, which no residual is small to
            operator = LinearOperator(
                (p, p), matvec=lambda v: product(v) + dtype.type(norm) * v.ravel(), dtype=dtype
            )
            values, vectors = _lanczos(operator, k, tol, start, max_products)
            values = values - dtype.type(norm)
    order = np.argsort(values)[::-1][:k]
    values, vectors = values[order].astype(np.float64), vectors[:, order].astype(np.float64)
    values[abs(values) <= zero] = 0.0
    return Spectrum(
        eigenvalues=values,
        vectors=vectors,
        residuals=_residuals(product, values, vectors.astype(dtype)),
        products=count,
        curvature=curvature,
        norm=norm,
        output_curvature=matrix.output_curvature,
    )


def _curvature(
    model: nn.Module,
    loss_fn: LossFn,
    inputs: Any,
    targets: Any,
    kind: str,
    batch_size: int | None,
    output: Any,
) -> Curvature:
    trainable(model)
    refuse_mixing(model)
    x = examples("inputs", inputs)
    for part in parts(x):
        refuse_coarse("inputs", part)
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets must be a torch.Tensor, got {type(targets).__name__}.")
    if targets.shape[:1] != (length(x),):
        raise ValueError(
            "inputs and targets must have one row per example, got shapes "
            f"{', '.join(str(tuple(part.shape)) for part in parts(x))} and {tuple(targets.shape)}."
        )
    rows = length(x) if batch_size is None else _checks.at_least("batch_size", batch_size, 1, 32)
    model = chosen(model, output)
    refuse_company(model, x)
    refuse_wrong(model, x)
    with torch.no_grad():
        outputs = torch.cat([call(model, some) for some in split(x, rows)])
    refuse_coarse("the model's outputs", outputs)
    averages = averages_examples(loss_fn, outputs, targets)
    refuse_weighted_batches(loss_fn, outputs, targets, rows, averages)
    κ_f = largest_output_curvature(loss_fn, outputs, targets, averages)
    matrix = Curvature(model, loss_fn, x, targets, kind, rows, averages, κ_f)
    if kind == "hessian":
        refuse_asymmetric(matrix)
    return matrix


def _lanczos(
    operator: LinearOperator, k: int, tolerance: float, start: np.ndarray, max_products: int
) -> tuple[np.ndarray, np.ndarray]:
    p = operator.shape[0]
    basis = min(p, max(2 * k + 1, 20))
    restarts = max(1, max_products // (basis - k))
    try:
        return eigsh(operator, k, which="LA", v0=start, ncv=basis, tol=tolerance, maxiter=restarts)
    except ArpackNoConvergence as error:
        raise RuntimeError(
            f"{len(error.eigenvalues)} of {k} eigenvalues converged to a relative residual of "
            f"{tolerance:g} within {max_products} products; try a larger max_products or tolerance."
        ) from error
    except ArpackError:
        if operator.matvec(start).any():
            raise
        return np.zeros(k), np.eye(p, k)  # ARPACK stops at a start that the matrix sends to zero


def _residuals(product: Any, values: np.ndarray, vectors: np.ndarray) -> Float[np.ndarray, " k"]:
    scale = np.abs(values).max() or 1.0
    return np.array(
        [
            np.linalg.norm(product(v).astype(np.float64) - value * v) / scale
            for value, v in zip(values, vectors.T, strict=True)
        ]
    )
