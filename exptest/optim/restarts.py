"""Where training goes back to when a rate is rejected."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from exptest.optim.snapshot import Snapshot, modules_with_buffers
from exptest.record import Decision

Restart = Literal["initial"] | None | Callable[[], Any]


class Restarts:
    """Two places to go back to: where training began, and where the open window began.

    Args:
        optimizer, model: what is put back.
        restart: ``"initial"``: these places; None: nothing moves; a function: it does it all.
        on_restart: called with the decision after training went back.

    Raises:
        TypeError, ValueError: an argument is none of these.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module | None,
        restart: Restart,
        on_restart: Callable[[Decision], Any] | None,
    ) -> None:
        _check(optimizer, model, restart, on_restart)
        self._restart, self._on_restart = restart, on_restart
        kept = restart == "initial"
        self._places = [Snapshot(optimizer, model) for _ in range(2)] if kept else []
        self._begun = False
        if kept and model is None and (found := modules_with_buffers(optimizer)):
            warnings.warn(
                f"{', '.join(sorted(found))} hold buffers (running statistics), which a restart "
                "leaves as they are; pass model=... to have them restored too.",
                stacklevel=4,
            )

    def begin(self) -> None:
        """Before the first update: by now an optimizer has set its mode, weights are loaded."""
        if self._begun:
            return
        for place in self._places:
            if place.moved():
                place.take()
            else:
                place.take_optimizer()
        self._begun = True

    def follow(self) -> None:
        """Take in parameters that came since."""
        for place in self._places:
            place.follow()

    def undo(self) -> None:
        """Go back to the beginning, as if nothing had been trained."""
        if self._places:
            self._places[0].restore()

    def go_back(self, decision: Decision) -> bool:
        """Go back, to the beginning from a search, else to the start of the window; say whether."""
        if self._restart is None:
            return False
        if callable(self._restart):
            self._restart()
        else:
            self._places[0 if decision.restarts else 1].restore()
        if self._on_restart is not None:
            self._on_restart(decision)
        return True

    def begin_window(self) -> None:
        """Remember where the window begins."""
        for place in self._places[1:]:
            place.take()

    # -- how they are kept -----------------------------------------------------------------

    @property
    def _kind(self) -> str | None:
        return "a function" if callable(self._restart) else self._restart

    def state_dict(self) -> dict[str, Any]:
        return {
            "kind": self._kind,
            "begun": self._begun,
            "places": [place.state_dict() for place in self._places],
        }

    def check_state(self, state: dict[str, Any]) -> None:
        """Raise ValueError if ``state`` is that of another model or another way to restart."""
        if state["kind"] != self._kind:
            raise ValueError(
                f"the saved state has restart = {state['kind']!r}, this ExpTest {self._kind!r}; "
                "construct it with the settings it was saved with."
            )
        for place, kept in zip(self._places, state["places"], strict=True):
            place.check_state(kept)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begun = state["begun"]
        for place, kept in zip(self._places, state["places"], strict=True):
            place.load_state_dict(kept)


def _check(optimizer: Optimizer, model: Any, restart: Any, on_restart: Any) -> None:
    if not (restart is None or restart == "initial" or callable(restart)):
        raise ValueError(
            f"restart must be 'initial', None or a function, got {restart!r}; try 'initial'."
        )
    if not (on_restart is None or callable(on_restart)):
        raise TypeError(f"on_restart must be a function, got {type(on_restart).__name__}.")
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    if model is not None:
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if trained.isdisjoint(map(id, model.parameters())):
            raise ValueError(
                "the optimizer trains no parameter of model: it belongs to another one, or to "
                "what this one was copied from; pass the model that it trains."
            )
