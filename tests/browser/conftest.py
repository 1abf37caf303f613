"""A real JupyterLab in a real Chromium, on notebooks made for the test."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exptest.bench.jupyter_page import CHROMIUM, Lab, chromium, jupyter

SHOTS = os.environ.get("EXPTEST_SHOTS")
Opened = Callable[..., Lab]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason=f"{CHROMIUM} is not installed: apt-get install chromium")
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists():
                item.add_marker(missing)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab: (url, folder)."""
    with jupyter(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture
def lab(server: tuple[str, Path], browser: Any) -> Iterator[Lab]:
    """A fresh page; it asks nothing of other machines and has nothing to complain of."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    lab = Lab(*server, page)
    yield lab
    page.close()
    assert lab.elsewhere == []
    assert lab.errors == []


@pytest.fixture
def opened(lab: Lab, request: pytest.FixtureRequest) -> Opened:
    """``opened(code, ...)`` runs the cells in a fresh notebook of the test's name."""

    def run(*cells: str, width: int = 1400, height: int = 1000) -> Lab:
        lab.page.set_viewport_size({"width": width, "height": height})
        name = re.sub(r"\W+", "-", request.node.name) + ".ipynb"
        lab.write(name, *cells)
        lab.open(name)
        lab.run_all()
        return lab

    return run


@pytest.fixture
def shoot(lab: Lab) -> Callable[[str], None]:
    """Keep a screenshot, if $EXPTEST_SHOTS names a folder."""

    def take(name: str) -> None:
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            lab.page.screenshot(path=Path(SHOTS) / f"{name}.png")

    return take
