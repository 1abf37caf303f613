"""A real network beside its linearization: forty digits, full batch, squared error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from exptest.data import load_digits
from exptest.linearized import LossModel, empirical_ntk, wide_network
from exptest.widgets.wording import percent, plain

EXAMPLES = 40
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}
# A loss so many times its first value does not come back.
LOST = 1e5


@cache
def threes_and_fives() -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 1"]]:
    """Return the first forty 3s (target +1) and 5s (−1) of the digits, as in notebook 01."""
    digits = load_digits()
    chosen = np.flatnonzero((digits.targets == 3) | (digits.targets == 5))[:EXAMPLES]
    targets = torch.where(digits.targets[chosen] == 3, 1.0, -1.0)
    return digits.inputs[chosen], targets[:, None]


@dataclass(frozen=True)
class Moment:
    """A network at one moment: weights θ, kernel Θ, and the curve foretold from there."""

    weights: Float[Tensor, " p"]
    kernel: Float[Tensor, "n n"]
    model: LossModel

    @classmethod
    def of(cls, network: nn.Module) -> Moment:
        x, y = threes_and_fives()
        kernel = empirical_ntk(network, x, trace_outputs=True, dtype=torch.float64)
        with torch.no_grad():
            residual = network(x) - y
            weights = parameters_to_vector(network.parameters()).clone()
        return cls(weights, kernel, LossModel.from_kernel(kernel, residual))


@dataclass(frozen=True)
class Race:
    """A network of one hidden layer, trained, and what its linearization foretold.

    Attributes:
        width: hidden units.
        multiple: η as a multiple of the critical rate 2/λ_max at the start; ``lr`` is η itself.
        losses: of the network at steps 0, 1, …; shorter than ``predicted`` if it diverged.
        predicted: of the linearization.
        before, after: eigenvalues of Θ/n at the start and at the end, ``after`` empty if it
            diverged.
        kernel_moved, weights_moved: ‖Θ_T − Θ₀‖/‖Θ₀‖ and ‖θ_T − θ₀‖/‖θ₀‖; nan if it diverged.
    """

    width: int
    multiple: float
    lr: float
    losses: Float[np.ndarray, " t"]
    predicted: Float[np.ndarray, " steps"]
    before: Float[np.ndarray, " k"]
    after: Float[np.ndarray, " j"]
    kernel_moved: float
    weights_moved: float

    @classmethod
    def run(cls, width: int, multiple: float, steps: int, activation: str, seed: int) -> Race:
        """Linearize, foretell, train."""
        x, _ = threes_and_fives()
        network = wide_network(x.shape[1], width, 1, activation=ACTIVATIONS[activation], seed=seed)
        start = Moment.of(network)
        lr = multiple * start.model.critical_learning_rate
        losses = _train(network, lr, steps)
        end = Moment.of(network) if len(losses) > steps else None
        return cls(
            width=width,
            multiple=multiple,
            lr=lr,
            losses=losses,
            predicted=start.model.gradient_descent(lr, steps),
            before=start.model.eigenvalues,
            after=np.empty(0) if end is None else end.model.eigenvalues,
            kernel_moved=np.nan if end is None else _moved(start.kernel, end.kernel),
            weights_moved=np.nan if end is None else _moved(start.weights, end.weights),
        )

    @property
    def diverged(self) -> bool:
        return len(self.losses) < len(self.predicted)

    @property
    def gap(self) -> float:
        """The largest distance between the two curves, as a share of the first loss."""
        shared = self.predicted[: len(self.losses)]
        return float(np.abs(self.losses - shared).max() / shared[0])

    @property
    def sharpness(self) -> float:
        """ηλ_max/2 at the end: above 1 the tangent there diverges."""
        return float(self.lr * self.after.max(initial=0.0) / 2)

    def summary(self) -> str:
        """Return who leaves whom, how far, and how far the kernel and the weights have moved."""
        first, last, peak = self.losses[0], self.losses[-1], self.losses.max()
        setting = f"Width {self.width}, η = {self.multiple:.2f} × critical: "
        if self.diverged:
            return setting + (
                f"the network diverges, at step {len(self.losses) - 1} its loss has grown from "
                f"{plain(first)} to {plain(last)}; a smaller η would let it learn."
            )
        steps = len(self.losses) - 1
        moved = (
            f"the kernel moved by {percent(self.kernel_moved)}, the weights by "
            f"{percent(self.weights_moved)}"
        )
        if self.multiple > 1:
            course = f"climbs to {plain(peak)} and" if peak > 1.01 * first else "does not climb and"
            return setting + (
                f"the linearization diverges, the network's loss {course} is {plain(last)} after "
                f"{steps} steps; {moved}, and λ_max is now {self.sharpness:.2f} × 2/η."
            )
        return setting + (
            f"after {steps} steps the loss is {plain(last)}, the linearization's "
            f"{plain(self.predicted[-1])}; the largest gap was {percent(self.gap)} of the first "
            f"loss; {moved}."
        )

    def __str__(self) -> str:
        return self.summary()


def _train(network: nn.Module, lr: float, steps: int) -> Float[np.ndarray, " t"]:
    """Return the losses of gradient descent on ½MSE, up to the step at which it is lost."""
    x, y = threes_and_fives()
    optimizer, losses = torch.optim.SGD(network.parameters(), lr=lr), []
    for step in range(steps + 1):
        loss = (network(x) - y).square().sum() / (2 * len(x))
        losses.append(loss.item())
        if not losses[-1] < LOST * losses[0]:
            break
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return np.array(losses)


def _moved(before: Tensor, after: Tensor) -> float:
    return float((after - before).norm() / before.norm())
