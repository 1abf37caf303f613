"""The benchmark's contestants compute the same thing; its table and picture hold every row."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch

from exptest.bench import contestants, linearized
from exptest.plots import plot_benchmark, plot_gap


def test_the_recipe_is_the_kernel_it_is_compared_with() -> None:
    ours = contestants.ntk_exptest("mlp", 3)()
    recipe = contestants.ntk_recipe("mlp", 3)()
    assert torch.allclose(ours, recipe.permute(0, 2, 1, 3), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not find_spec("curvlinops"), reason="a peer that is not installed")
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # theirs
def test_the_peer_computes_the_same_kernel_and_eigenvalue() -> None:
    ours = contestants.ntk_exptest("mlp", 3)()
    theirs = contestants.ntk_curvlinops("mlp", 3)()
    assert torch.allclose(ours.reshape(30, 30), theirs, rtol=1e-4, atol=1e-4)
    eigenvalue = contestants.eigenvalue_curvlinops("mlp", 12)()
    assert contestants.eigenvalue_exptest("mlp", 12)() == pytest.approx(eigenvalue, rel=1e-6)


def test_predicting_many_steps_is_training_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "STEPS", 200)
    trained = contestants.curve_trained("mlp", 0)()
    assert contestants.curve_exptest("mlp", 0)() == pytest.approx(trained, rel=1e-9)


def test_the_table_has_ratios_and_a_failure_is_a_row_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {"exptest": 0.5, "torch.func recipe": 50.0, "dense": 1.0, "training": 5.0}

    def measured(task: str, method: str, command: list[str], limit: float) -> dict:
        if method not in times:
            return {"task": task, "method": method, "note": "not installed"}
        return {"task": task, "method": method, "note": "", "seconds": times[method], "value": 0.0,
                "peak_gb": 0.1}  # fmt: skip

    monkeypatch.setattr(linearized, "_child", measured)
    parser = argparse.ArgumentParser()
    linearized.add_arguments(parser)
    arguments = parser.parse_args(["--models", "mlp", "--examples", "256", "--out", str(tmp_path)])
    assert linearized.run(arguments) == 0
    assert "torch.func recipe" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "linearized.csv")
    assert table.set_index("method")["time_ratio"]["torch.func recipe"] == 100.0
    assert (tmp_path / "linearized.png").stat().st_size > 1000


def test_who_takes_too_long_is_stopped_and_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    sleeper = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    row = linearized._child("a task", "a sleeper", sleeper, 0.2)
    assert row == {"task": "a task", "method": "a sleeper", "note": "stopped after 0.2 s"}
    assert "stopped" in capsys.readouterr().err


def test_pictures_show_what_they_are_given() -> None:
    table = pd.DataFrame(
        {
            "task": ["NTK"] * 3,
            "method": ["exptest", "torch.func recipe", "curvlinops"],
            "time_ratio": [1.0, 200.0, float("nan")],
        }
    )
    ax = plot_benchmark(table)
    assert ["200×" in text.get_text() for text in ax.texts] == [True]
    widths = torch.tensor([32.0, 64.0]).double().numpy()
    ax = plot_gap(widths, 1 / widths[None], 1.0, 0.0)
    fitted = ax.lines[-1].get_ydata()
    assert fitted == pytest.approx(1 / widths)
