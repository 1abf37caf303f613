"""Who cuts the rate."""

from __future__ import annotations

import numpy as np
import pytest

from exptest.bench import rules
from exptest.cli import main
from exptest.statistics.repeated import AlphaSpending

pytestmark = pytest.mark.usefixtures("as_users_do")  # simulations


def test_a_plateau_is_a_hundred_losses_in_a_row_without_a_new_best() -> None:
    falling = -np.arange(500.0)
    assert not rules.plateau(falling)
    waiting = falling.copy()
    waiting[200:300] = falling[199]
    assert not rules.plateau(waiting)
    waiting[300] = falling[199]
    assert rules.plateau(waiting)


def test_dlib_s_rule_wants_nine_tenths_of_the_window_without_a_decrease() -> None:
    noise = np.random.default_rng(0).standard_normal(500)
    for start, cut in ((0, True), (40, True), (60, False)):
        falls_first = np.where(np.arange(500) < start, 1e3 - np.arange(500), 0.0)
        rising = falls_first + 1e-3 * np.arange(500) + 1e-6 * noise
        assert rules.suffixes(rising) == cut


def test_a_suffix_is_judged_by_least_squares() -> None:
    losses = np.random.default_rng(3).standard_normal(40).cumsum()
    tails = [losses[-m:] for m in range(3, 41)]
    slopes = [np.polyfit(np.arange(len(tail)), tail, 1)[0] for tail in tails]
    # With probability 0.51 a loss falls unless its slope is above −0.025 standard errors.
    silent = [m for m, slope in zip(range(3, 41), slopes, strict=True) if slope > 0]
    assert rules.suffixes(losses) == (max(silent, default=0) >= 36)


def test_three_verdicts_cut_what_is_flat_and_keep_what_falls() -> None:
    frame = rules.shares(falls=(0.0, 1.0), noises=("AR(1) 0.9",), windows=60)
    assert list(frame["falls by"]) == ["0σ", "1σ"]
    flat, falling = frame["three verdicts"]
    assert flat > 0.8
    assert falling < 0.15
    assert frame["calibrated"][1] > falling + 0.3
    assert frame["windows"].between(1.0, 4.0).all()


def test_a_run_goes_on_after_each_window_and_counts_its_looks() -> None:
    budget, noise = AlphaSpending(), np.random.default_rng(0).standard_normal(20 * 400)
    falls = 1e-3 * noise - np.arange(20 * 400)
    assert not rules.ever_stopped(falls, 100, budget)
    assert budget.taken == 20  # one look a window
    falls[300:] = falls[300] + 1e-3 * noise[300:]
    budget = AlphaSpending()
    assert rules.ever_stopped(falls, 100, budget)
    assert budget.taken >= 4


def test_the_command_prints_both_tables(capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "rules", "--windows", "2", "--runs", "1"]) == 0
    windows, runs = capsys.readouterr().out.strip().split("\n\n")
    assert windows.count("\n") == 1 + len(rules.FALLS) * len(rules.NOISES)
    assert {line.count("|") for line in windows.splitlines()} == {len(rules.RULES) + 5}
    assert runs.count("\n") == 1 + len(rules.NOISES)
