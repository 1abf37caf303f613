"""Networks that somebody's hand has touched: patches, hooks, gradients written by hand."""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor, nn

from tests.linearized.zoo_truth import Architecture, Flow, real


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def standardized(self: nn.Conv2d, h: Tensor) -> Tensor:
    w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
    w = w / (self.weight.std((1, 2, 3), keepdim=True) + 1e-5)
    return nn.functional.conv2d(h, w, self.bias)


def patched_by_method() -> nn.Module:
    conv = nn.Conv2d(1, 2, 3)
    conv.forward = types.MethodType(standardized, conv)
    return nn.Sequential(conv, nn.Flatten(), nn.Linear(8, 3))


def patched_by_closure() -> nn.Module:
    model = small()
    layer = model[0]
    layer.forward = lambda h: torch.sin(nn.functional.linear(h, layer.weight, layer.bias))
    return model


def patched_around() -> nn.Module:
    """A closure around the old forward, as adapters are put on."""
    model = small()
    layer, old = model[2], model[2].forward
    layer.down, layer.up = nn.Linear(5, 2, bias=False), nn.Linear(2, 3, bias=False)
    layer.forward = lambda h: old(h) + layer.up(layer.down(h))
    return model


def patched_whole() -> nn.Module:
    model = small()
    model.forward = lambda x: model[2](model[0](x).relu())
    return model


def patched_activation() -> nn.Module:
    model = small()
    model[1].forward = torch.sin
    return model


class Standardized(nn.Linear):
    """A Linear by name only."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        return nn.functional.linear(
            x, (w - w.mean(1, keepdim=True)) / w.std(1, keepdim=True), self.bias
        )


class Adapted(nn.Module):
    """LoRA: frozen weights and two thin trainable ones."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, 5).requires_grad_(False)
        self.a, self.b = nn.Linear(6, 2, bias=False), nn.Linear(2, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.b(self.a(x))


def hooked(kind: str, hook: Any, at: int = 0) -> nn.Module:
    model = small()
    getattr(model[at], kind)(hook)
    return model


def hooked_tensor() -> nn.Module:
    return Flow(halved, first=nn.Linear(6, 5), last=nn.Linear(5, 3))


def halved(m: Flow, x: Tensor) -> Tensor:
    h = torch.tanh(m.first(x))
    if h.requires_grad:
        h.register_hook(lambda g: g / 2)
    return m.last(h)


def hooked_weight() -> nn.Module:
    model = small()
    model[0].weight.register_hook(lambda g: 2 * g)
    return model


class Exponential(torch.autograd.Function):
    """With the older signature: torch.func refuses it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(y := x.exp())
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return g * y


class Cube(torch.autograd.Function):
    """With the newer signature, for torch.func, but without forward mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class StraightThrough(torch.autograd.Function):
    """Signs, whose gradient is that of the identity: not the derivative of anything."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


class Reversed(torch.autograd.Function):
    """Domain adaptation's gradient reversal."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return -g


def custom(function: type[torch.autograd.Function]) -> nn.Module:
    return Flow(
        lambda m, x: m.last(function.apply(m.first(x))), first=nn.Linear(6, 5), last=nn.Linear(5, 3)
    )


def straight_through_by_detach(m: Flow, x: Tensor) -> Tensor:
    h = m.first(x)
    return m.last(h + (h.round() - h).detach())


def under_no_grad(m: Flow, x: Tensor) -> Tensor:
    with torch.no_grad():
        h = m.backbone(x)
    return m.head(h)


def caching(m: Flow, x: Tensor) -> Tensor:
    m.last_features = m.first(x)
    return m.last(torch.tanh(m.last_features))


PATCHED = {
    "forward patched by MethodType": Architecture(patched_by_method, real(1, 4, 4)),
} | {
    name: Architecture(make, real(6))
    for name, make in {
        "forward patched by a closure": patched_by_closure,
        "forward patched around the old one": patched_around,
        "forward of the model patched": patched_whole,
        "forward of an activation patched": patched_activation,
        "subclass of Linear": lambda: nn.Sequential(
            Standardized(6, 5), nn.Tanh(), nn.Linear(5, 3)),
        "LoRA": lambda: nn.Sequential(Adapted(), nn.Tanh(), nn.Linear(5, 3)),
        "forward hook that changes outputs": lambda: hooked(
            "register_forward_hook", lambda m, a, out: out * 2),
        "forward hook that squares, at the end": lambda: hooked(
            "register_forward_hook", lambda m, a, out: out**2, at=2),
        "forward pre-hook": lambda: hooked(
            "register_forward_pre_hook", lambda m, a: (a[0] + 1,), at=2),
        "forward hook that uses the weights": lambda: hooked(
            "register_forward_hook", lambda m, a, out: out + m.weight.sum()),
        "forward hook that only watches": lambda: hooked(
            "register_forward_hook", lambda m, a, out: None),
        "features kept for later": lambda: Flow(
            caching, first=nn.Linear(6, 5), last=nn.Linear(5, 3)),
        "Function of the older kind": lambda: custom(Exponential),
        "Function of the newer kind": lambda: custom(Cube),
        "backbone under no_grad": lambda: Flow(
            under_no_grad, backbone=nn.Linear(6, 5).requires_grad_(False), head=nn.Linear(5, 3)),
    }.items()
} | {
    "straight-through by detach": Architecture(
        lambda: Flow(
            straight_through_by_detach, first=nn.Linear(6, 5), last=nn.Linear(5, 3)),
        real(6),
        honest=False,
    ),
} | {
    name: Architecture(make, real(6), refusal="allowed", honest=False)
    for name, make in {
        "backward hook that changes gradients": lambda: hooked(
            "register_full_backward_hook", lambda m, into, out: (into[0] * 3,), at=2),
        "backward pre-hook that changes gradients": lambda: hooked(
            "register_full_backward_pre_hook", lambda m, out: (out[0] * 3,)),
        "hook on a tensor": hooked_tensor,
        "hook on a weight": hooked_weight,
        "straight-through Function": lambda: custom(StraightThrough),
        "gradient reversal": lambda: custom(Reversed),
    }.items()
}  # fmt: skip
