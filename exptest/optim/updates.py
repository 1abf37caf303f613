"""What the optimizer does between two losses, seen through its own hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakMethod

import torch
from torch.optim import Optimizer

# Far more micro-batches than an accumulation has.
MANY_SILENT = 100


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
        self._silent = 0

    def taken(self) -> bool:
        """Return whether the optimizer has stepped since last asked.

        Raises:
            RuntimeError: it has more than once, or another one has taken it over.
        """
        if not self._handles:
            raise RuntimeError(
                "another ExpTest has been made on this optimizer since; step that one."
            )
        made, self.made = self.made, 0
        if made > 1:
            raise RuntimeError(
                f"the optimizer made {made} updates since the last loss; call step(loss) after "
                "each of them, with the loss that it minimized."
            )
        self._silent = 0 if made else self._silent + 1
        if self._silent == MANY_SILENT:
            warnings.warn(
                f"{MANY_SILENT} losses came without an update of this optimizer: they are held "
                "until one comes. If it is wrapped (SAM, master weights), pass the optimizer "
                "that steps.",
                stacklevel=3,
            )
        return made == 1

    def forget(self) -> None:
        """Count from here on."""
        self.made = self._silent = 0

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
