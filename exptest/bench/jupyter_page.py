"""A JupyterLab in Chromium, driven from Python: for benchmarks, films and browser tests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TOKEN = "local"
PATIENCE_S = 180.0  # only what is broken takes longer, however busy the machine
READY = """() => {
  const notebook = window.jupyterapp?.shell.currentWidget;
  const context = notebook?.sessionContext, kernel = context?.session?.kernel;
  return Boolean(notebook?.context?.isReady && notebook.content.widgets.length
                 && context?.isReady && kernel?.status === 'idle'
                 && kernel.connectionStatus === 'connected');
}"""
RUN = """async () => {
  await window.jupyterapp.commands.execute('notebook:run-all-cells');
  const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
  return prompts.map(prompt => prompt.textContent);
}"""
ASK = """async code => {
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
PIXELS = """
import hashlib, io
from PIL import Image
{panel}.join()
print(hashlib.sha256(Image.open(io.BytesIO({panel}.canvas.png)).convert("RGBA").tobytes()).hexdigest())
"""
SHOWN = """async digest => {
  const image = document.querySelector('.widget-image');
  if (!image?.complete || !image.naturalWidth) return false;
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', pixels));
  return [...hash].map(byte => byte.toString(16).padStart(2, '0')).join('') === digest;
}"""


@dataclass
class Lab:
    """A running JupyterLab with a browser page on it.

    Attributes:
        errors: what the page complained of.
        elsewhere: addresses outside of this server that it asked for.
    """

    url: str
    folder: Path
    page: Any
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def write(self, name: str, *cells: str) -> None:
        """Make a notebook of code cells."""
        import nbformat

        notebook = nbformat.v4.new_notebook()
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(notebook, self.folder / name)

    def open(self, name: str) -> None:
        """Open the notebook and wait for its kernel."""
        self.page.goto(f"{self.url}doc/tree/{name}?token={TOKEN}&reset")
        self.page.wait_for_selector(".jp-NotebookPanel")
        self.page.wait_for_function(READY)

    def run_all(self) -> None:
        """Run all cells and wait for the last."""
        prompts = self.page.evaluate(RUN)
        if not all(any(letter.isdigit() for letter in prompt) for prompt in prompts):
            raise RuntimeError(f"cells did not run, they say {prompts}.")

    def ask(self, code: str) -> str:
        """Run ``code`` in the kernel, outside of any cell; return what it prints."""
        return self.page.evaluate(ASK, code)

    def come_to_rest(self, panel: str) -> None:
        """Wait until the panel of that name has nothing to do and the page shows its pixels."""
        self.page.wait_for_function(SHOWN, arg=self.ask(PIXELS.format(panel=panel)).strip())

    def press(self, label: str) -> None:
        """Press the button of that name."""
        self.page.get_by_role("button", name=label).first.click()

    def _note(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.elsewhere.append(url)


@contextlib.contextmanager
def jupyter(home: Path) -> Iterator[tuple[str, Path]]:
    """Run JupyterLab on 127.0.0.1, everything of it below ``home``: (url, notebook folder)."""
    folder, settings = home / "notebooks", home / "settings" / "@jupyterlab"
    folder.mkdir()
    (settings / "apputils-extension").mkdir(parents=True)
    (settings / "apputils-extension" / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false"}'
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
        f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None", f"--LabApp.workspaces_dir={home / 'workspaces'}",
        f"--LabApp.user_settings_dir={home / 'settings'}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    homes = {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    with (home / "log").open("w") as log:
        lab = subprocess.Popen(
            command, env=os.environ | homes, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        _wait_for(f"{url}api?token={TOKEN}", seconds=PATIENCE_S)
        yield url, folder
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(timeout=PATIENCE_S)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Run Chromium without a window.

    Raises:
        FileNotFoundError: it is not installed.
    """
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        raise FileNotFoundError(f"{CHROMIUM} is missing; try apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


def _wait_for(url: str, seconds: float) -> None:
    for _ in range(int(10 * seconds)):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers at {url} after {seconds:g} s.")
