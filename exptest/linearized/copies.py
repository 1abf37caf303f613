"""A copy of a network that computes with its own weights, not with those it was copied from."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from copy import deepcopy
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from exptest.linearized.inputs import refuse_complex

HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def copied(model: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """Return a copy, in another precision if asked for.

    Raises:
        TypeError: not a module, or complex weights, whose conversion would drop a part.
        ValueError: a hook on a weight, which a copy would lack, or a function set on a module that
            holds on to the module's own weights: a copy would go on with the old ones.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    for name, p in model.named_parameters():
        refuse_complex(f"parameter {name!r}", p)
        if p._backward_hooks:
            raise ValueError(
                f"parameter {name!r} has a hook that changes its gradient, which a copy would not "
                "have; remove it (handle.remove()) or change the loss instead."
            )
    own = {id(p) for p in model.parameters()}
    for place, module in model.named_modules():
        for name, function in _functions(module):
            if _reaches(function, own, set()):
                where = f"at {place!r}" if place else "itself"
                raise ValueError(
                    f"{name} of {type(module).__name__} {where} is a function that holds on to "
                    f"the model's own weights, so a copy would compute with the old ones; bind it "
                    f"to its layer, as types.MethodType(function, layer), or write a subclass."
                )
    # Old-style weight norm keeps the weights it last computed; torch copies no tensor of a graph.
    computed = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    copy = deepcopy(model, computed)
    return copy if dtype is None else copy.to(dtype)


def _functions(module: nn.Module) -> Iterator[tuple[str, FunctionType]]:
    """Functions that live on the instance: copying hands them on as they are."""
    for name, value in vars(module).items():
        values = list(value.values()) if name in HOOKS else [value]
        yield from ((name, v) for v in values if isinstance(v, FunctionType))
        under = [v.__func__ for v in values if inspect.ismethod(v)]
        yield from ((name, f) for f in under if isinstance(f, FunctionType))


def _held(function: FunctionType) -> list[Any]:
    names = inspect.getclosurevars(function)
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [*names.nonlocals.values(), *names.globals.values(), *defaults]


def _reaches(held: Any, own: set[int], seen: set[int]) -> bool:
    """Return whether one of the weights ``own`` can be reached from what a function holds."""
    if id(held) in seen:
        return False
    seen.add(id(held))
    if isinstance(held, Tensor):
        return id(held) in own
    if isinstance(held, nn.Module):
        return any(id(p) in own for p in held.parameters())
    within: list[Any] = []
    if isinstance(held, FunctionType):
        within = _held(held)
    elif inspect.ismethod(held):
        within = [held.__self__, held.__func__]
    elif isinstance(held, dict):
        within = list(held.values())
    elif isinstance(held, list | tuple):
        within = list(held)
    return any(_reaches(each, own, seen) for each in within)
