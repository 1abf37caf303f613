"""An architecture of the zoo, and the truth about it: plain autograd, one example at a time.

Nothing here imports the library, which is measured by it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]
N = 4  # examples


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch has to say of older or unusual modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Architecture:
    """A small network as people teach and use it.

    Attributes:
        make: builds it; `build` then moves its weights and statistics off their special values.
        inputs: of n examples, drawn from torch's generator.
        output: which of its outputs is meant: a key, an index or a function; None is the only one.
        refusal: "never" right, "allowed", "due", or what is inexact must at least be "said".
        training: whether it stays in training mode.
        precise: whether its weights become float64.
        honest: whether its gradients are those of the function it computes.
        coupled: whether examples see each other, and it has a linearization for each batch.
        tolerance: relative, for what it computes itself in single precision.
    """

    make: Callable[[], nn.Module]
    inputs: Callable[[int], Inputs]
    output: Any = None
    refusal: str = "never"
    training: bool = False
    precise: bool = True
    honest: bool = True
    coupled: bool = False
    tolerance: float = 1e-10

    @quiet()
    def build(self) -> nn.Module:
        """The same network at every call: a patched or hooked one cannot be copied."""
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = self.make()
            model = (model.double() if self.precise else model).train(self.training)
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(0.1 * torch.randn_like(p))
                for name, b in model.named_buffers():
                    if name.endswith(("running_mean", "running_var")):
                        b.add_(0.3 * torch.rand_like(b))
        return model

    def draw(self, n: int = N, seed: int = 2) -> Inputs:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.inputs(n)


@dataclass(frozen=True)
class Truth:
    """What the library should say of an architecture.

    Attributes:
        outputs: f(x_i), shape (n, C).
        jacobian: ∂f_c(x_i)/∂θ, shape (n, C, p), in the order of ``model.parameters()``.
    """

    outputs: Tensor
    jacobian: Tensor

    def kernel(self) -> Tensor:
        """Θ, shape (n, C, n, C)."""
        return torch.einsum("icp,jdp->icjd", self.jacobian, self.jacobian)

    def largest_curvature(self) -> Tensor:
        """λ_max of JᵀJ·2/(nC): the mean squared error's, which curves by 2/(nC) in each output."""
        J = self.jacobian.flatten(0, 1)
        return torch.linalg.eigvalsh(J @ J.T)[-1:] * 2 / len(J)


def picked(outputs: Any, output: Any) -> Tensor:
    """The outputs meant by a key, an index or a function."""
    if output is None:
        return outputs
    return output(outputs) if callable(output) else outputs[output]


def flat_outputs(model: nn.Module, x: Inputs, output: Any) -> Tensor:
    """f(x), shape (n, C), each example alone."""
    alone = [[t[i : i + 1].clone() for t in x] for i in range(len(x[0]))]
    return torch.stack([picked(model(*one), output).flatten() for one in alone])


@quiet()
def truth_of(model: nn.Module, x: Inputs, output: Any = None) -> Truth:
    """One backward pass for every example and output."""
    weights = [p for p in model.parameters() if p.requires_grad]
    outputs = flat_outputs(model, x, output)
    rows = [
        torch.autograd.grad(f, weights, retain_graph=True, materialize_grads=True)
        for f in outputs.flatten()
    ]
    J = torch.stack([torch.cat([g.to_dense().flatten() for g in row]) for row in rows])
    return Truth(outputs.detach(), J.view(*outputs.shape, -1))


def real(*shape: int) -> Callable[[int], Inputs]:
    """Standard normal inputs."""
    return lambda n: (torch.randn(n, *shape, dtype=torch.float64),)


def tokens(vocabulary: int, length: int) -> Callable[[int], Inputs]:
    """Token ids."""
    return lambda n: (torch.randint(vocabulary, (n, length)),)


def together(*parts: Callable[[int], Inputs]) -> Callable[[int], Inputs]:
    """Several inputs of one example."""
    return lambda n: tuple(t for part in parts for t in part(n))


class Flow(nn.Module):
    """A network written as a function of its parts and its inputs."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self.function = function

    def forward(self, *x: Tensor) -> Any:
        return self.function(self, *x)
