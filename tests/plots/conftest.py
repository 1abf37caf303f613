"""Pictures are read by their artists, never by their pixels."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")
