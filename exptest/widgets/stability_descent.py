"""Descent on a least-squares problem of two weights, beside what theory says it must do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from exptest.linearized import (
    LossModel,
    expected_sgd_loss,
    mean_square_critical_rate,
    noise_floor,
)
from exptest.widgets.wording import plain

N, NOISE, ANGLE = 64, 0.3, np.pi / 6
BEST = np.array([1.0, 0.5])
# Where descent starts, off the best weights, along the steep and the flat direction.
OFF = np.array([1.3, -2.4])
RUNS = 24
SURE = 1e-9


@dataclass(frozen=True)
class TwoModes:
    """Least squares with XᵀX/n = V diag(1, 1/κ) Vᵀ, V a rotation by 30°, exactly.

    >>> TwoModes.of(4.0).eigenvalues.round(12).tolist()
    [1.0, 0.25]
    """

    X: Float[np.ndarray, "n 2"]
    y: Float[np.ndarray, " n"]
    V: Float[np.ndarray, "2 2"]

    @classmethod
    def of(cls, condition: float) -> TwoModes:
        """Build the problem of condition number κ; its 64 examples differ in scale alone."""
        rng = np.random.default_rng(0)
        Q, _ = np.linalg.qr(rng.standard_normal((N, 2)))
        V = np.array([[-np.sin(ANGLE), np.cos(ANGLE)], [np.cos(ANGLE), np.sin(ANGLE)]])
        X = np.sqrt(N) * Q * np.array([1.0, condition**-0.5]) @ V.T
        ε = NOISE * rng.standard_normal(N)
        return cls(X, X @ BEST + ε - Q @ (Q.T @ ε), V)

    @property
    def start(self) -> Float[np.ndarray, " w"]:
        return BEST + self.V @ OFF

    @cached_property
    def model(self) -> LossModel:
        return LossModel.from_linear(self.X, self.y, self.start)

    @cached_property
    def modes(self) -> tuple[LossModel, ...]:
        """The steep and the flat mode: least squares of one weight each, floors left out.

        Taken along V, for at κ = 1 the eigenvectors of the whole are anybody's choice.
        """
        alone = (LossModel.from_linear(self.X @ v, self.y, [v @ self.start]) for v in self.V.T)
        return tuple(replace(mode, floor=0.0) for mode in alone)

    @property
    def eigenvalues(self) -> Float[np.ndarray, " w"]:
        return np.array([mode.eigenvalues[0] for mode in self.modes])

    def descend(
        self, lr: float, batches: Int[np.ndarray, "t r b"], *, momentum: float = 0.0
    ) -> Float[np.ndarray, "r t1 2"]:
        """Return the weights of each run at steps 0, …, t; ``batches`` holds row numbers."""
        steps, runs, size = batches.shape
        w, v = np.tile(self.start, (runs, 1)), np.zeros((runs, 2))
        paths = np.empty((runs, steps + 1, 2))
        paths[:, 0] = w
        with np.errstate(over="ignore", invalid="ignore"):
            for t, rows in enumerate(batches):
                X, y = self.X[rows], self.y[rows]
                r = np.einsum("rbd,rd->rb", X, w) - y
                v = momentum * v + np.einsum("rbd,rb->rd", X, r) / size
                w = w - lr * v
                paths[:, t + 1] = w
        return paths

    def excess(self, paths: Float[np.ndarray, "*s 2"]) -> Float[np.ndarray, "*s 2"]:
        """Return the loss above L(w*) that each mode carries; a run that overflowed has ∞."""
        with np.errstate(over="ignore", invalid="ignore"):
            loss = self.eigenvalues * ((paths - BEST) @ self.V) ** 2 / 2
        return np.where(np.isnan(loss), np.inf, loss)


@dataclass(frozen=True)
class FullBatchRun:
    """Gradient descent or heavy ball, measured and predicted mode by mode.

    Attributes:
        multiple: η/(2/λ_max); ``stable`` is the multiple below which heavy ball converges.
        path: weights, shape (t, 2).
        measured, predicted: loss above L(w*) of the steep and the flat mode, shape (2, t).
    """

    problem: TwoModes
    multiple: float
    momentum: float
    path: Float[np.ndarray, "t 2"]
    measured: Float[np.ndarray, "2 t"]
    predicted: Float[np.ndarray, "2 t"]

    @classmethod
    def of(cls, problem: TwoModes, multiple: float, momentum: float, steps: int) -> FullBatchRun:
        model, μ = problem.model, momentum
        lr = multiple * model.critical_learning_rate
        everything = np.broadcast_to(np.arange(N), (steps, 1, N))
        path = problem.descend(lr, everything, momentum=μ)[0]
        predicted = [mode.gradient_descent(lr, steps, momentum=μ) for mode in problem.modes]
        return cls(problem, multiple, μ, path, problem.excess(path).T, np.array(predicted))

    @property
    def stable(self) -> float:
        model = self.problem.model
        return model.critical_learning_rate_with(self.momentum) / model.critical_learning_rate

    def summary(self) -> str:
        """Return what each mode does, and the last loss beside its prediction."""
        (steep, so), (flat, also) = (self._fate(λ) for λ in self.problem.eigenvalues)
        if steep == flat == "shrinks":
            modes = "both modes shrink" + (so if so == also else f", the steep one{so}")
            modes += f", the flat one{also}" if also and so != also else ""
        else:
            modes = f"the steep mode {steep}, the flat one {flat}"
        heavy = f", momentum {self.momentum:.2f} (stable below {self.stable:.2f})"
        return (
            f"η = {self.multiple:.2f} × 2/λ_max{heavy if self.momentum else ''}: {modes}; "
            f"after {len(self.path) - 1} steps the loss is {plain(self.measured[:, -1].sum())} "
            f"above its minimum (predicted {plain(self.predicted[:, -1].sum())})."
        )

    def __str__(self) -> str:
        return self.summary()

    def _fate(self, λ: float) -> tuple[str, str]:
        """What z² − (1 + μ − ηλ)z + μ = 0, the recursion of claim C2.1, does to one mode."""
        μ, ηλ = self.momentum, self.multiple * self.problem.model.critical_learning_rate * λ
        b = 1 + μ - ηλ
        size = np.abs(np.roots([1.0, -b, μ])).max()
        if size > 1 + SURE:
            return f"grows {plain(size**2)}-fold at every step", ""
        if size > 1 - SURE:
            return "jumps from side to side for ever", ""
        if b * b < 4 * μ:
            return "shrinks", " in swings"
        return "shrinks", " overshooting at every step" if b < -SURE else ""


@dataclass(frozen=True)
class MiniBatchRuns:
    """Several runs of SGD, batches drawn anew at every step, beside their exact expectation.

    Attributes:
        multiple, critical: η and the mean-square critical rate, as multiples of 2/λ_max.
        paths: weights, shape (r, t, 2).
        losses: above L(w*), shape (r, t); ``expected``, shape (t,).
        floor: what ``expected`` tends to; None if it grows without bound.
    """

    problem: TwoModes
    multiple: float
    critical: float
    batch_size: int
    paths: Float[np.ndarray, "r t 2"]
    losses: Float[np.ndarray, "r t"]
    expected: Float[np.ndarray, " t"]
    floor: float | None

    @classmethod
    def of(
        cls, problem: TwoModes, multiple: float, batch_size: int, steps: int, seed: int
    ) -> MiniBatchRuns:
        X, y, model = problem.X, problem.y, problem.model
        lr = multiple * model.critical_learning_rate
        order = np.random.default_rng(seed).random((steps, RUNS, N)).argsort(-1)
        paths = problem.descend(lr, order[..., :batch_size])
        expected = expected_sgd_loss(
            X, y, problem.start, lr=lr, batch_size=batch_size, steps=steps, replacement=False
        )
        critical = mean_square_critical_rate(X, batch_size=batch_size, replacement=False)
        return cls(
            problem=problem,
            multiple=multiple,
            critical=critical / model.critical_learning_rate,
            batch_size=batch_size,
            paths=paths,
            losses=problem.excess(paths).sum(-1),
            expected=np.maximum(expected - model.floor, 0.0),
            floor=_floor(problem, lr, batch_size),
        )

    def summary(self) -> str:
        """Return on which side of the mean-square critical rate η lies, and what that does."""
        last, steps = self.losses[:, -1], self.losses.shape[1] - 1
        if self.floor is None:
            fate = "the expected loss grows without bound"
        else:
            fate = f"the expected loss tends to {plain(self.floor)} above its minimum"
        return (
            f"η = {self.multiple:.2f} × 2/λ_max, batches of {self.batch_size}; the mean-square "
            f"critical rate is {self.critical:.2f} × 2/λ_max: {fate}; after {steps} steps it is "
            f"{plain(self.expected[-1])}, the mean of {len(last)} runs {plain(last.mean())}, "
            f"their median {plain(np.median(last))}."
        )

    def __str__(self) -> str:
        return self.summary()


def _floor(problem: TwoModes, lr: float, batch_size: int) -> float | None:
    X, y = problem.X, problem.y
    try:
        floor = noise_floor(X, y, lr=lr, batch_size=batch_size, replacement=False)
    except ValueError:  # not below the critical rate
        return None
    return max(floor - problem.model.floor, 0.0)
