"""Networks of known layers, whatever the graph between them, with the shape of an example."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu, scaled_dot_product_attention, silu

from exptest.linearized.wide import ScaledLinear

VOCABULARY = 7  # shapes that hold no numbers but tokens are marked by it


def ended(*layers: nn.Module, shape: tuple[int, ...], outputs: int = 2) -> nn.Module:
    """The layers, an activation and a dense head."""
    stack = nn.Sequential(*layers, nn.Tanh(), nn.Flatten())
    with torch.no_grad():
        width = stack.eval()(torch.randn(1, *shape)).shape[1]
    return nn.Sequential(stack, nn.Linear(width, outputs))


class Graph(nn.Module):
    """Layers by name and a function of them and of the inputs."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *xs: Tensor) -> Tensor:
        return self.function(self, *xs)


def in_place_skip(m: Graph, x: Tensor) -> Tensor:
    h = m.a(x)
    h += x
    return m.c(torch.relu_(m.b(h).mul_(1.5)) + h)


def attention(m: Graph, x: Tensor) -> Tensor:
    q, k, v = (one.unflatten(-1, (2, 3)).transpose(1, 2) for one in m.qkv(x).chunk(3, -1))
    mixed = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    h = m.norm(x + m.out(mixed))
    return m.head((h + m.down(gelu(m.up(h)))).mean(1))


def language(m: Graph, tokens: Tensor) -> Tensor:
    positions = torch.arange(tokens.shape[1])
    return m.head(m.norm(torch.tanh(m.mix(m.words(tokens) + m.places(positions)))).flatten(1))


def frozen(layer: nn.Module, *names: str) -> nn.Module:
    for name in names:
        getattr(layer, name).requires_grad_(False)
    return layer


def bias_first() -> nn.Module:
    """A layer that registers its weight anew, after the bias."""
    layer = nn.Linear(4, 5)
    weight = layer.weight
    del layer.weight
    layer.weight = weight
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(5, 2))


def residual_block(m: Graph, x: Tensor) -> Tensor:
    h = relu(m.n1(m.c1(x)))
    return m.head(relu(m.n2(m.c2(h)) + m.short(x)).mean((2, 3)))


def dense_block(m: Graph, x: Tensor) -> Tensor:
    for layer in (m.a, m.b):
        x = torch.cat([x, torch.tanh(layer(x))], dim=1)
    return m.c(x)


def conv(dimensions: int, *args: object, **options: object) -> nn.Module:
    kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    return kinds[dimensions](*args, **options)  # type: ignore[arg-type]


CONVOLUTIONS: dict[str, tuple[tuple, dict, tuple[int, ...]]] = {
    "1-d": ((2, 3, 3), {"stride": 2, "padding": 1}, (2, 9)),
    "1-d same, dilated": ((2, 3, 4), {"padding": "same", "dilation": 2}, (2, 9)),
    "1-d depthwise": ((4, 4, 3), {"groups": 4, "bias": False}, (4, 9)),
    "2-d": ((2, 3, (3, 2)), {"stride": (2, 1), "padding": (1, 0)}, (2, 6, 7)),
    "2-d wide": ((2, 30, 3), {}, (2, 4, 4)),
    "2-d same": ((2, 3, (3, 5)), {"padding": "same"}, (2, 5, 4)),
    "2-d valid": ((2, 3, 2), {"padding": "valid"}, (2, 5, 4)),
    "2-d groups": ((4, 6, 3), {"groups": 2, "dilation": (1, 2), "padding": 2}, (4, 6, 5)),
    "2-d groups, one position": ((4, 6, 3), {"groups": 2}, (4, 3, 3)),
    "2-d groups, kept apart": ((16, 32, 2), {"groups": 2}, (16, 3, 3)),
    "2-d depthwise": ((3, 6, 3), {"groups": 3, "padding": 1}, (3, 5, 5)),
    "2-d circular": ((2, 3, 3), {"padding": 1, "padding_mode": "circular"}, (2, 5, 4)),
    "2-d reflect": ((2, 3, 3), {"padding": "same", "padding_mode": "reflect"}, (2, 5, 4)),
    "3-d": ((2, 3, (2, 3, 2)), {"stride": (1, 2, 1), "padding": (1, 1, 0)}, (2, 3, 5, 4)),
    "3-d groups, same": ((2, 4, 3), {"groups": 2, "padding": "same"}, (2, 3, 3, 4)),
    "3-d replicate": ((1, 2, 2), {"padding": 1, "padding_mode": "replicate"}, (1, 3, 3, 2)),
}  # fmt: skip


