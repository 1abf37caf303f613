"""What the leaves of a network, the layers that hold weights, take and give in a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from exptest.linearized.ntk_leaves import known, trained_by

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class NotStructuredError(Exception):
    """The network does something for which only the general path is right."""


@dataclass(frozen=True)
class Call:
    """A leaf, its input, and its output, by which the network's outputs are differentiated.

    Where the leaf is called without an axis of examples (on positions, say), both are repeated
    for every example.
    """

    layer: nn.Module
    input: Tensor
    output: Tensor


@dataclass(frozen=True)
class Plan:
    """A network whose trainable weights all belong to leaves that are called once.

    Attributes:
        model, read: the outputs are ``read(model(*xs))``, shape (n, C).
        leaves: all modules that hold trainable weights.
        shared: those that are called without an axis of examples.
    """

    model: nn.Module
    read: Callable[[Any], Tensor]
    leaves: tuple[nn.Module, ...]
    shared: frozenset[nn.Module] = frozenset()

    def weights(self) -> list[nn.Parameter]:
        """Return the trainable weights, leaf by leaf."""
        return [p for leaf in self.leaves for p in trained_by(leaf)]


def leaves_of(model: nn.Module) -> tuple[nn.Module, ...] | None:
    """Return the modules that hold trainable weights; None if one is unknown, or any is hooked."""
    if nn.modules.module._has_any_global_hook():
        return None
    if any(getattr(m, hooks) for m in model.modules() for hooks in HOOKS):
        return None
    leaves = [m for m in model.modules() if trained_by(m)]
    weights = [p for leaf in leaves for p in trained_by(leaf)]
    places = {(p.dtype, p.device) for p in weights}
    one_place = len(places) == 1 and weights[0].is_floating_point()
    distinct = len({id(p) for p in weights}) == len(weights)
    return tuple(leaves) if one_place and distinct and all(map(known, leaves)) else None


def outputs_at(plan: Plan, xs: tuple[Tensor, ...]) -> Tensor:
    """Run the network; layers that work in place must not reach the caller's inputs."""
    with torch.enable_grad():
        return plan.read(plan.model(*(x.clone() for x in xs)))


def recorded(plan: Plan, xs: tuple[Tensor, ...]) -> tuple[Tensor, list[Call]]:
    """Return the outputs, shape (n, C), and every leaf's call.

    Raises:
        NotStructuredError: a leaf that is not called once, on one tensor, example by example.
    """
    n, calls = len(xs[0]), dict[nn.Module, Call]()

    def note(layer: nn.Module, args: tuple, kwargs: dict, z: Any) -> Tensor:
        if layer in calls or len(args) != 1 or kwargs or not isinstance(z, Tensor):
            raise NotStructuredError
        h = args[0].detach()
        if layer in plan.shared:
            h, z = _repeated(h, n), _repeated(z, n)
        elif len(h) < n or len(h) % n or len(h) != len(z):
            raise NotStructuredError
        if not z.requires_grad:  # called under no_grad
            raise NotStructuredError
        calls[layer] = Call(layer, h, z)
        return z.clone()  # what the network changes in place is not what it is differentiated by

    with _hooked(plan.leaves, note):
        out = outputs_at(plan, xs)
    if len(calls) != len(plan.leaves):
        raise NotStructuredError
    return out, [calls[layer] for layer in plan.leaves]


def _repeated(t: Tensor, n: int) -> Tensor:
    return t.expand(n, *(t.shape[1:] if len(t) == 1 else t.shape))


@contextmanager
def _hooked(leaves: tuple[nn.Module, ...], hook: Callable) -> Iterator[None]:
    handles = []
    try:
        for leaf in leaves:
            handles.append(leaf.register_forward_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def without_examples(plan: Plan, x: tuple[Tensor, ...]) -> frozenset[nn.Module]:
    """Return the leaves whose input is the same for one example ``x`` as for two of them."""
    seen: list[dict[nn.Module, int]] = []

    def note(layer: nn.Module, args: tuple, kwargs: dict, z: Any) -> None:
        positions = type(layer) is nn.Embedding and args and args[0].ndim == 1
        if args and (len(args[0]) == 1 or positions):
            seen[-1][layer] = len(args[0])

    for n in (1, 2):
        seen.append({})
        with _hooked(plan.leaves, note):
            outputs_at(plan, tuple(one.repeat_interleave(n, 0) for one in x))
    return frozenset(layer for layer, length in seen[0].items() if seen[1].get(layer) == length)
