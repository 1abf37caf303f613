"""Two OpenMP teams on few cores wait for each other; let go of the one that is idle."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch

HARD = 2  # omp_pause_hard, OpenMP 5.0


def release_idle_team() -> None:
    """End the calling thread's OpenMP team; its next parallel region starts another.

    Training on a second thread is 2 to 3 times slower on two cores while the first thread's
    team exists. Results do not change: the number of threads stays the same. Without GNU's
    runtime in torch nothing happens.
    """
    for library in _runtimes():
        library.omp_pause_resource_all(HARD)


@cache
def _runtimes() -> tuple[Any, ...]:
    bundled = Path(torch.__file__).parent.glob("lib/libgomp*.so*")
    found = [ctypes.CDLL(str(file)) for file in bundled]
    return tuple(library for library in found if hasattr(library, "omp_pause_resource_all"))
