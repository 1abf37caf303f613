"""Open JupyterLab at one of the project's notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent


def launch(name: str, *, port: int | None = None, browser: bool = True) -> int:
    """Run JupyterLab on 127.0.0.1 until it is stopped; return its exit code.

    Raises:
        FileNotFoundError: no such notebook, or no JupyterLab; the message says what to do.
    """
    notebook = find_notebook(name)
    if find_spec("jupyterlab") is None:
        raise FileNotFoundError(
            'JupyterLab is not installed; try: python -m pip install -e ".[lab]"'
        )
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={CHECKOUT}",
        f"--LabApp.default_url=/lab/tree/notebooks/{notebook.name}",
        # Nothing leaves the machine: neither news nor a look for updates.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    if port is not None:
        command.append(f"--ServerApp.port={port}")
    if not browser:
        command.append("--no-browser")
    if os.name == "posix":  # become JupyterLab: who ends this process ends the server
        os.execv(sys.executable, command)
    return subprocess.run(command, check=False).returncode


def find_notebook(name: str) -> Path:
    """Return the notebook whose file name begins with, or contains, ``name``."""
    notebooks = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
    if not notebooks:
        raise FileNotFoundError(
            f"no notebooks beside the package ({CHECKOUT / 'notebooks'}); they come with the "
            'repository: clone it and run python -m pip install -e ".[lab]".'
        )
    stem = Path(name).stem
    matches = [n for n in notebooks if n.stem.startswith(stem)] or [
        n for n in notebooks if stem in n.stem
    ]
    if not matches:
        known = ", ".join(n.stem for n in notebooks)
        raise FileNotFoundError(f"no notebook matches {name!r}; there are {known}.")
    return matches[0]
