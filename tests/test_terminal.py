"""Terminals that lack letters, or stop listening; slips of the keyboard."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exptest
from exptest import cli, lab
from exptest.terminal import CLOSED_PIPE, folded, spell


@pytest.fixture
def curve(tmp_path: Path) -> list[str]:
    """Arguments of a replay that prints several decisions."""
    path = tmp_path / "curve.csv"
    losses = 0.5 + 0.9 ** np.arange(400) + 0.01 * np.sin(np.arange(400.0))
    np.savetxt(path, losses, header="loss", comments="")
    return ["replay", str(path), "--max-lr", "0.2", "--out", str(tmp_path)]


def run(arguments: Sequence[str], **how: Any) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "exptest.cli", *arguments]
    return subprocess.run(command, **{"capture_output": True, "check": False} | how)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_terminal_shows_the_decisions(
    curve: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {"stdout": io.BytesIO(), "stderr": io.BytesIO()}
    for name, stream in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(stream, encoding))
    assert cli.main(curve) == 0
    assert written["stderr"].getvalue() == b""
    printed = written["stdout"].getvalue().decode(encoding)
    assert ("η" if encoding == "utf-8" else "keep eta = 0.2,") in printed
    assert "?" not in printed


def test_a_terminal_s_lines_break_between_words_and_a_pipe_s_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "head\n  step 9: the last 32 losses are still decreasing\n\n  done"
    monkeypatch.setenv("COLUMNS", "30")
    assert folded(text) == text
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = folded(text).split("\n")
    assert max(map(len, lines)) <= 30
    assert lines[1:3] == ["  step 9: the last 32 losses", "    are still decreasing"]
    assert " ".join(text.split()) == " ".join(" ".join(lines).split())
    assert lines[-2:] == ["", "  done"]


def test_an_error_is_shown_by_every_terminal() -> None:
    command = ["replay", "λ→η.csv", "--max-lr", "1"]
    done = run(command, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"})
    assert done.returncode == 2
    assert b"lamda->eta.csv" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], None, ["replay", "--help"]])
def test_a_reader_that_has_left_ends_the_command_quietly(
    arguments: list[str] | None, curve: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    streams = {"stdout": writing, "stderr": subprocess.PIPE, "capture_output": False}
    done = run(arguments or curve, env=environment, **streams)
    os.close(writing)
    assert (done.returncode, done.stderr) == (CLOSED_PIPE, b"")


def test_each_decision_is_printed_once(curve: list[str], capsys: pytest.CaptureFixture) -> None:
    assert cli.main(curve) == 0
    record = exptest.replay(curve[1], 0.2)
    printed = capsys.readouterr().out
    assert len(record.decisions) > 2
    for decision in record.decisions:
        assert len(re.findall(rf"\bstep {decision.step}:", printed)) == 1


def test_demo_prints_each_decision_once_and_the_unit_of_its_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["demo", "--epochs", "3", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("step 89") == 1
    assert re.search(r"^  test accuracy 9\d\.\d+ %$", printed, re.MULTILINE)


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"exptest {exptest.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rplay"], "no command 'rplay'; did you mean 'replay'? There are demo,"),
        (["Demo"], "did you mean 'demo'?"),
        (["xyz", "--help"], "no command 'xyz'; there are demo, lab, replay, reproduce, bench"),
        (
            ["demo", "--epochs", "many"],
            "exptest demo: argument --epochs: invalid int value: 'many'",
        ),
        (["replay", "x.csv"], "the following arguments are required: --max-lr"),
        (
            ["bench", "overhead", "--steps"],
            "exptest bench overhead: argument --steps: expected one",
        ),
        (["--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_a_slip_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_what_is_spelled_is_ascii_and_what_is_ascii_stays() -> None:
    letters = "".join(map(chr, range(128)))
    assert spell(letters) == letters
    assert spell("αβγδεζηθλµπρσΣΔ→≥½…‖é∞²") == (
        "alphabetagammadeltaepsilonzetaetathetalamdamupirhosigmaSigmaDelta->>=1/2...||einf2"
    )
    every = "".join(map(chr, range(0x2FFF)))
    assert spell(every).isascii()


@pytest.mark.parametrize(
    ("command", "method"),
    [
        (["demo"], "calibrated"),
        (["replay", "x.csv", "--max-lr", "1"], "calibrated"),
        (["reproduce", "mnist"], "paper"),
    ],
)
def test_the_paper_s_numbers_are_reproduced_in_paper_mode_and_all_else_is_calibrated(
    command: list[str], method: str
) -> None:
    assert cli._parser()[0].parse_args(command).method == method


def test_what_is_typed_is_what_is_replayed(curve: list[str], capsys: pytest.CaptureFixture) -> None:
    more = ["--alpha", "0.2", "--beta", "0.5", "--path-ratio", "2", "--every", "3"]
    assert cli.main([*curve, *more, "--method", "paper"]) == 0
    settings: dict[str, Any] = {"alpha": 0.2, "beta": 0.5, "path_ratio": 2.0, "every": 3}
    record = exptest.replay(curve[1], 0.2, method="paper", **settings)
    assert record.summary() in capsys.readouterr().out


def test_what_fails_is_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for error, code, said in (
        (KeyError("no such key"), 2, "exptest demo: no such key\n"),
        (OSError("disk\nfull"), 2, "exptest demo: disk full\n"),
        (KeyboardInterrupt(), 1, "exptest demo: interrupted\n"),
    ):

        def fail(_: Any, error: BaseException = error) -> int:
            raise error

        monkeypatch.setattr(cli, "_demo", fail)
        assert cli.main(["demo"]) == code
        assert capsys.readouterr().err == said


def test_the_lab_opens_the_notebook_here_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(lab.os, "name", "posix")
    monkeypatch.setattr(lab.os, "execv", lambda _, command: started.append(command) or 1 / 0)
    with pytest.raises(ZeroDivisionError):  # execv does not return
        cli.main(["lab", "07", "--port", "8123", "--no-browser"])
    ((python, _, module, *options),) = started
    assert (python, module) == (sys.executable, "jupyterlab")
    assert {"--no-browser", "--ServerApp.port=8123", "--ServerApp.ip=127.0.0.1"} <= set(options)
    assert "--LabApp.news_url=None" in options
    assert "--LabApp.default_url=/lab/tree/notebooks/07-the-tuner-step-by-step.ipynb" in options
    with pytest.raises(ZeroDivisionError):
        cli.main(["lab"])
    assert "--no-browser" not in started[1]
    assert "--LabApp.default_url=/lab/tree/notebooks/00-start-here.ipynb" in started[1]
