"""What a user does prints no warning, neither ours nor one of a library that we call."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.conftest import QuietNotebooks

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
panel = NetworkExplorer(width=8, steps=20)
panel.join()
panel.close()
"""


def test_a_session_writes_nothing_to_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SESSION], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# nbval leaves the null device open; collected here, it troubles no other test.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_cell_that_writes_to_stderr_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cells = ["print('all is well')", "import warnings; warnings.warn('look out')"]
    notebook = new_notebook(cells=[new_code_cell(source, execution_count=1) for source in cells])
    nbformat.write(notebook, tmp_path / "noisy.ipynb")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nbval-lax --nbval-current-env\n")
    options = ["-p", "no:faulthandler", "-p", "no:cacheprovider", "--capture=no"]
    pytest.main([*options, f"--rootdir={tmp_path}", str(tmp_path)], plugins=[QuietNotebooks()])
    gc.collect()
    printed = capfd.readouterr().out
    assert "1 failed, 1 passed" in printed
    assert "look out" in printed
