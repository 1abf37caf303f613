"""Numbers that come one by one, to be read as an array at any time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float


class Series:
    """A float64 array that grows; reading it copies nothing.

    >>> series = Series([1.0])
    >>> series.append(2.0)
    >>> series.view()
    array([1., 2.])
    """

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._room = np.array([*values], dtype=np.float64)
        self._size = len(self._room)

    @classmethod
    def ending(cls, values: list[float], *, length: int) -> Series:
        """Return a series of ``length`` whose last numbers are known; the others are nan."""
        series = cls([])
        series._room = np.full(length, np.nan)
        series._room[length - len(values) :] = values
        series._size = length
        return series

    def last(self, count: int) -> list[float]:
        """Return the last ``count`` numbers, or as many as there are."""
        return self.view()[max(self._size - count, 0) :].tolist()

    def __len__(self) -> int:
        return self._size

    def append(self, value: float) -> None:
        """Add one number; what was read before stays as it was."""
        if self._size == len(self._room):
            grown = np.empty(max(2 * self._size, 1024))
            grown[: self._size] = self._room
            self._room = grown
        self._room[self._size] = value
        self._size += 1

    def view(self) -> Float[np.ndarray, " n"]:
        """Return the numbers so far, read-only."""
        seen = self._room[: self._size]
        seen.flags.writeable = False
        return seen
