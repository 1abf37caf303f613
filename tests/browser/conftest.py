"""A real JupyterLab in a real Chromium, on notebooks made for the test."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SHOTS = os.environ.get("EXPTEST_SHOTS")
READY = """() => {
  const app = window.jupyterapp, panel = app?.shell.currentWidget, context = panel?.sessionContext;
  const kernel = context?.session?.kernel;
  return Boolean(context?.isReady && kernel?.status === 'idle'
                 && kernel.connectionStatus === 'connected');
}"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason=f"{CHROMIUM} is not installed: apt-get install chromium")
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists():
                item.add_marker(missing)


@dataclass
class Lab:
    """A running JupyterLab with a browser page on it."""

    url: str
    token: str
    folder: Path
    page: Any
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def open(self, name: str) -> None:
        """Open the notebook and wait for its kernel."""
        self.page.goto(f"{self.url}doc/tree/{name}?token={self.token}&reset")
        self.page.wait_for_selector(".jp-NotebookPanel")
        self.page.wait_for_function(READY, timeout=60_000)

    def write(self, name: str, *cells: str) -> None:
        """Make a notebook of code cells."""
        notebook = nbformat.v4.new_notebook()
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(notebook, self.folder / name)

    def command(self, name: str) -> None:
        """Execute a JupyterLab command."""
        self.page.evaluate(f"void window.jupyterapp.commands.execute('{name}')")

    def run_all(self, timeout_s: float = 120) -> None:
        """Run all cells and wait for the last."""
        self.command("notebook:run-all-cells")
        done = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                        .every(prompt => /[0-9]/.test(prompt.textContent))"""
        self.page.wait_for_function(done, timeout=1000 * timeout_s)

    def save(self) -> None:
        """Save the notebook and wait until it is saved."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        self.page.wait_for_timeout(500)

    def kernel_says(self, code: str) -> str:
        """Run ``code`` in the notebook's kernel, outside of any cell; return what it prints."""
        script = """async code => {
          const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
          const future = kernel.requestExecute({code, store_history: false});
          let text = '';
          future.onIOPub = message => {
            if (message.header.msg_type === 'stream') text += message.content.text;
            if (message.header.msg_type === 'error') text += message.content.traceback.join('');
          };
          await future.done;
          return text;
        }"""
        return self.page.evaluate(script, code)

    def shoot(self, name: str) -> None:
        """Keep a screenshot if $EXPTEST_SHOTS names a folder."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """JupyterLab on 127.0.0.1 with folders of its own: (url, token, folder)."""
    home = tmp_path_factory.mktemp("jupyter")
    folder = home / "notebooks"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = "for-the-test"
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
        f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None", f"--LabApp.workspaces_dir={home / 'workspaces'}",
        f"--LabApp.user_settings_dir={home / 'settings'}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    homes = {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    url = f"http://127.0.0.1:{port}/"
    with (home / "log").open("w") as log:
        lab = subprocess.Popen(
            command, env=os.environ | homes, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(f"{url}api?token={token}", seconds=60)
        yield url, token, folder
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(timeout=30)


def _wait_for(url: str, seconds: float) -> None:
    for _ in range(int(10 * seconds)):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers at {url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def lab(server: tuple[str, str, Path], browser: Any) -> Iterator[Lab]:
    """A fresh page; it asks nothing of other machines and has nothing to complain of."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    lab = Lab(*server, page)
    page.on("request", lambda request: _note_foreign(lab, request.url))
    page.on("console", lambda m: lab.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: lab.errors.append(str(error)))
    yield lab
    page.close()
    assert lab.elsewhere == []
    assert lab.errors == []


def _note_foreign(lab: Lab, url: str) -> None:
    if not url.startswith((lab.url, lab.url.replace("http", "ws"), "data:", "blob:")):
        lab.elsewhere.append(url)


Opened = Callable[..., Lab]


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
