"""Networks that mislead whoever watches their layers: folded batches, routes, loops, weights used
beside their layers, derivatives inside."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.linearized.zoo_truth import Architecture, Flow, real, together, tokens


def folded(m: Flow, x: Tensor) -> Tensor:
    """Steps folded into the batch, as in x.view(-1, features)."""
    h = torch.tanh(m.step(x.reshape(-1, 3)))
    return m.last(h.view(len(x), -1))


def folded_frames(m: Flow, x: Tensor) -> Tensor:
    n, frames = x.shape[:2]
    h = m.norm(m.conv(x.flatten(0, 1))).relu()
    return m.last(h.unflatten(0, (n, frames)).mean((1, 3, 4)))


def time_first(m: Flow, x: Tensor) -> Tensor:
    h = torch.tanh(m.step(x.transpose(0, 1)))
    return m.last(h.mean(0))


def features_first(m: Flow, x: Tensor) -> Tensor:
    return m.last(torch.tanh(m.step(x.mT)).flatten(1))


def augmented(m: Flow, x: Tensor) -> Tensor:
    views = torch.cat([x, x.flip(1), -x])
    return m.net(views).unflatten(0, (3, len(x))).mean(0)


def repeated(m: Flow, x: Tensor) -> Tensor:
    return m.net(x.repeat_interleave(2, 0) * m.signs.repeat(len(x), 1)).view(len(x), 2, -1).amax(1)


def routed(m: Flow, x: Tensor) -> Tensor:
    """A hard mixture of experts: each sees its own part of the batch."""
    out = x.new_zeros(len(x), 3)
    for side, expert in zip((x.sum(1) > 0, x.sum(1) <= 0), m.experts, strict=True):
        out[side] = expert(x[side])
    return out


def one_by_one(m: Flow, x: Tensor) -> Tensor:
    """A Python loop over the examples, as trees and graphs are read."""
    return torch.stack([m.last(torch.tanh(m.first(v))) for v in x])


def as_long_as_needed(m: Flow, x: Tensor) -> Tensor:
    """Each example as many steps as it asks for."""
    rows = []
    for v in x:
        for _ in range(1 + int(v[0].item() > 0)):
            v = torch.tanh(m.step(v))
        rows.append(m.last(v))
    return torch.stack(rows)


def weight_beside(m: Flow, x: Tensor) -> Tensor:
    """The layer, and its weights once more without it."""
    return m.last(torch.tanh(m.first(x))) + m.first.weight.mean() * x[:, :3]


def tied_beside(m: Flow, x: Tensor) -> Tensor:
    h = torch.tanh(m.first(x))
    return m.last(h @ m.first.weight)


def called_in_vain(m: Flow, x: Tensor) -> Tensor:
    m.idle(x)
    return m.net(x)


def same_for_all(m: Flow, x: Tensor) -> Tensor:
    """A layer applied to places instead of examples, of which there are as many."""
    places = torch.tanh(m.places(m.grid))
    return m.last(torch.tanh(m.net(x)) @ places.T)


def layer_as_function(m: Flow, x: Tensor) -> Tensor:
    return m.last(torch.tanh(type(m.first).forward(m.first, x)))


def vmapped(m: Flow, x: Tensor) -> Tensor:
    return torch.func.vmap(m.net)(x)


def sloped(m: Flow, x: Tensor) -> Tensor:
    """u and ∂u/∂x, as a physics-informed network gives them."""
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        u = m.net(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    return torch.cat([u, slope[:, :2]], dim=1)


def hamiltonian(m: Flow, x: Tensor) -> Tensor:
    slope = torch.func.vmap(torch.func.grad(lambda v: m.net(v).sum()))(x)
    return torch.cat([slope[:, 3:], -slope[:, :3]], dim=1)


def packed(m: Flow, x: Tensor, lengths: Tensor) -> Tensor:
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    out, _ = pad_packed_sequence(m.cell(packed)[0], batch_first=True, total_length=4)
    return m.last(out.sum(1))


def coarse_half(m: Flow, x: Tensor) -> Tensor:
    return m.last(m.first(x.to(m.first.weight.dtype)).to(m.last.weight.dtype))


def largest_first(m: Flow, x: Tensor) -> Tensor:
    return m.last(torch.tanh(m.first(x)).sort(dim=1, descending=True).values[:, :3])


def distances(m: Flow, x: Tensor) -> Tensor:
    """Differences by hand, where cdist is not to be trusted."""
    return m.last(torch.exp(-(x[:, None] - m.centres).square().sum(2) / 6))


class Symmetric(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w.triu() + w.triu(1).mT


def symmetric() -> nn.Module:
    layer = nn.Linear(6, 6)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(6, 3))


def pruned() -> nn.Module:
    model = net()
    prune.l1_unstructured(model[0], "weight", 0.4)
    return model


def only(kind: type[nn.Module] | None, name: str) -> nn.Module:
    """A small CNN of which only some parameters learn."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.LayerNorm(8),
        nn.Linear(8, 3),
    )  # fmt: skip
    for layer in model:
        for key, p in layer.named_parameters():
            p.requires_grad_((kind is None or isinstance(layer, kind)) and name in key)
    return model


class Outputs(NamedTuple):
    logits: Tensor
    features: Tensor


def net(*widths: int) -> nn.Sequential:
    first, middle, last = widths or (6, 5, 3)
    return nn.Sequential(nn.Linear(first, middle), nn.Tanh(), nn.Linear(middle, last))


def parts(**more: Any) -> dict[str, nn.Module]:
    return {"first": nn.Linear(6, 5), "last": nn.Linear(5, 3)} | more


