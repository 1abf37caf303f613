"""A benchmark's ratio is the one of what it timed: clocks are counterfeit here."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from exptest.bench import contestants, linearized, overhead, published
from exptest.bench import statistics as bench
from exptest.bench.published import ALPHA, BETA, judge
from exptest.statistics import exponential_test, slope_test, window_length


def options(module: ModuleType, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(arguments)


def clock(*moments: float) -> Any:
    told: Iterator[float] = iter(moments)
    return lambda: next(told)


def test_overhead_is_the_time_with_exptest_over_the_bare_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, tested = np.array([1e-4, 1e-4, 2e-4]), np.array([1.2e-4, 1.3e-4, 2.2e-4])
    monkeypatch.setattr(overhead, "_timings", lambda *_: (bare, tested, 0.25))
    assert overhead.run(options(overhead)) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 * len(overhead.CASES)
    assert "bare 100 µs, ExpTest 130 µs per step, ρ measured at 25% of the steps" in said[0]
    assert "median of 3 pairs: 1.200 (quartiles 1.150 to 1.250)" in said[0]


def test_pairs_are_averaged_over_windows_and_the_first_block_is_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counterfeit:
        def __init__(self, *_: Any, tested: bool) -> None:
            self.tested, self.blocks = tested, 0
            self.steps, self.measured = 100, 30 if tested else 0

        def block(self) -> float:
            self.blocks += 1
            return overhead.BLOCK * (self.blocks - 1) * (3.0 if self.tested else 1.0)

    monkeypatch.setattr(overhead, "_Training", Counterfeit)
    bare, tested, measured = overhead._timings(lambda: torch.nn.Linear(784, 10), 2, 1, 1000)
    assert bare.tolist() == [5.5, 15.5]
    assert tested.tolist() == [16.5, 46.5]
    assert measured == 0.3


def test_a_bare_block_runs_no_test_and_a_tested_one_counts_where_rho_is_measured() -> None:
    torch.manual_seed(0)
    data = [(torch.randn(4, 784), torch.randint(10, (4,)))]
    bare, tested = (
        overhead._Training(torch.nn.Linear(784, 10), data, tested=flag) for flag in (False, True)
    )
    for training in (bare, tested):
        assert training.block() > 0
    assert bare._exptest is None
    assert bare.measured == 0
    assert tested._exptest is not None
    assert len(tested._exptest.record.losses) == tested.steps == overhead.BLOCK
    assert tested.measured == overhead.BLOCK  # one batch again and again


def test_the_paper_s_time_stands_over_the_calibrated_test_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ["n", "curve", "exponential", "slope", "paper", "exponential, new n"]
    rows = [
        (50, "line", 1.0, 1.0, 1.0, 1.0),
        (1000, "flat", 210.0, 90.0, 500.0, 3000.0),
        (1000, "line", 200.0, 100.0, 5000.0, 2500.0),
    ]
    monkeypatch.setattr(bench, "timings", lambda _: pd.DataFrame(rows, columns=columns))
    assert bench.run(options(bench, "--no-tables")) == 0
    said = capsys.readouterr().out
    assert "takes 25.0 times as long as the calibrated test" in said
    assert "slowest calibrated median at n = 1000: 0.210 ms; at a new length 3.0 ms" in said


def test_the_median_leaves_the_first_call_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "perf_counter", clock(0, 1, 10, 12, 20, 29))
    calls: list[int] = []
    median = bench._median_time(lambda row: calls.append(len(row)), np.zeros((3, 5)))
    assert median == pytest.approx(2e6)
    assert calls == [5] * 4


def test_every_kind_is_timed_on_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[Any, list[float]] = {}

    def timed(test: Any, losses: np.ndarray, *, forget: bool = False) -> float:
        seen.setdefault(losses.shape, []).append(float(losses.sum()))
        return 1.0

    monkeypatch.setattr(bench, "_median_time", timed)
    table = bench.timings(2)
    assert len(table) == len(bench.LENGTHS) * len(bench.CURVES)
    for sums in seen.values():
        kinds = np.reshape(sums, (len(bench.CURVES), 5))
        assert (kinds == kinds[:, :1]).all()


def test_the_fewest_seconds_of_the_repeats_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "perf_counter", clock(0, 3, 10, 11, 20, 22))
    found = contestants.measured(lambda: torch.ones(2, 3), 3)
    assert (found["seconds"], found["value"]) == (1, 6.0)
    monkeypatch.setattr(contestants, "perf_counter", clock(0, 61, 100, 101))
    assert contestants.measured(lambda: 1.5, 3)["seconds"] == 61


def test_ratios_are_over_exptest_on_the_same_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    seconds = {"exptest": 2.0, "general path": 8.0, "torch.func recipe": 1.0, "dense": 4.0}

    def measured(task: str, method: str, command: list[str], limit: float) -> dict:
        memory = 0.005 if task.startswith("λ_max") else seconds.get(method, 3.0)
        row = {"task": task, "method": method, "note": "", "value": 0.0}
        return row | {"seconds": seconds.get(method, 6.0), "peak_gb": memory}

    monkeypatch.setattr(linearized, "_child", measured)
    given = options(linearized, "--models", "mlp", "--examples", "256", "--out", str(tmp_path))
    assert linearized.run(given) == 0
    table = pd.read_csv(tmp_path / "linearized.csv").set_index(["task", "method"])
    kernel = table.loc["NTK mlp, n = 256"]
    assert kernel.loc["general path", ["time_ratio", "memory_ratio"]].tolist() == [4.0, 4.0]
    assert kernel.loc["torch.func recipe", "time_ratio"] == 0.5
    dense = table.loc[("λ_max, 4810 weights, n = 256", "dense")]
    assert dense["time_ratio"] == 2.0
    assert np.isnan(dense["memory_ratio"])  # too little memory to be compared


def test_a_task_beyond_the_memory_is_a_row_that_says_how_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linearized, "_child", lambda task, method, *_: {"method": method})
    given = options(linearized, "--memory-gb", "5")
    rows = linearized._kernels("mlp", 256, given)
    weights = 784 * 256 + 256 + 256 * 256 + 256 + 2570
    assert [row["method"] for row in rows] == ["exptest", "torch.func recipe"]
    needed = 2 * 10 * 256 * weights * 4 / 1e9
    assert rows[1]["note"] == f"two Jacobians take {needed:.3g} GB"


def test_the_dense_eigenvalue_is_that_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(examples: int) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
        network = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Tanh(), torch.nn.Linear(6, 4))
        return network.double(), torch.randn(examples, 8).double(), torch.arange(examples) % 4

    monkeypatch.setattr(contestants, "_small", cache(small))
    dense = contestants.eigenvalue_dense("mlp", 12)()
    assert contestants.eigenvalue_exptest("mlp", 12)() == pytest.approx(dense, rel=1e-6)


def test_a_published_curve_is_walked_by_the_paper_s_decisions() -> None:
    steps = np.arange(3000.0)
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(steps))
    losses = 0.3 + 2 * np.exp(-steps / 60) + noise
    windows = judge(losses, 0.08, (1.0, 2.0))
    assert len(windows) >= 4
    start, lr, test, rejections = 0, 0.08, "exponential", 0
    for window in windows:
        ratio = 1.0 if rejections == 0 else 2.0
        assert window.start == start
        assert window.stop == start + round(ratio * window_length(losses[0], lr))
        assert (window.lr, window.test) == (pytest.approx(lr), test)
        ask = exponential_test if test == "exponential" else slope_test
        part = losses[window.start : window.stop]
        assert window.paper == ask(part, method="paper").reject(ALPHA)
        assert window.calibrated == ask(part).reject(ALPHA)
        start = window.stop
        if not window.paper:
            lr, rejections = BETA * lr, rejections + 1
        else:
            test = "slope"
    assert rejections >= 1
    assert test == "slope"


def test_where_the_methods_differ_the_paper_s_verdict_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(window: np.ndarray, method: str = "calibrated") -> SimpleNamespace:
        return SimpleNamespace(reject=lambda alpha: method == "calibrated")

    for name in ("exponential_test", "slope_test"):
        monkeypatch.setattr(published, name, ask)
    windows = judge(np.full(300, 2.0), 0.5, (1.0, 3.0))
    assert len(windows) >= 3
    for k, window in enumerate(windows):
        assert (window.paper, window.calibrated, window.test) == (False, True, "exponential")
        assert window.lr == pytest.approx(0.5 * BETA**k)
        ratio = 1.0 if k == 0 else 3.0
        assert window.stop - window.start == round(ratio * window_length(2.0, window.lr))


def test_the_options_of_a_benchmark_are_said_with_their_defaults() -> None:
    for module in (bench, overhead, linearized):
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        for action in parser._actions:
            promised = re.search(r"\((\d+)\)$", action.help or "")
            if promised:
                assert str(action.default).removesuffix(".0") == promised[1], action.dest
