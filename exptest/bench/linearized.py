"""Kernels, spectra and predicted curves beside other libraries, side by side in one run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from exptest.bench.contestants import MODELS, build
from exptest.plots.linearized import plot_benchmark

PEER = Path(__file__).with_name("neural_tangents_peer.py")
IMPLEMENTATIONS = {1: "jacobian contraction", 2: "NTK-vector products", 3: "structured"}
BASELINE = "exptest"
MEASURABLE_GB = 0.01  # less is the allocator's noise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--examples", type=int, nargs="+", default=[256, 1024], help="examples (256 1024)"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, fewest seconds count")
    parser.add_argument(
        "--memory-gb", type=float, default=12.0, help="leave out what needs more than this (12)"
    )
    parser.add_argument(
        "--limit", type=float, default=600.0, help="seconds after which one is stopped (600)"
    )
    parser.add_argument(
        "--neural-tangents-python",
        type=Path,
        help="an interpreter that has neural-tangents 0.6.5, jax 0.4.25, numpy < 2, scipy < 1.13",
    )
    parser.add_argument("--out", type=Path, help="folder for the table as CSV and the plot as PNG")


def run(arguments: argparse.Namespace) -> int:
    """Measure every contestant in a process of its own; print the table, save table and plot."""
    rows = [
        row
        for model in arguments.models
        for examples in arguments.examples
        for row in _kernels(model, examples, arguments)
    ]
    rows += _group("λ_max, 4810 weights, n = 256", "eigenvalue", ["dense", "curvlinops"], arguments)
    rows += _group("10 000 steps, digits", "curve", ["training"], arguments)
    table = pd.DataFrame(rows)
    own = table[table["method"] == BASELINE].set_index("task")
    table["time_ratio"] = table["seconds"] / table["task"].map(own["seconds"])
    measurable = own["peak_gb"].where(own["peak_gb"] > MEASURABLE_GB)
    table["memory_ratio"] = table["peak_gb"] / table["task"].map(measurable)
    print(table.drop(columns="value").to_string(index=False, float_format=lambda v: f"{v:.3g}"))
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out / "linearized.csv", index=False)
        figure = plot_benchmark(table).figure
        assert isinstance(figure, Figure)
        figure.savefig(arguments.out / "linearized.png")
    return 0


def _kernels(model: str, examples: int, arguments: argparse.Namespace) -> list[dict]:
    task = f"NTK {model}, n = {examples}"
    command = ["--model", model, "--examples", str(examples), "--repeats", str(arguments.repeats)]
    limit = arguments.limit
    rows = [_measure(task, BASELINE, "ntk", command, limit)]
    weights = sum(p.numel() for p in build(model, 1)[0].parameters())
    needed = 2 * 10 * examples * weights * 4 / 1e9
    if needed <= arguments.memory_gb:
        rows.append(_measure(task, "general path", "ntk", command, limit))
        rows.append(_measure(task, "torch.func recipe", "ntk", command, limit))
        if find_spec("curvlinops"):
            rows.append(_measure(task, "curvlinops", "ntk", command, limit))
    else:
        note = f"two Jacobians take {needed:.3g} GB"
        rows.append({"task": task, "method": "torch.func recipe", "note": note})
    if arguments.neural_tangents_python is not None:
        for number, name in IMPLEMENTATIONS.items():
            if number == 3 or needed <= arguments.memory_gb:
                interpreter = [str(arguments.neural_tangents_python), str(PEER)]
                options = [*command, "--implementation", str(number)]
                rows.append(
                    _child(task, f"neural-tangents, {name}", [*interpreter, *options], limit)
                )
    return rows


def _group(task: str, kind: str, others: list[str], arguments: argparse.Namespace) -> list[dict]:
    names = [BASELINE, *(o for o in others if o != "curvlinops" or find_spec("curvlinops"))]
    command = ["--repeats", str(arguments.repeats)]
    return [_measure(task, name, kind, command, arguments.limit) for name in names]


def _measure(task: str, method: str, kind: str, command: list[str], limit: float) -> dict:
    module = [sys.executable, "-m", "exptest.bench.contestants", f"{kind}/{method}"]
    return _child(task, method, [*module, *command], limit)


def _child(task: str, method: str, command: list[str], limit: float) -> dict:
    """Run one contestant; a failure is a row that says so, and so is a want of patience."""
    print(f"{task}: {method}", file=sys.stderr, end=" ", flush=True)
    row: dict = {"task": task, "method": method, "note": ""}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        row["note"] = f"stopped after {limit:g} s"
        print(row["note"], file=sys.stderr, flush=True)
        return row
    if done.returncode:
        row["note"] = (done.stderr.strip().splitlines() or ["no message"])[-1][:60]
        print(row["note"], file=sys.stderr, flush=True)
        return row
    row |= json.loads(done.stdout.splitlines()[-1])
    print(f"{row['seconds']:.3g} s, {row['peak_gb']:.3g} GB", file=sys.stderr, flush=True)
    return row
