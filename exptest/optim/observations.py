"""One observation per update: what was lost between two updates, averaged."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from exptest.optim.loss_stream import CAPACITY, LossStream
from exptest.optim.ranks import mean_over_ranks, ranks


class _Mark(NamedTuple):
    """What the host knows of a number on its way.

    ``probe``: it is a gradient norm; else a loss, ``updated``: after which the weights moved.
    """

    probe: bool
    updated: bool
    factor: float


class Observations:
    """Losses in, one per call; observations out, one per update.

    The losses of an accumulation are averaged: all were computed at the same weights. A loss
    whose step was skipped because its gradients overflowed is an observation by itself, and a
    non-finite one is handed on at once.

    With several ranks the losses are averaged over them, and nothing arrives until it is waited
    for (or `CAPACITY` numbers are on their way): that is one collective, made by all.
    """

    def __init__(self) -> None:
        self._stream = LossStream()
        self._marks: deque[_Mark] = deque()
        self._pending: list[float] = []
        self._overflowed = False
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Updates whose loss has not been taken out."""
        return self._waiting

    def put(self, loss: Tensor, *, updated: bool, factor: float, probe: Tensor | None) -> None:
        """Send a loss on its way; where no update followed, its gradients' norm before it."""
        if probe is not None:
            self._stream.put(probe)
            self._marks.append(_Mark(True, False, factor))
        self._stream.put(loss)
        self._marks.append(_Mark(False, updated, factor))
        self._waiting += updated

    def arrived(self, *, wait: Callable[[], bool]) -> Iterator[tuple[float, float]]:
        """Yield (loss, factor) of the observations that have come; of all if ``wait()``."""
        for value in self._values(wait):
            mark = self._marks.popleft()
            self._waiting -= mark.updated
            if mark.updated and not self._pending and math.isfinite(value):
                yield value, mark.factor
                continue
            if mark.probe:
                self._overflowed = not math.isfinite(value)
            elif not math.isfinite(value):
                yield value, mark.factor
            else:
                self._pending.append(value)
            if self._pending and (mark.updated or (self._overflowed and not mark.probe)):
                yield math.fsum(self._pending) / len(self._pending), mark.factor
                self._pending = []

    def _values(self, wait: Callable[[], bool]) -> list[float]:
        if ranks() == 1:
            return self._stream.arrived(wait=self._stream.late and wait())
        if not self._marks or not (len(self._marks) >= CAPACITY or wait()):
            return []
        return mean_over_ranks(self._stream.arrived(wait=True))

    def clear(self) -> None:
        """Drop everything on its way."""
        self._stream.clear()
        self._marks.clear()
        self._pending, self._waiting, self._overflowed = [], 0, False

    def state_dict(self) -> dict[str, Any]:
        """Return all that has been put in and not been taken out; of several ranks, this one's."""
        values = self._stream.arrived(wait=True)
        self._put_back(values)
        return {
            "values": values,
            "marks": [tuple(mark) for mark in self._marks],
            "pending": list(self._pending),
            "overflowed": self._overflowed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.clear()
        self._put_back(state["values"])
        self._marks.extend(_Mark(*mark) for mark in state["marks"])
        self._waiting = sum(mark.updated for mark in self._marks)
        self._pending, self._overflowed = list(state["pending"]), state["overflowed"]

    def _put_back(self, values: list[float]) -> None:
        for value in values:
            self._stream.put(torch.tensor(value, dtype=torch.float64))
