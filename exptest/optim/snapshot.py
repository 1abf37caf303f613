"""A place to go back to: parameters, buffers and everything that the optimizer remembers."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

# A scheduler beside the optimizer keeps its base in the group; the rate belongs to the tuner.
NOT_KEPT = {"params", "lr", "initial_lr"}


class Snapshot:
    """Remember where training stands, and put it back: no parameter or buffer is replaced.

    Of the optimizer all is kept that its ``state_dict()`` holds, the counters in its groups
    included, except the rates. Storage is looked up anew each time: ``model.to``, ``.double()``
    and ``p.data = …`` may replace it. Memory: one copy of parameters, buffers and state.
    """

    def __init__(self, optimizer: Optimizer, model: nn.Module | None) -> None:
        self._optimizer, self._model = optimizer, model
        self._tensors: list[Tensor] = []
        self._buffers: dict[str, Tensor] = {}
        self._groups: list[dict[str, Any]] = []
        self._state: dict[Any, Any] = {}  # replaced as a whole, never changed
        self.take()

    def _parameters(self) -> list[Tensor]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]

    def _live_buffers(self) -> dict[str, Tensor]:
        return {} if self._model is None else dict(self._model.named_buffers())

    @torch.no_grad()
    def take(self) -> None:
        """Remember this moment instead."""
        self._tensors = _copies(self._parameters(), self._tensors)
        live = self._live_buffers()
        kept = _copies([*live.values()], [*self._buffers.values()])
        self._buffers = dict(zip(live, kept, strict=True))
        self.take_optimizer()

    def take_optimizer(self) -> None:
        """Remember this moment of the optimizer's own memory, the weights as before."""
        groups = self._optimizer.param_groups
        self._groups = [copy.deepcopy(_own(group)) for group in groups]
        self._state = {key: copy.deepcopy(kept) for key, kept in self._optimizer.state.items()}

    @torch.no_grad()
    def moved(self) -> bool:
        """Whether a parameter has changed since."""
        pairs = zip(self._parameters(), self._tensors, strict=True)
        return any(not torch.equal(p, kept.to(p)) for p, kept in pairs)

    @torch.no_grad()
    def follow(self) -> None:
        """Remember also the parameters of groups that came since."""
        groups = self._optimizer.param_groups
        self._tensors += [p.detach().clone() for p in self._parameters()[len(self._tensors) :]]
        self._groups += [copy.deepcopy(_own(group)) for group in groups[len(self._groups) :]]

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the moment remembered."""
        for live, kept in zip(self._parameters(), self._tensors, strict=True):
            live.copy_(kept)
        for name, live in self._live_buffers().items():
            if name in self._buffers:
                live.copy_(self._buffers[name])
        for group, own in zip(self._optimizer.param_groups, self._groups, strict=True):
            for name in _own(group):
                del group[name]
            group.update(copy.deepcopy(own))
        self._optimizer.state.clear()
        self._optimizer.state.update(
            {key: copy.deepcopy(kept) for key, kept in self._state.items()}
        )

    # -- how it is kept --------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        place = {p: i for i, p in enumerate(self._parameters())}
        return {
            "tensors": [t.clone() for t in self._tensors],
            "buffers": {name: t.clone() for name, t in self._buffers.items()},
            "groups": copy.deepcopy(self._groups),
            "memory": {place.get(k, k): kept for k, kept in self._state.items()},
        }

    def check_state(self, state: dict[str, Any]) -> None:
        """Raise ValueError if ``state`` belongs to other buffers (weights are the optimizer's)."""
        both = state["buffers"], self._live_buffers()
        shapes, here = ({name: tuple(t.shape) for name, t in some.items()} for some in both)
        if shapes != here:
            raise ValueError(
                f"the saved state belongs to another model: its buffers have shapes {shapes}, "
                f"here they are {here}; build the model that it was saved with."
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        parameters = self._parameters()
        pairs = zip(state["tensors"], parameters, strict=True)
        self._tensors = [kept.to(p, copy=True) for kept, p in pairs]
        self._buffers = {name: t.clone() for name, t in state["buffers"].items()}
        self._groups = copy.deepcopy(state["groups"])
        self._state = {}
        for key, kept in state["memory"].items():
            owner = parameters[key] if isinstance(key, int) else key
            self._state[owner] = _beside(owner, kept)


def _own(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in NOT_KEPT}


def _beside(owner: Any, kept: Any) -> Any:
    """Tensors loaded on the host, on their parameter's device; counters stay where they are."""
    if isinstance(kept, dict):
        return {name: _beside(owner, value) for name, value in kept.items()}
    if isinstance(kept, (list, tuple)):
        return type(kept)(_beside(owner, value) for value in kept)
    movable = isinstance(owner, Tensor) and isinstance(kept, Tensor) and kept.dim() > 0
    return kept.to(owner.device) if movable else kept


def _copies(live: list[Tensor], kept: list[Tensor]) -> list[Tensor]:
    """Copies of ``live``, into the storage of the earlier ones where it fits."""
    if len(live) != len(kept):
        return [t.detach().clone() for t in live]
    return [
        old.copy_(t) if (old.shape, old.dtype, old.device) == (t.shape, t.dtype, t.device)
        else t.detach().clone()
        for t, old in zip(live, kept, strict=True)
    ]  # fmt: skip
