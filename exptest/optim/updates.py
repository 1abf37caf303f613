"""What the optimizer does between two losses, seen through its own hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakMethod

import torch
from torch.optim import Optimizer


class Updates:
    """Call ``before`` and ``after`` each update of ``optimizer`` and count the updates.

    A gradient scaler that skips a step, or a micro-batch of an accumulation, makes none. The
    hooks keep nobody alive; of two on one optimizer, the later one has it.
    """

    _owners: ClassVar[WeakKeyDictionary[Optimizer, Updates]] = WeakKeyDictionary()

    def __init__(
        self, optimizer: Optimizer, before: Callable[[], None], after: Callable[[], None]
    ) -> None:
        hooked = innermost(optimizer)
        if earlier := self._owners.get(hooked):
            earlier.let_go()
        self._owners[hooked] = self
        self._before, self._after = WeakMethod(before), WeakMethod(after)
        self._handles = [
            hooked.register_step_pre_hook(self._run_before),
            hooked.register_step_post_hook(self._run_after),
        ]
        self.made = 0

    @property
    def attached(self) -> bool:
        """Whether it still sees the optimizer."""
        return bool(self._handles)

    def let_go(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _run_before(self, *_: Any) -> None:
        if act := self._before():
            _eagerly(act)

    def _run_after(self, *_: Any) -> None:
        if act := self._after():
            self.made += 1
            _eagerly(act)
        else:
            self.let_go()


def _eagerly(act: Callable[[], None]) -> None:
    """Keep ``act`` out of a compiled step (compiled, it would be so anew at each rate)."""
    if torch.compiler.is_compiling():
        act = torch.compiler.disable(act)
    act()


def innermost(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer that a wrapper (accelerate's) passes its steps on to."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer
