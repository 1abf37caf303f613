"""What a user does prints no warning, neither ours nor one of a library that we call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parent.parent
SESSION = """
import torch
from exptest import linearized
from exptest.widgets import NetworkExplorer

model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
x, y = torch.randn(8, 3), torch.randn(8, 2)
linearized.linearize(model)(x)
for curvature in ("ggn", "hessian", "ntk"):
    linearized.critical_learning_rate(model, torch.nn.MSELoss(), x, y, curvature=curvature)
linearized.empirical_ntk(model, x)
panel = NetworkExplorer()
panel.join()
panel.close()
"""


def test_a_session_writes_nothing_to_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SESSION], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_cell_that_writes_to_stderr_fails(tmp_path: Path) -> None:
    cells = ["print('all is well')", "import warnings; warnings.warn('look out')"]
    notebook = new_notebook(cells=[new_code_cell(source, execution_count=1) for source in cells])
    nbformat.write(notebook, tmp_path / "noisy.ipynb")
    command = [sys.executable, "-m", "pytest", "-n0", "-c", "pyproject.toml", "--rootdir=."]
    done = subprocess.run(
        [*command, "-p", "tests.conftest", tmp_path],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed, 1 passed" in done.stdout
    assert "look out" in done.stdout
