"""`exptest lab` answers on its port and shows the notebook."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exptest.bench.jupyter_page import PATIENCE_S


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where `exptest lab` says that it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "exptest.cli", "lab", "--no-browser", "--port", str(port)]
    homes = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    lab = subprocess.Popen(
        command,
        env=os.environ | homes,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert lab.stderr is not None
    try:
        pattern = rf"http://127\.0\.0\.1:{port}/\S+"
        yield next(found[0] for line in lab.stderr if (found := re.search(pattern, line)))
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.stderr.close()
        lab.wait(timeout=PATIENCE_S)


def test_lab_opens_the_first_notebook(address: str, browser: Any, tmp_path: Path) -> None:
    assert "00-start-here.ipynb" in address
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(1000 * PATIENCE_S)
    page.goto(address)
    page.get_by_role("heading", name="Start here: train without choosing").wait_for()
    picture = page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    picture.scroll_into_view_if_needed()
    page.screenshot(path=os.environ.get("EXPTEST_SHOT", tmp_path / "lab.png"))
    assert picture.evaluate("image => image.naturalWidth") > 500
    page.close()
