"""A record says what was decided, and why, without a slip between two of its columns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exptest.record import Record
from exptest.tuner import Tuner


@pytest.fixture(scope="module")
def run() -> Record:
    """Two rejected rates, one found, kept once and rejected; a factor at every step."""
    tuner, number = Tuner(0.2, beta=0.5), 0
    draw = np.random.default_rng(1)
    while len(tuner.record.decisions) < 6:
        done, t = len(tuner.record.decisions), number
        loss = 1.0 + 0.01 * draw.standard_normal()
        if done == 2:
            loss += 2 * math.exp(-tuner.filled / 12)
        elif done == 3:
            loss += 1 - tuner.filled / 200
        number += 1
        tuner.observe(loss, path_ratio=1.5, factor=1 + 0.001 * t)
    return tuner.record


def test_the_run_has_decisions_of_every_kind(run: Record) -> None:
    assert [(d.kind, d.accepted) for d in run.decisions] == [
        ("exponential", False),
        ("exponential", False),
        ("exponential", True),
        ("slope", True),
        ("slope", False),
        ("slope", False),
    ]
    assert [d.restarts for d in run.decisions] == [True, True, False, False, False, False]


def test_rates_change_after_the_step_that_was_decided_on(run: Record) -> None:
    expected, rate = [], 0.2
    ends = {d.step: d.lr_after for d in run.decisions}
    for step in range(len(run.losses)):
        expected.append(rate * (1 + 0.001 * step))
        rate = ends.get(step, rate)
    assert run.lrs == pytest.approx(np.array(expected), rel=1e-12)
    assert run.lr == rate == 0.2 * 0.5**4


def test_the_windows_of_a_run_follow_each_other(run: Record) -> None:
    ends = [d.step for d in run.decisions]
    assert [d.start for d in run.decisions] == [0, *(end + 1 for end in ends[:-1])]
    assert [d.loss for d in run.decisions] == [run.losses[end] for end in ends]


def test_what_was_found_is_the_rate_that_passed_the_search(run: Record) -> None:
    assert run.found is run.decisions[2]
    assert Record(run.losses, (), 0.2, 0.05, 0.5, "calibrated").lr == 0.2
    assert Record(run.losses, run.decisions[:2], 0.2, 0.05, 0.5, "calibrated").found is None


def test_each_column_of_the_frame_is_its_decisions_own(run: Record) -> None:
    frame = run.to_frame()
    for column, attribute in (
        ("step", "step"),
        ("phase", "phase"),
        ("test", "kind"),
        ("window", "window"),
        ("path_ratio", "path_ratio"),
        ("pvalue", "pvalue"),
        ("accepted", "accepted"),
        ("lr_before", "lr_before"),
        ("lr_after", "lr_after"),
        ("reason", "reason"),
    ):
        assert frame[column].tolist() == [getattr(d, attribute) for d in run.decisions]
    assert frame["statistic"].tolist() == [d.test.statistic for d in run.decisions if d.test]
    assert set(frame["path_ratio"]) == {1.5}


def test_the_words_of_a_decision_are_its_numbers(run: Record) -> None:
    for d in run.decisions:
        assert d.test is not None
        name, sign = "F" if d.kind == "exponential" else "t", "<" if d.pvalue < 0.05 else "≥"
        assert d.accepted == (sign == "<")
        evidence = f"({name} = {d.test.statistic:.3g}, p = {d.pvalue:.2g} {sign} 0.05)"
        change = f"keep η = {d.lr_before:.4g}"
        if not d.accepted:
            change = f"η {d.lr_before:.4g} → {d.lr_after:.4g}"
        verdict = {
            ("exponential", True): "decay exponentially",
            ("exponential", False): "show no exponential decay",
            ("slope", True): "are still decreasing",
            ("slope", False): "are no longer decreasing",
        }[d.kind, d.accepted]
        words = f"step {d.step}: {change}, because the last {d.window} losses {verdict} {evidence}."
        assert d.reason == words


def test_the_summary_and_the_table_count_what_was_kept(run: Record) -> None:
    head, *lines = run.summary().splitlines()
    steps = len(run.losses)
    assert head == (
        f"ExpTest (calibrated, α = 0.05, β = 0.5): {steps:,} steps, 6 decisions, 4 rejected; "
        "η 0.2 → 0.0125"
    )
    assert [line.strip() for line in lines] == [d.reason for d in run.decisions]
    _, *rows = run.table().splitlines()
    for d, row in zip(run.decisions, rows, strict=True):
        *_, p, verdict, before, after = row.split()
        assert (float(p), verdict) == (
            pytest.approx(d.pvalue, rel=0.06),
            "keep" if d.accepted else "shrink",
        )
        assert (float(before), float(after)) == (d.lr_before, d.lr_after)
    assert f"{steps:,} steps" in run._repr_html_()
