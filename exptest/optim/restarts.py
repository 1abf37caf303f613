"""Where training goes back to when a rate is rejected."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from exptest.optim.owners import modules_with_buffers
from exptest.optim.snapshot import Snapshot
from exptest.record import Decision

Restart = Literal["initial"] | None | Callable[[], Any]


class Restarts:
    """The place to go back to: where the open window began, in the search the beginning.

    Args:
        optimizer, model: what is put back.
        restart: ``"initial"``: this place; None: nothing moves; a function: it does it all.
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
        self._place = Snapshot(optimizer, model) if kept else None
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
        if self._place is not None:
            if self._place.moved():
                self._place.take()
            else:
                self._place.take_optimizer()
        self._begun = True

    def follow(self) -> None:
        """Take in parameters that came since."""
        if self._place is not None:
            self._place.follow()

    def undo(self) -> None:
        """Go back to the place, as if nothing had been trained since."""
        if self._place is not None:
            self._place.restore()

    def go_back(self, decision: Decision) -> bool:
        """Go back, in whatever way was asked for; say whether."""
        if self._restart is None:
            return False
        if callable(self._restart):
            self._restart()
        self.undo()
        if self._on_restart is not None:
            self._on_restart(decision)
        return True

    def begin_window(self) -> None:
        """Remember where the window begins."""
        if self._place is not None:
            self._place.take()

    # -- how they are kept -----------------------------------------------------------------

    @property
    def _kind(self) -> str | None:
        return "a function" if callable(self._restart) else self._restart

    def state_dict(self) -> dict[str, Any]:
        return {
            "kind": self._kind,
            "begun": self._begun,
            "place": None if self._place is None else self._place.state_dict(),
        }

    def check_state(self, state: dict[str, Any]) -> None:
        """Raise ValueError if ``state`` is that of another model or another way to restart."""
        if state["kind"] != self._kind:
            raise ValueError(
                f"the saved state has restart = {state['kind']!r}, this ExpTest {self._kind!r}; "
                "construct it with the settings it was saved with."
            )
        if self._place is not None:
            self._place.check_state(state["place"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begun = state["begun"]
        if self._place is not None:
            self._place.load_state_dict(state["place"])


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