def running(layer: nn.Module) -> nn.Module:
    """Statistics as training leaves them."""
    generator = torch.Generator().manual_seed(1)
    for buffer in (layer.running_mean, layer.running_var):
        buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return layer


NORMS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "BatchNorm1d, features": (lambda: running(nn.BatchNorm1d(4)), (4,)),
    "BatchNorm1d, sequence": (lambda: running(nn.BatchNorm1d(4)), (4, 5)),
    "BatchNorm2d": (lambda: running(nn.BatchNorm2d(3)), (3, 4, 2)),
    "BatchNorm3d": (lambda: running(nn.BatchNorm3d(2)), (2, 2, 3, 2)),
    "LayerNorm": (lambda: nn.LayerNorm(5), (5,)),
    "LayerNorm, tokens": (lambda: nn.LayerNorm(5), (3, 5)),
    "LayerNorm, two axes": (lambda: nn.LayerNorm((3, 5), eps=0.1), (2, 3, 5)),
    "LayerNorm, no bias": (lambda: nn.LayerNorm(5, bias=False), (3, 5)),
    "LayerNorm, frozen scale": (lambda: frozen(nn.LayerNorm(5), "weight"), (3, 5)),
    "RMSNorm": (lambda: nn.RMSNorm(5), (3, 5)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (4, 3, 3)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(3, affine=True), (3, 4, 4)),
    "InstanceNorm1d, running": (
        lambda: running(nn.InstanceNorm1d(3, affine=True, track_running_stats=True)), (3, 6)
    ),
    "PReLU": (lambda: nn.PReLU(), (4, 3)),
    "PReLU, channels": (lambda: nn.PReLU(4), (4, 3)),
    "PReLU, features": (lambda: nn.PReLU(4), (4,)),
}  # fmt: skip

