"""Who holds a parameter: neither parameters nor optimizers know their modules."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any, TypeVar

from torch import nn
from torch.optim import Optimizer

Owner = TypeVar("Owner")


def owners(things: Sequence[Any], kind: type[Owner]) -> list[Owner]:
    """Return the living instances of ``kind`` with one of ``things`` in an attribute.

    The attribute holds it itself or in a dictionary. The interpreter is asked for what refers to
    them and for nothing else: a hold on every object there is breaks another thread's tuple that
    grows meanwhile (``SystemError``).
    """
    found: dict[int, Owner] = {}
    for _ in range(3):  # its dictionary, the attributes that hold that, the object that has those
        holders = gc.get_referrers(*things)
        found |= {id(h): h for h in holders if issubclass(type(h), kind)}
        things = [h for h in holders if issubclass(type(h), dict)]
    return list(found.values())


def modules_with_buffers(optimizer: Optimizer) -> set[str]:
    """Return the kinds of modules that own a parameter of ``optimizer`` and have buffers."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    ids = {id(p) for p in parameters}
    return {
        type(module).__name__
        for module in owners(parameters, nn.Module)
        if module._buffers and any(id(p) in ids for p in module._parameters.values())
    }
