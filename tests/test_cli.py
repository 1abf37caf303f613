"""The command: what it prints, where it writes, how it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from exptest import lab
from exptest.cli import main
from exptest.experiments import digits, reproduce
from exptest.lab import find_notebook
from exptest.recorded import replay

SHARED = Path(__file__).parents[2] / "shared" / "data"


def test_demo_trains_draws_and_explains(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["demo", "--epochs", "3", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "step" in printed
    assert "accuracy" in printed
    assert (tmp_path / "demo.png").stat().st_size > 10_000


def test_replay_prints_every_decision(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    curve = tmp_path / "curve.csv"
    np.savetxt(curve, 0.5 + 0.9 ** np.arange(200), header="loss", comments="")
    assert main(["replay", str(curve), "--max-lr", "0.05", "--out", str(tmp_path)]) == 0
    assert "keep η = 0.05" in capsys.readouterr().out
    assert (tmp_path / "curve.png").exists()


def test_replay_says_what_it_read(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    log = tmp_path / "log.csv"
    rows = [f"{50 * row};{0.5 + 0.9**row:.6f};\n".replace(".", ",") for row in range(200)]
    log.write_text("".join(["step;train_loss;val_loss\n", *rows, "9950;;0,6\n"]))
    command = ["replay", str(log), "--max-lr", "0.001", "--every", "50", "--out", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "200 losses from column 'train_loss' of" in printed
    assert "1 row without a loss left out. Each loss stands for 50 steps" in printed
    assert "keep η = 0.001" in printed


def test_replay_hands_on_every_option(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    curve, losses = tmp_path / "curve.csv", 0.5 + 0.97 ** np.arange(400)
    np.savetxt(curve, np.c_[losses, 2 * losses], header="a,b", comments="", delimiter=",")
    settings = {"max_lr": 0.02, "alpha": 0.2, "beta": 0.6, "path_ratio": 1.5, "every": 2}
    options = [word for k, v in settings.items() for word in (f"--{k.replace('_', '-')}", f"{v}")]
    for method in ("calibrated", "paper"):
        command = ["replay", str(curve), *options, "--method", method, "--column", "b"]
        assert main([*command, "--out", str(tmp_path)]) == 0
        expected = replay(curve, column="b", method=method, **settings).summary()
        assert expected in capsys.readouterr().out
    assert len(expected.splitlines()) > 2


def test_demo_hands_on_every_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = []

    def run(config: digits.Config, *, progress: bool) -> None:
        configs.append((config, progress))
        raise ValueError("enough")

    monkeypatch.setattr(digits, "run", run)
    command = ["demo", "--out", str(tmp_path)]
    assert main(command) == 2
    assert main([*command, "--epochs", "4", "--seed", "3", "--method", "paper"]) == 2
    chosen = digits.Config(epochs=4, seed=3, method="paper")
    assert configs == [(digits.Config(), True), (chosen, True)]


@pytest.mark.parametrize("experiment", ["mnist", "california"])
def test_reproduce_hands_on_every_option_and_keeps_the_rows(
    experiment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    calls = []

    def experiment_of_the_paper(**given: Any) -> list[reproduce.Row]:
        calls.append(given)
        return [reproduce.Row("some setting", "test MSE", (), (0.25, 0.01))]

    monkeypatch.setattr(reproduce, f"reproduce_{experiment}", experiment_of_the_paper)
    monkeypatch.setattr(reproduce.Row, "to_dict", lambda row: {"setting": row.label})
    monkeypatch.setattr(reproduce, "to_frame", lambda rows: pd.DataFrame([rows[0].to_dict()]))
    command = ["reproduce", experiment, "--out", str(tmp_path)]
    assert main(command) == 0
    assert (
        main([*command, "--trials", "2", "--data", "d", "--peers", "--method", "calibrated"]) == 0
    )
    names = ("trials", "path", "peers", "mode")
    assert [tuple(call[name] for name in names) for call in calls] == [
        (5, None, False, "paper"),
        (2, "d", True, "calibrated"),
    ]
    assert json.loads((tmp_path / f"{experiment}.json").read_text()) == [
        {"setting": "some setting"}
    ]
    assert "some setting" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="there a process is started instead")
def test_the_lab_opens_one_notebook_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def become(program: str, command: list[str]) -> None:
        commands.append((program, command))
        raise OSError("gone")

    monkeypatch.setattr(lab.os, "execv", become)
    monkeypatch.setattr(lab, "find_spec", lambda name: object())
    assert main(["lab", "07", "--port", "1234", "--no-browser"]) == 2
    assert main(["lab"]) == 2
    (program, first), (_, second) = commands
    assert program == first[0] == sys.executable
    assert first[1:3] == ["-m", "jupyterlab"]
    assert "--ServerApp.ip=127.0.0.1" in first
    assert "--LabApp.default_url=/lab/tree/notebooks/07-the-tuner-step-by-step.ipynb" in first
    assert ("--ServerApp.port=1234" in first, "--no-browser" in first) == (True, True)
    assert "--LabApp.default_url=/lab/tree/notebooks/00-start-here.ipynb" in second
    assert not [word for word in second if "port" in word or "no-browser" in word]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "nowhere.csv", "--max-lr", "0.1"], "no file 'nowhere.csv'"),
        (["replay", __file__, "--max-lr", "-1"], "max_lr must be positive"),
        (["replay", __file__, "--max-lr", "1", "--every", "0"], "every must be a whole number"),
        (["lab", "99"], "no notebook matches '99'"),
        (["reproduce", "mnist", "--data", "nowhere"], "no mnist.npz at the path given"),
        (["reproduce", "mnist", "--trials", "0"], "--trials must be a whole number"),
        (["demo", "--epochs", "0"], "must be a whole number of at least 1"),
        (["demo", "--out", __file__], "cannot be made"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_help_teaches_by_example(capsys: pytest.CaptureFixture) -> None:
    assert main([]) == 0
    assert "exptest demo" in capsys.readouterr().out


def test_the_command_is_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exptest.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert "reproduce" in done.stdout


@pytest.mark.parametrize(
    "name", ["00", "07", "00-start-here", "step-by-step", "00-start-here.ipynb"]
)
def test_a_notebook_is_found_by_number_or_name(name: str) -> None:
    assert find_notebook(name).exists()


def test_benchmarks_print_ratios(capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "overhead", "--steps", "50"]) == 0
    out = capsys.readouterr().out
    assert out.count("ratio, median of") == 4
    assert out.count("mini-batches") == out.count("one batch repeated") == 2


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="no data beside the checkout")
def test_reproduce_lands_on_the_authors_numbers(tmp_path: Path) -> None:
    for experiment in ("mnist", "california"):
        data = ["--data", str(SHARED), "--out", str(tmp_path)]
        assert main(["reproduce", experiment, *data]) == 0
    rows = json.loads((tmp_path / "mnist.json").read_text())
    for row, loss in zip(rows, (0.268, 0.308, 0.367), strict=True):
        assert row["mean"] == pytest.approx(row["authors"][0], abs=0.2)
        assert row["train_loss"] == pytest.approx(loss, rel=0.03)
    (row,) = json.loads((tmp_path / "california.json").read_text())
    assert row["mean"] == pytest.approx(0.2846, abs=0.012)
