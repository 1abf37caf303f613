"""Losses on their way from the device to the host: nobody waits for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CAPACITY = 1024
# A NaN that no computation returns: what a place holds until its loss has arrived.
ABSENT: dict[torch.dtype, np.ndarray] = {
    torch.float32: np.array(0x7FABCDEF, dtype=np.uint32),
    torch.float64: np.array(0x7FFABCDEF0123456, dtype=np.uint64),
}


class LossStream:
    """Hand scalar losses to the host in order.

    On the CPU a loss is read where it lies. On an accelerator it is copied asynchronously into
    pinned memory; `arrived` looks at what has come, and waits only if told to.
    """

    def __init__(self) -> None:
        self._ready: list[float] = []
        self._ring: Tensor | None = None
        self._first = 0
        self._in_flight = 0
        self._last: Tensor | None = None

    def __len__(self) -> int:
        """Losses put in and not yet taken out."""
        return len(self._ready) + self._in_flight

    @property
    def late(self) -> bool:
        """Whether some may not have arrived."""
        return self._in_flight > 0

    def put(self, loss: Tensor) -> None:
        """Send one loss (a real tensor with one element) on its way."""
        if loss.is_cpu:
            self._ready.append(float(loss.item()))
        else:
            self._send(loss.detach().reshape(()))

    def _send(self, loss: Tensor) -> None:
        if loss.dtype not in ABSENT:
            loss = loss.float()
        if self._ring is None:
            self._ring = torch.empty(
                CAPACITY, dtype=loss.dtype, pin_memory=torch.cuda.is_available()
            )
            self._bits()[:] = ABSENT[loss.dtype]
        if self._in_flight == CAPACITY:
            self._collect(wait=True)
        place = (self._first + self._in_flight) % CAPACITY
        self._ring[place].copy_(loss, non_blocking=True)
        self._in_flight += 1
        self._last = loss

    def arrived(self, *, wait: bool) -> list[float]:
        """Return the losses that have come since last asked; all of them if ``wait``."""
        if self._in_flight:
            self._collect(wait=wait)
        ready, self._ready = self._ready, []
        return ready

    def _collect(self, *, wait: bool) -> None:
        if wait and self._last is not None:
            self._last.cpu()  # copies of one stream arrive in order: the last one is here, all are
        assert self._ring is not None
        bits, values, absent = self._bits(), self._ring.numpy(), ABSENT[self._ring.dtype]
        while self._in_flight and (wait or bits[self._first] != absent):
            self._ready.append(float(values[self._first]))
            bits[self._first] = absent
            self._first = (self._first + 1) % CAPACITY
            self._in_flight -= 1

    def _bits(self) -> np.ndarray:
        assert self._ring is not None
        return self._ring.numpy().view(ABSENT[self._ring.dtype].dtype)

    def clear(self) -> None:
        """Drop everything on its way."""
        self.arrived(wait=True)