WATCHED = {
    name: Architecture(make, real(*shape))
    for name, shape, make in [
        ("steps folded into the batch", (4, 3), lambda: Flow(
            folded, step=nn.Linear(3, 2), last=nn.Linear(8, 3))),
        ("frames folded into the batch", (3, 1, 4, 4), lambda: Flow(
            folded_frames, conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), last=nn.Linear(2, 3))),
        ("time before the batch", (4, 3), lambda: Flow(
            time_first, step=nn.Linear(3, 5), last=nn.Linear(5, 3))),
        ("features before time", (4, 3), lambda: Flow(
            features_first, step=nn.Linear(4, 2), last=nn.Linear(6, 3))),
        ("averaged over augmentations", (6,), lambda: Flow(augmented, net=net())),
        ("each example repeated", (6,), lambda: Flow(
            repeated, net=net(), signs=torch.tensor([[1.0], [-1.0]]))),
        ("experts that share out the batch", (6,), lambda: Flow(
            routed, experts=nn.ModuleList([net(), nn.Linear(6, 3)]))),
        ("loop over the examples", (6,), lambda: Flow(one_by_one, **parts())),
        ("as many steps as each example needs", (6,), lambda: Flow(
            as_long_as_needed, step=nn.Linear(6, 6), last=nn.Linear(6, 3))),
        ("weight used beside its layer", (6,), lambda: Flow(weight_beside, **parts())),
        ("weight tied beside its layer", (6,), lambda: Flow(
            tied_beside, first=nn.Linear(6, 5), last=nn.Linear(6, 3))),
        ("layer called in vain", (6,), lambda: Flow(
            called_in_vain, net=net(), idle=nn.Linear(6, 4))),
        ("layer applied to as many places as examples", (6,), lambda: Flow(
            same_for_all, places=nn.Linear(2, 5), net=nn.Linear(6, 5), last=nn.Linear(4, 3),
            grid=torch.randn(4, 2))),
        ("layer's forward called as a function", (6,), lambda: Flow(layer_as_function, **parts())),
        ("vmap inside", (6,), lambda: Flow(vmapped, net=net())),
        ("derivative inside, by autograd", (6,), lambda: Flow(sloped, net=net(6, 5, 1))),
        ("derivative inside, by torch.func", (6,), lambda: Flow(hamiltonian, net=net(6, 5, 1))),
        ("sorted features", (6,), lambda: Flow(
            largest_first, first=nn.Linear(6, 5), last=nn.Linear(3, 3))),
        ("radial basis functions by hand", (6,), lambda: Flow(
            distances, centres=nn.Parameter(torch.randn(4, 6)), last=nn.Linear(4, 3))),
        ("symmetric weights", (6,), symmetric),
        ("pruned", (6,), pruned),
        ("only biases learn", (1, 4, 4), lambda: only(None, "bias")),
        ("only the batch norm learns", (1, 4, 4), lambda: only(nn.BatchNorm2d, "")),
        ("only the layer norm's weight learns", (1, 4, 4), lambda: only(nn.LayerNorm, "weight")),
        ("only convolution's bias learns", (1, 4, 4), lambda: only(nn.Conv2d, "bias")),
        ("averaged weights", (6,), lambda: torch.optim.swa_utils.AveragedModel(net())),
    ]
} | {
    f"{name} in training mode": Architecture(make, real(*shape), training=True)
    for name, shape, make in [
        ("MLP", (6,), net),
        ("Dropout of nothing", (6,), lambda: net().insert(1, nn.Dropout(0.0))),
        ("LSTM", (4, 3), lambda: Flow(
            lambda m, x: m.last(m.cell(x)[0][:, -1]),
            cell=nn.LSTM(3, 3, batch_first=True), last=nn.Linear(3, 2))),
    ]
} | {
    "named tuple of outputs": Architecture(
        lambda: Flow(lambda m, x: Outputs(m.net(x), x), net=net()),
        real(6),
        output=lambda outputs: outputs.logits,
    ),
    "last of several outputs": Architecture(
        lambda: Flow(lambda m, x: [x, m.net(x)], net=net()), real(6), output=-1
    ),
    "outputs in rows and columns": Architecture(
        lambda: Flow(lambda m, x: m.net(x).view(-1, 2, 2), net=net(6, 5, 4)),
        real(6),
        refusal="allowed",
    ),
    "packed sequences": Architecture(
        lambda: Flow(packed, cell=nn.GRU(3, 3, batch_first=True), last=nn.Linear(3, 2)),
        together(real(4, 3), lambda n: (torch.randint(1, 5, (n,)),)),
    ),
    "numbers and categories": Architecture(
        lambda: Flow(
            lambda m, x, kind: m.net(torch.cat([x, m.kinds(kind).flatten(1)], dim=1)),
            kinds=nn.Embedding(3, 2), net=net(6, 5, 3),
        ),
        together(real(2), tokens(3, 2)),
    ),
    "half a network in single precision": Architecture(
        lambda: Flow(coarse_half, first=nn.Linear(6, 5), last=nn.Linear(5, 3).double()),
        real(6),
        precise=False,
        tolerance=1e-6,
    ),
    "MLP in single precision": Architecture(
        net, lambda n: (torch.randn(n, 6),), precise=False, tolerance=1e-6
    ),
    "Embedding of bounded norm": Architecture(
        lambda: nn.Sequential(nn.Embedding(4, 3, max_norm=0.5), nn.Flatten(), nn.Linear(12, 3)),
        tokens(4, 4),
        refusal="allowed",
        honest=False,
    ),
}  # fmt: skip
