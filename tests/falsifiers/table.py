"""After the trials: what was changed, and what saw it."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from _pytest.terminal import TerminalReporter

WIDTHS = (24, 34, 60, 6, 8, 7)
HEAD = ("promise", "file", "change", "test", "cell", "seconds")


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("falsifiers", "breaking the library on purpose: -m falsifier")
    group.addoption("--falsifiers-share", type=float, default=1.0, help="of them, drawn by lot")
    group.addoption("--falsifiers-seed", default="", help="of the lot: any text")


def line(row: tuple[str, ...]) -> str:
    cells = zip(row, WIDTHS, strict=True)
    cut = [(text if len(text) <= w else text[: w - 1] + "…").ljust(w) for text, w in cells]
    return "  ".join(cut).rstrip()


def pytest_report_header(config: pytest.Config) -> str | None:
    share, seed = config.getoption("falsifiers_share"), config.getoption("falsifiers_seed")
    return f"falsifiers: {share:g} of them, drawn by {seed!r}" if share < 1 else None


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
    ]
    rows = [
        tuple(value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "falsifier" and report.when == "call"
    ]
    if not rows:
        return
    terminalreporter.section("falsifiers")
    for row in [HEAD, *sorted(rows)]:
        terminalreporter.write_line(line(row))
    terminalreporter.write_line(f"\n{summary(rows)}")


def summary(rows: list[tuple[str, ...]]) -> str:
    """The line that theory/README.md keeps of a full run."""
    *_, tests, cells, seconds = zip(*rows, strict=True)
    seen = Counter(cells)
    notebooks = seen["red"] + seen["earlier"]
    minutes = math.ceil(sum(map(float, seconds)) / 60)
    claims = len(rows) - seen[""]
    shown = (
        f" of the {claims} of a claim, {notebooks} turn its notebook red,"
        f" {seen['red']} in the claim's own cell;"
    )
    return (
        f"{len(rows)} falsifiers: {tests.count('red')} turn their test red;"
        f"{shown if claims else ' no notebook was run;'} {minutes} minutes of one core."
    )
