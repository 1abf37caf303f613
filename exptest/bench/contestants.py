"""One measurement in a process of its own, so that its peak memory is its alone.

``python -m exptest.bench.contestants NAME --model mlp --examples 256`` prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from exptest.data import load_digits
from exptest.linearized import LossModel, curvature_spectrum, empirical_ntk


class Skip(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def _residual_block(channels: int) -> nn.Module:
    convolutions = [nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)]
    norms = [nn.BatchNorm2d(channels) for _ in range(2)]
    return Skip(norms[0], nn.ReLU(), convolutions[0], norms[1], nn.ReLU(), convolutions[1])


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (
        lambda: nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
        ),
        (784,),
    ),
    # The network of torch.func's own tutorial on neural tangent kernels.
    "cnn": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(21632, 10)),
        ),
        (3, 32, 32),
    ),
    "residual": (
        lambda: nn.Sequential(
            nn.Linear(784, 256),
            *(Skip(nn.LayerNorm(256), nn.Linear(256, 256), nn.ReLU()) for _ in range(3)),
            nn.Linear(256, 10),
        ),
        (784,),
    ),
    # Before activation (He et al. 2016), 612 000 weights on 4 × 4 positions.
    "resnet": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 128, 4, stride=4, bias=False),
            *(_residual_block(128) for _ in range(2)),
            *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)),
        ),
        (3, 16, 16),
    ),
}
STEPS = 10_000


def build(model: str, examples: int) -> tuple[nn.Module, Tensor]:
    """Return a seeded network and its inputs, float32."""
    torch.manual_seed(0)
    make, shape = MODELS[model]
    return make().eval(), torch.randn(examples, *shape)


# -- the kernel, all outputs -------------------------------------------------------------------


def ntk_exptest(model: str, examples: int) -> Callable[[], Tensor]:
    """`exptest.linearized.empirical_ntk`."""
    network, x = build(model, examples)
    return lambda: empirical_ntk(network, x, memory_gb=16.0)


def ntk_general(model: str, examples: int) -> Callable[[], Tensor]:
    """The same by its general path, from Jacobians."""
    network, x = build(model, examples)
    return lambda: empirical_ntk(network, x, memory_gb=16.0, method="general")


def ntk_recipe(model: str, examples: int) -> Callable[[], Tensor]:
    """The jacobian contraction of torch.func's tutorial, as it stands there."""
    return recipe(*build(model, examples))


def recipe(network: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """The same of any network and inputs."""
    weights = {name: p.detach() for name, p in network.named_parameters()}

    def one(parameters: dict[str, Tensor], example: Tensor) -> Tensor:
        return functional_call(network, parameters, (example.unsqueeze(0),)).squeeze(0)

    def kernel() -> Tensor:
        first = vmap(jacrev(one), (None, 0))(weights, x)
        second = vmap(jacrev(one), (None, 0))(weights, x)
        pairs = [(first[name].flatten(2), second[name].flatten(2)) for name in weights]
        return torch.stack([torch.einsum("Naf,Mbf->NMab", f, g) for f, g in pairs]).sum(0)

    return kernel


def ntk_curvlinops(model: str, examples: int) -> Callable[[], Tensor]:
    """J (Jᵀ I), by curvlinops' Jacobian operators, 64 columns at a time."""
    from curvlinops import JacobianLinearOperator, TransposedJacobianLinearOperator

    network, x = build(model, examples)
    weights = list(network.parameters())
    data = [(x, torch.zeros(examples, 10))]
    forward = JacobianLinearOperator(network, weights, data, check_deterministic=False)
    backward = TransposedJacobianLinearOperator(network, weights, data, check_deterministic=False)

    def kernel() -> Tensor:
        eye = torch.eye(10 * examples)
        return torch.cat([forward @ (backward @ some.T) for some in eye.split(64)], dim=1)

    return kernel


# -- the largest eigenvalue ------------------------------------------------------------------


def _small(examples: int) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10)).double()
    return network, torch.randn(examples, 64).double(), torch.arange(examples) % 10


def eigenvalue_exptest(model: str, examples: int) -> Callable[[], float]:
    """λ_max of Gauss-Newton, `curvature_spectrum`, relative residual 1e-8."""
    network, x, y = _small(examples)
    loss = nn.CrossEntropyLoss()
    return lambda: float(curvature_spectrum(network, loss, x, y, tolerance=1e-8).eigenvalues[0])


