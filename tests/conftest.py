"""Every test: seeded, one torch thread per worker, no window."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the notebooks' kernels, one per worker, inherit it

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import Phase, settings

from tests.falsifiers import table

torch.set_num_threads(1)
settings.register_profile("exptest", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "falsifiers", settings.get_profile("exptest"), phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("exptest")


class QuietNotebooks:
    """A notebook's cell that writes to stderr fails: a reader would see that warning."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        yield
        outputs: list[Any] = getattr(item, "test_outputs", None) or []  # of an nbval cell
        noise = [output.text for output in outputs if output.get("name") == "stderr"]
        assert not noise, f"the cell writes to stderr: {''.join(noise)}"


def pytest_addoption(parser: pytest.Parser) -> None:
    table.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(QuietNotebooks())  # notebooks/ has no conftest of its own
    config.pluginmanager.register(table)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.default_generator.manual_seed(0)  # torch's own notes the stack three times: 1.3 ms


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def as_users_do() -> Iterator[None]:
    """Without run-time type checks: bad input meets our own messages, simulations run as fast."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
