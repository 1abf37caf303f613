"""A place to go back to: parameters, buffers and optimizer state."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Snapshot:
    """Remember where training stands, and put it back in place: no tensor is replaced.

    Learning rates are not part of it; they belong to the tuner.
    """

    def __init__(self, optimizer: Optimizer, model: nn.Module | None) -> None:
        self._optimizer = optimizer
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        buffers = list(model.buffers()) if model is not None else []
        self._live: list[Tensor] = [p.detach() for p in parameters] + buffers
        self._parameters = parameters
        self._saved = [t.detach().clone() for t in self._live]
        self._state = self._optimizer_state()

    @property
    def parameters(self) -> list[Tensor]:
        """The remembered parameters, in the order of the parameter groups; renewed in place."""
        return self._saved[: len(self._parameters)]

    def _optimizer_state(self) -> list[Any]:
        return [copy.deepcopy(self._optimizer.state.get(p)) for p in self._parameters]

    @torch.no_grad()
    def take(self) -> None:
        """Remember this moment instead."""
        for saved, live in zip(self._saved, self._live, strict=True):
            saved.copy_(live)
        self._state = self._optimizer_state()

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the moment remembered."""
        for live, saved in zip(self._live, self._saved, strict=True):
            live.copy_(saved)
        for parameter, state in zip(self._parameters, self._state, strict=True):
            if state:
                self._optimizer.state[parameter] = copy.deepcopy(state)
            else:
                self._optimizer.state.pop(parameter, None)

    def state_dict(self) -> dict[str, Any]:
        return {
            "tensors": [t.clone() for t in self._saved],
            "optimizer": [dict(s) if s else None for s in copy.deepcopy(self._state)],
        }

    def check(self, state: dict[str, Any]) -> None:
        """Raise ValueError if ``state`` belongs to other parameters or buffers."""
        saved = [tuple(t.shape) for t in state["tensors"]]
        own = [tuple(t.shape) for t in self._saved]
        if saved != own:
            raise ValueError(
                f"the saved state belongs to another model: its tensors have shapes {saved}, "
                f"here they are {own}; build the model that it was saved with."
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for saved, loaded in zip(self._saved, state["tensors"], strict=True):
            saved.copy_(loaded)
        self._state = copy.deepcopy(state["optimizer"])
