"""Try a model and leave no trace: weights, buffers, gradients, modes and random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn


class RandomState:
    """Where every source of random numbers stands now: Python, numpy, torch, the device.

    Args:
        device: whose generator is remembered beside the CPU's.
        generators: more of them, such as a DataLoader's own.
    """

    def __init__(self, device: torch.device, generators: Iterable[torch.Generator] = ()) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 - users' own code may draw from it
        self._torch = torch.get_rng_state()
        self._device = device
        self._on_device = _device_generator(device)
        self._others = [(generator, generator.get_state()) for generator in generators]

    def restore(self) -> None:
        """Go back to it."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        torch.set_rng_state(self._torch)
        if self._on_device is not None:
            _set_device_generator(self._device, self._on_device)
        for generator, state in self._others:
            generator.set_state(state)


def _device_generator(device: torch.device) -> Tensor | None:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None


def _set_device_generator(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.mps.set_rng_state(state)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model is in evaluation mode inside; every module has its own mode again after."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def undisturbed(*modules: Any, state: RandomState) -> Iterator[None]:
    """Whatever happens inside, modules and random numbers come out as they went in.

    Weights are copied for as long as it lasts: fused kernels change buffers without telling.
    """
    every = [m for whole in modules if isinstance(whole, nn.Module) for m in whole.modules()]
    modes = [module.training for module in every]
    slots: list[tuple[dict[str, Any], str, Tensor, Tensor, Tensor | None]] = [
        (
            cast(dict, held),
            name,
            tensor,
            tensor.detach().clone(),
            tensor.grad if tensor.is_leaf else None,
        )
        for module in every
        for held in (module._parameters, module._buffers)
        for name, tensor in held.items()
        if tensor is not None
    ]
    for _, _, tensor, _, gradient in slots:
        if gradient is not None:
            tensor.grad = None
    try:
        yield
    finally:
        for held, name, tensor, value, gradient in slots:
            held[name] = tensor
            with torch.no_grad():
                tensor.copy_(value)
            if tensor.is_leaf:
                tensor.grad = gradient
        for module, mode in zip(every, modes, strict=True):
            module.training = mode
        state.restore()


def seed_everything(seed: int) -> None:
    """Seed torch, numpy and random."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - users' own code may draw from it
    torch.manual_seed(seed)
