"""Every test: seeded, one torch thread per worker, no window."""

from __future__ import annotations

import os
from collections.abc import Iterator

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the notebooks' kernels, one per worker, inherit it

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("exptest", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("exptest")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def as_users_do() -> Iterator[None]:
    """Without run-time type checks, so that bad input meets the library's own messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
