"""Plots and the benchmark command."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from exptest.bench import statistics as bench
from exptest.bench.published import JudgedWindow, judge, published_windows
from exptest.plots import (
    plot_fits,
    plot_null,
    plot_rates,
    plot_required_windows,
    plot_verdicts,
)
from exptest.statistics import exponential_test, slope_test

CURVES = Path(__file__).parents[3] / "shared" / "reference"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_fits_are_drawn_with_the_verdict_on_top(rng: np.random.Generator) -> None:
    y = 3 * np.exp(-0.1 * np.arange(50)) + 0.1 * rng.normal(size=50)
    for result, word in ((exponential_test(y), "decay: F"), (slope_test(y), "decreasing: t")):
        ax = plot_fits(y, result)
        assert word in ax.get_title(loc="left")


def test_the_null_shades_what_lies_beyond(rng: np.random.Generator) -> None:
    ax = plot_null(rng.exponential(size=1000), 3.0, density=(np.ones(3), np.ones(3)))
    labels = ax.get_legend_handles_labels()[1]
    assert any(label.startswith("p = 0.0") for label in labels)


def test_rates_above_the_limit_are_boxed() -> None:
    frame = pd.DataFrame({"truth": ["a", "b"], "noise": ["x", "x"], "rate": [0.01, 0.3]})
    ax = plot_rates(frame, limit=0.05)
    boxed = [text.get_text() for text in ax.texts if text.get_bbox_patch() is not None]
    assert boxed == ["0.300"]


def test_required_windows_have_one_line_a_group() -> None:
    frame = pd.DataFrame({"decline": [1, 2] * 2, "n": [9, 5, 20, 11], "correlation": [0, 0, 1, 1]})
    assert len(plot_required_windows(frame).lines) == 2


def test_verdicts_are_drawn_with_what_was_estimated() -> None:
    windows = [
        JudgedWindow(0, 5, "slope", 0.1, True, False, 0.3, 0.01, 0.5),
        JudgedWindow(5, 10, "slope", 0.1, True, True, -7.0, 0.01, 0.0),
    ]
    ax = plot_verdicts(np.geomspace(1, 0.1, 10), windows)
    assert len(ax.patches) == 3 * len(windows)
    assert sum(line.get_marker() == "^" for line in ax.lines) == 1
    drawn = [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 2]
    assert drawn == [0.3, 0.01, 0.01]


def test_the_benchmark_prints_times_and_the_ratio(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(bench, "LENGTHS", (1000,))
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    options = parser.parse_args(["--repeats", "2", "--no-tables", "--out", str(tmp_path)])
    assert bench.run(options) == 0
    printed = capsys.readouterr().out
    assert "times as long as the calibrated test" in printed
    assert (tmp_path / "times.csv").exists()


@pytest.mark.slow
def test_the_paper_s_fit_takes_ten_times_as_long_on_a_straight_decline() -> None:
    """In a process of its own: the type checks of the tests would be timed too."""
    code = "import sys; from exptest.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "bench", "statistics", "--no-tables"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"takes ([\d.]+) times as long", printed)
    assert found is not None
    assert float(found[1]) >= 10


@pytest.mark.skipif(not CURVES.exists(), reason="the authors' curves lie beside the checkout")
def test_the_authors_decisions_on_california_are_reproduced() -> None:
    with np.load(CURVES / "california_mlp.npz") as arrays:
        curves = arrays["exptest_train_loss"]
    judged = [judge(curve, 0.986704, (1.0,)) for curve in curves]
    first = [next(w.stop - 1 for w in ws if not w.paper) for ws in judged]
    accepted = [
        next(w.stop - 1 for w in ws if w.test == "exponential" and w.paper) for ws in judged
    ]
    slopes = [[w.stop - 1 for w in ws if w.test == "slope" and not w.paper] for ws in judged]
    assert first == [5, 4, 4, 5, 5]
    assert accepted == [23, 19, 20, 22, 23]
    assert slopes == [
        [95, 689, 6429],
        [34, 304, 6058],
        [36, 379, 6891],
        [39, 351, 4276],
        [41, 257, 4357],
    ]


@pytest.mark.skipif(not CURVES.exists(), reason="the authors' curves lie beside the checkout")
def test_the_methods_agree_on_most_published_windows() -> None:
    _, table = published_windows(CURVES)
    assert len(table) == 10
    assert table["differ"].sum() <= 0.1 * table["windows"].sum()


def test_missing_curves_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder of the authors' curves"):
        published_windows(tmp_path)