def eigenvalue_curvlinops(model: str, examples: int) -> Callable[[], float]:
    """The same Lanczos method on curvlinops' Gauss-Newton operator."""
    from curvlinops import GGNLinearOperator

    network, x, y = _small(examples)
    matrix = GGNLinearOperator(
        network,
        nn.CrossEntropyLoss(),
        list(network.parameters()),
        [(x, y)],
        check_deterministic=False,
    ).to_scipy()
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    operator = LinearOperator(matrix.shape, matvec=matrix.matvec, dtype=np.float64)
    return lambda: float(eigsh(operator, 1, which="LA", v0=start, tol=1e-8)[0][0])


def eigenvalue_dense(model: str, examples: int) -> Callable[[], float]:
    """The dense matrix JᵀHJ, then all its eigenvalues."""
    network, x, _ = _small(examples)
    weights = {name: p.detach() for name, p in network.named_parameters()}

    def largest() -> float:
        jacobian = jacrev(lambda w: functional_call(network, w, (x,)))(weights)
        J = torch.cat([block.flatten(2) for block in jacobian.values()], dim=2)
        p = network(x).detach().softmax(1)
        H = (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / examples
        return float(torch.linalg.eigvalsh(torch.einsum("ncp,ncd,ndq->pq", J, H, J))[-1])

    return largest


# -- the curve -------------------------------------------------------------------------------


def _digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return data.inputs.double(), torch.eye(10, dtype=torch.float64)[data.targets]


def curve_exptest(model: str, examples: int) -> Callable[[], float]:
    """The loss of 10 000 steps from `LossModel`, its eigenvalues included."""
    X, Y = _digits()

    def last() -> float:
        predicted = LossModel.from_linear(X, Y)
        return float(predicted.gradient_descent(0.9 / predicted.eigenvalues[0], STEPS)[-1])

    return last


def curve_trained(model: str, examples: int) -> Callable[[], float]:
    """The same by training: 10 000 full-batch steps on XᵀX, no autograd."""
    X, Y = _digits()
    n = len(X)

    def last() -> float:
        lr = 0.9 / float(torch.linalg.eigvalsh(X.T @ X / n)[-1])
        W, losses = X.new_zeros(X.shape[1], Y.shape[1]), X.new_empty(STEPS + 1)
        for t in range(STEPS + 1):
            residual = X @ W - Y
            losses[t] = residual.square().sum() / (2 * n)
            W -= lr * (X.T @ residual) / n
        return float(losses[-1])

    return last


CONTESTANTS: dict[str, Callable[[str, int], Callable[[], Any]]] = {
    "ntk/exptest": ntk_exptest,
    "ntk/general path": ntk_general,
    "ntk/torch.func recipe": ntk_recipe,
    "ntk/curvlinops": ntk_curvlinops,
    "eigenvalue/exptest": eigenvalue_exptest,
    "eigenvalue/curvlinops": eigenvalue_curvlinops,
    "eigenvalue/dense": eigenvalue_dense,
    "curve/exptest": curve_exptest,
    "curve/training": curve_trained,
}


def main(argv: list[str]) -> None:
    """Measure one contestant: fewest seconds of the repeats, memory above what data took."""
    parser = argparse.ArgumentParser(prog="exptest.bench.contestants")
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--model", default="mlp", choices=MODELS)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args(argv)
    compute = CONTESTANTS[arguments.name](arguments.model, arguments.examples)
    print(json.dumps(measured(compute, arguments.repeats)))


def measured(compute: Callable[[], Any], repeats: int) -> dict[str, Any]:
    """Return the fewest seconds of the repeats, the peak memory beyond the start, the value."""
    before, seconds, value = _resident_gb(), [], None
    for _ in range(repeats):
        value = None
        begin = perf_counter()
        value = compute()
        seconds.append(perf_counter() - begin)
        if sum(seconds) > 60.0:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6 - before
    checksum = float(value.double().sum()) if isinstance(value, Tensor) else value
    return {"seconds": min(seconds), "peak_gb": max(peak, 0.0), "value": checksum}


def _resident_gb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9


if __name__ == "__main__":
    main(sys.argv[1:])