GRAPHS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "bias before weight": (bias_first, (4,)),
    "skip": (lambda: Graph(
        lambda m, x: m.c(x + torch.relu(m.b(torch.tanh(m.a(x))))),
        a=nn.Linear(5, 4), b=nn.Linear(4, 5), c=nn.Linear(5, 2)), (5,)),
    "skip in place": (lambda: Graph(
        in_place_skip, a=nn.Linear(5, 5), b=nn.Linear(5, 5), c=nn.Linear(5, 2)), (5,)),
    "inputs in place": (lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 2)), (5,)),
    "residual convolutions": (lambda: Graph(
        residual_block, c1=nn.Conv2d(2, 4, 3, stride=2, padding=1), n1=nn.BatchNorm2d(4),
        c2=nn.Conv2d(4, 4, 3, padding=1), n2=nn.BatchNorm2d(4),
        short=nn.Conv2d(2, 4, 1, stride=2), head=nn.Linear(4, 3)), (2, 6, 6)),
    "concatenated": (lambda: Graph(
        dense_block, a=nn.Linear(4, 3), b=nn.Linear(7, 2), c=nn.Linear(9, 3)), (4,)),
    "gated": (lambda: Graph(
        lambda m, x: m.c(silu(m.a(x)) * m.b(x)),
        a=nn.Linear(4, 6, bias=False), b=nn.Linear(4, 6, bias=False), c=nn.Linear(6, 1)), (4,)),
    "attention": (lambda: Graph(
        attention, qkv=nn.Linear(6, 18), out=nn.Linear(6, 6), norm=nn.LayerNorm(6),
        up=nn.Linear(6, 8), down=nn.Linear(8, 6), head=nn.Linear(6, 2)), (4, 6)),
    "tokens as rows": (lambda: Graph(
        lambda m, x: m.b(torch.tanh(m.n(m.a(x.flatten(0, 1)))).unflatten(0, (-1, 3)).flatten(1)),
        a=nn.Linear(4, 5), n=running(nn.BatchNorm1d(5)), b=nn.Linear(15, 2)), (3, 4)),
    "patches as images": (lambda: Graph(
        lambda m, x: m.b(torch.tanh(m.a(x.flatten(0, 1))).flatten(1).unflatten(0, (-1, 3)).sum(1)),
        a=nn.Conv2d(1, 2, 2), b=nn.Linear(8, 2)), (3, 1, 3, 3)),
    "a detached branch": (lambda: Graph(
        lambda m, x: m.b(torch.tanh(m.a(x))) + m.c(x).detach() * m.b.bias.detach(),
        a=nn.Linear(4, 5), b=nn.Linear(5, 2), c=nn.Linear(4, 2)), (4,)),
    "scaled": (lambda: nn.Sequential(ScaledLinear(4, 6), nn.Tanh(), ScaledLinear(6, 2)), (3, 4)),
    "scores of one output": (lambda: nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), (4,)),
    "frozen": (lambda: nn.Sequential(
        frozen(nn.Linear(4, 5), "bias"), nn.Tanh(), frozen(nn.Linear(5, 4), "weight", "bias"),
        nn.Tanh(), frozen(nn.Linear(4, 2), "weight")), (4,)),
    "other things between": (lambda: nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.GLU(1), nn.Softmax(1), nn.MaxPool1d(2), nn.Flatten(),
        nn.Linear(6, 2), nn.LogSoftmax(1)), (2, 8)),
    "words": (lambda: nn.Sequential(
        nn.Embedding(VOCABULARY, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2)), (4, -VOCABULARY)),
    "words, padded": (lambda: Graph(
        lambda m, t: m.b(torch.tanh(m.a(t)).mean(1)),
        a=nn.Embedding(VOCABULARY, 3, padding_idx=2), b=nn.Linear(3, 2)), (6, -VOCABULARY)),
    "one word": (lambda: Graph(
        lambda m, t: m.b(torch.tanh(m.a(t[:, 0]))),
        a=nn.Embedding(VOCABULARY, 3), b=nn.Linear(3, 2)), (1, -VOCABULARY)),
    "words at places": (lambda: Graph(
        language, words=nn.Embedding(VOCABULARY, 5), places=nn.Embedding(4, 5),
        mix=nn.Linear(5, 5), norm=nn.LayerNorm(5), head=nn.Linear(20, 3)), (4, -VOCABULARY)),
    "a query of all examples": (lambda: Graph(
        lambda m, x: m.b(torch.tanh(m.a(torch.ones(1, 1, 3, dtype=x.dtype)) + x).mean(1)),
        a=nn.Linear(3, 4), b=nn.Linear(4, 2)), (5, 4)),
}  # fmt: skip

for pair in pairwise([8, 6, 4]):  # nested modules, registered but never called themselves
    GRAPHS[f"a list of layers of {pair[0]}"] = (
        lambda pair=pair: Graph(
            lambda m, x: m.layers[1](torch.tanh(m.layers[0](x))),
            layers=nn.ModuleList([nn.Linear(pair[0], pair[1]), nn.Linear(pair[1], 2)]),
        ),
        (pair[0],),
    )


def every_network() -> dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]:
    """All of the above, by name."""
    networks = dict(GRAPHS)
    for name, (args, options, shape) in CONVOLUTIONS.items():
        networks[f"convolution, {name}"] = (
            lambda a=args, o=options, s=shape: ended(conv(len(s) - 1, *a, **o), shape=s),
            shape,
        )
    for name, (layer, shape) in NORMS.items():
        networks[name] = (lambda layer=layer, shape=shape: ended(layer(), shape=shape), shape)
    return networks


def examples_of(shape: tuple[int, ...], n: int) -> Tensor:
    """Seeded numbers, or tokens where the last entry of the shape is minus a vocabulary."""
    generator = torch.Generator().manual_seed(n)
    if shape[-1] < 0:
        return torch.randint(-shape[-1], (n, *shape[:-1]), generator=generator)
    return torch.randn(n, *shape, dtype=torch.float64, generator=generator)


def drawn(model: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with weights that are nowhere 0 or 1 by construction."""
    model = model.double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, dtype=p.dtype, generator=generator))
    return model
