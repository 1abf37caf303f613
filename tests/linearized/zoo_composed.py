"""Networks that are more than a stack: skips, towers, mixtures, loops, weights from a network."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.linearized.zoo_truth import Architecture, Flow, real, together


def skip(m: Flow, x: Tensor) -> Tensor:
    h = m.first(x)
    return m.last(h + torch.tanh(m.second(h)))


def skip_in_place(m: Flow, x: Tensor) -> Tensor:
    h = m.first(x)
    out = m.second(h)
    out += h
    return m.last(m.act(out))


def highway(m: Flow, x: Tensor) -> Tensor:
    for layer, gate in zip(m.layers, m.gates, strict=True):
        t = torch.sigmoid(gate(x))
        x = t * torch.relu(layer(x)) + (1 - t) * x
    return m.last(x)


def towers(m: Flow, left: Tensor, right: Tensor) -> Tensor:
    a, b = m.left(left), m.right(right)
    return m.last(torch.cat([a, b, a * b], dim=1))


def siamese(m: Flow, left: Tensor, right: Tensor) -> Tensor:
    return m.last((m.tower(left) - m.tower(right)).abs())


def recommender(m: Flow, user: Tensor, item: Tensor) -> Tensor:
    return (m.users(user) * m.items(item)).sum(1) + m.bias


def experts(m: Flow, x: Tensor) -> Tensor:
    gates = torch.softmax(m.gate(x), dim=1)
    outputs = torch.stack([expert(x) for expert in m.experts], dim=2)
    return (outputs * gates[:, None]).sum(2)


def hypernetwork(m: Flow, x: Tensor) -> Tensor:
    weights = m.maker(m.code).view(3, 6)
    return nn.functional.linear(x, weights, m.bias)


def conditioned(m: Flow, x: Tensor) -> Tensor:
    weights = m.maker(x).view(len(x), 3, 6)
    return torch.einsum("noi,ni->no", weights, x)


def film(m: Flow, x: Tensor) -> Tensor:
    scale, shift = m.condition(x).chunk(2, dim=1)
    return m.last(torch.tanh(m.first(x)) * scale + shift)


def fourier(m: Flow, x: Tensor) -> Tensor:
    angles = x @ m.frequencies
    return m.last(torch.cat([angles.sin(), angles.cos()], dim=1))


def flow(m: Flow, x: Tensor) -> Tensor:
    for _ in range(4):
        x = x + 0.25 * torch.tanh(m.field(x))
    return m.last(x)


def equilibrium(m: Flow, x: Tensor) -> Tensor:
    z = torch.zeros_like(x)
    for _ in range(5):
        z = torch.tanh(0.5 * m.inner(z) + m.outer(x))
    return m.last(z)


def checkpointed(m: Flow, x: Tensor) -> Tensor:
    return m.last(checkpoint(m.block, x, use_reentrant=False))


def checkpointed_reentrant(m: Flow, x: Tensor) -> Tensor:
    return m.last(checkpoint(m.block, m.first(x), use_reentrant=True))


def listed(m: Flow, x: Tensor) -> Tensor:
    for weight in m.weights:
        x = torch.tanh(x @ weight)
    return x @ m.named["last"] + m.named["bias"]


def einsum_net(m: Flow, x: Tensor) -> Tensor:
    return torch.einsum("ni,ijk,nj->nk", x, m.core, torch.tanh(x))


def normalized(m: Flow, x: Tensor) -> Tensor:
    """Cosine classifier: features and weights on the sphere."""
    return (
        5 * nn.functional.normalize(m.first(x), dim=1) @ nn.functional.normalize(m.weight, dim=1).T
    )


def capsules(m: Flow, x: Tensor) -> Tensor:
    s = m.capsules(x).view(-1, 3, 4)
    squared = s.square().sum(2, keepdim=True)
    return (squared / (1 + squared) * s / squared.sqrt()).norm(dim=2)


def splines(m: Flow, x: Tensor) -> Tensor:
    """A Kolmogorov-Arnold layer: a sum of learned functions of each input."""
    bumps = torch.exp(-(x[:, :, None] - m.knots).square())
    return torch.einsum("nik,oik->no", bumps, m.coefficients) + m.base(nn.functional.silu(x))


def radial(m: Flow, x: Tensor) -> Tensor:
    return m.last(torch.exp(-torch.cdist(x, m.centres).square() / 6))


def physics(m: Flow, x: Tensor) -> Tensor:
    """A boundary condition built in."""
    return x[:, :1] * (1 - x[:, :1]) * m.net(x)


def multiscale(m: Flow, x: Tensor) -> Tensor:
    h = x.new_zeros(len(x), 5)
    h[:, :3] = torch.tanh(m.first(x))
    h[:, 3:] = torch.relu(m.second(x))
    return m.last(h)


def detached(m: Flow, x: Tensor) -> Tensor:
    h = torch.tanh(m.first(x))
    return torch.cat([m.one(h), m.two(h.detach())], dim=1)


def stop_gradient(m: Flow, x: Tensor) -> Tensor:
    h = torch.tanh(m.first(x))
    return m.last(h * torch.softmax(h, 1).detach())


def gated_by_data(m: Flow, x: Tensor) -> Tensor:
    return torch.where(x[:, :1] > 0, m.one(x), m.two(x))


def dense(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def two(make: type[nn.Module] = nn.Linear, a: int = 6, b: int = 6) -> nn.ModuleList:
    return nn.ModuleList(make(a, b) for _ in range(2))


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) / 2)


COMPOSED = {
    name: Architecture(make, real(6))
    for name, make in {
        "skip": lambda: Flow(
            skip, first=nn.Linear(6, 4), second=nn.Linear(4, 4), last=nn.Linear(4, 3)),
        "skip in place": lambda: Flow(
            skip_in_place, first=nn.Linear(6, 4), second=nn.Linear(4, 4), last=nn.Linear(4, 3),
            act=nn.ReLU(inplace=True)),
        "Highway": lambda: Flow(highway, layers=two(), gates=two(), last=nn.Linear(6, 3)),
        "mixture of experts": lambda: Flow(
            experts, gate=nn.Linear(6, 2), experts=two(nn.Linear, 6, 3)),
        "hypernetwork": lambda: Flow(
            hypernetwork, maker=dense(2, 3, 18), code=weight(2), bias=weight(3)),
        "hypernetwork of the inputs": lambda: Flow(conditioned, maker=dense(6, 3, 18)),
        "FiLM": lambda: Flow(
            film, first=nn.Linear(6, 4), condition=nn.Linear(6, 8), last=nn.Linear(4, 3)),
        "Fourier features": lambda: Flow(
            fourier, frequencies=torch.randn(6, 4), last=dense(8, 4, 3)),
        "neural ODE by Euler": lambda: Flow(flow, field=nn.Linear(6, 6), last=nn.Linear(6, 3)),
        "deep equilibrium": lambda: Flow(
            equilibrium, inner=nn.Linear(6, 6), outer=nn.Linear(6, 6), last=nn.Linear(6, 3)),
        "checkpointed block": lambda: Flow(
            checkpointed, block=dense(6, 5, 4), last=nn.Linear(4, 3)),
        "ParameterList and ParameterDict": lambda: Flow(
            listed, weights=nn.ParameterList([weight(6, 5), weight(5, 4)]),
            named=nn.ParameterDict({"last": weight(4, 3), "bias": weight(3)})),
        "tensor contracted by einsum": lambda: Flow(einsum_net, core=weight(6, 6, 3)),
        "cosine classifier": lambda: Flow(normalized, first=nn.Linear(6, 4), weight=weight(3, 4)),
        "capsules": lambda: Flow(capsules, capsules=nn.Linear(6, 12)),
        "Kolmogorov-Arnold layer": lambda: Flow(
            splines, knots=torch.linspace(-2, 2, 4), coefficients=weight(3, 6, 4),
            base=nn.Linear(6, 3)),
        "radial basis functions": lambda: Flow(radial, centres=weight(4, 6), last=nn.Linear(4, 3)),
        "boundary built in": lambda: Flow(physics, net=dense(6, 5, 2)),
        "filled in place": lambda: Flow(
            multiscale, first=nn.Linear(6, 3), second=nn.Linear(6, 2), last=nn.Linear(5, 3)),
        "switch by the input": lambda: Flow(
            gated_by_data, one=nn.Linear(6, 3), two=dense(6, 4, 3)),
        "a layer that takes no part": lambda: Flow(
            lambda m, x: m.used(x), used=dense(6, 4, 3), idle=nn.Linear(6, 3)),
        "outputs (n,)": lambda: Flow(lambda m, x: m.net(x).squeeze(1), net=dense(6, 4, 1)),
    }.items()
}  # fmt: skip
COMPOSED |= {
    "checkpointed block, reentrant": Architecture(  # torch gives it no autograd.grad
        lambda: Flow(checkpointed_reentrant, first=nn.Linear(6, 6), block=nn.Tanh(),
                     last=nn.Linear(6, 3)),
        real(6),
        refusal="due",
    ),
    "two towers": Architecture(
        lambda: Flow(towers, left=dense(4, 3), right=dense(5, 4, 3), last=nn.Linear(9, 2)),
        together(real(4), real(5)),
    ),
    "siamese towers": Architecture(
        lambda: Flow(siamese, tower=dense(4, 5, 3), last=nn.Linear(3, 2)),
        together(real(4), real(4)),
    ),
    "Bilinear": Architecture(lambda: nn.Bilinear(4, 5, 3), together(real(4), real(5))),
    "matrix factorization": Architecture(
        lambda: Flow(recommender, users=nn.Embedding(4, 3), items=nn.Embedding(5, 3),
                     bias=weight(1)),
        lambda n: (torch.randint(4, (n,)), torch.randint(5, (n,))),
    ),
    "dict of outputs": Architecture(
        lambda: Flow(lambda m, x: {"logits": m.head(h := m.body(x)), "features": h},
                     body=dense(6, 4), head=nn.Linear(4, 3)),
        real(6),
        output="logits",
    ),
    "tuple of outputs": Architecture(
        lambda: Flow(lambda m, x: (m.value(h := m.body(x)), m.policy(h)),
                     body=dense(6, 4, 4), value=nn.Linear(4, 1), policy=nn.Linear(4, 3)),
        real(6),
        output=1,
    ),
    "function of outputs": Architecture(
        lambda: Flow(lambda m, x: (m.mean(x), m.spread(x)), mean=dense(6, 4, 2),
                     spread=dense(6, 2)),
        real(6),
        output=lambda both: torch.cat([both[0], both[1].exp()], dim=1),
    ),
    "one branch detached": Architecture(
        lambda: Flow(detached, first=nn.Linear(6, 4), one=nn.Linear(4, 2), two=nn.Linear(4, 2)),
        real(6),
        honest=False,
    ),
    "stop-gradient": Architecture(
        lambda: Flow(stop_gradient, first=nn.Linear(6, 4), last=nn.Linear(4, 3)),
        real(6),
        honest=False,
    ),
}  # fmt: skip
