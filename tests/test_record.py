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
    tuner, number, ended = Tuner(0.2, beta=0.5), 0, 0
    draw = np.random.default_rng(1)
    while ended < 6:
        loss = 1.0 + 0.01 * draw.standard_normal()
        if ended == 2:
            loss += 0.1 * math.exp(-tuner.filled / 40)
        elif ended == 3:
            loss += 0.1 * (1 - tuner.filled / 200)
        decision = tuner.observe(loss, path_ratio=1.5, factor=1 + 0.001 * number)
        ended += decision is not None and decision.verdict != "undecided"
        number += 1
    return tuner.record


def test_the_run_has_decisions_of_every_kind(run: Record) -> None:
    ended = [(d.kind, d.verdict) for d in run.decisions if d.verdict != "undecided"]
    assert ended == [
        ("exponential", "shrink"),
        ("exponential", "shrink"),
        ("exponential", "keep"),
        ("slope", "keep"),
        ("slope", "shrink"),
        ("slope", "shrink"),
    ]
    assert {d.kind for d in run.decisions if d.verdict == "undecided"} == {"exponential", "slope"}
    for d in run.decisions:
        assert d.restarts == (d.kind == "exponential" and d.verdict == "shrink")


def test_rates_change_after_the_step_that_was_decided_on(run: Record) -> None:
    expected, rate = [], 0.2
    ends = {d.step: d.lr_after for d in run.decisions}
    for step in range(len(run.losses)):
        expected.append(rate * (1 + 0.001 * step))
        rate = ends.get(step, rate)
    assert run.lrs == pytest.approx(np.array(expected), rel=1e-12)
    assert run.lr == rate == 0.2 * 0.5**4


def test_the_windows_of_a_run_follow_each_other_and_grow_while_undecided(run: Record) -> None:
    start, seen, looks = 0, 0, 0
    for d in run.decisions:
        assert d.trend is not None
        assert (d.start, d.seen, d.loss) == (start, seen, run.losses[d.step])
        assert d.window == d.trend.horizon * 2**looks
        open_still = d.verdict == "undecided"
        start, seen, looks = (start, d.window, looks + 1) if open_still else (d.step + 1, 0, 0)


def test_alpha_is_split_over_windows_and_over_the_looks_at_each(run: Record) -> None:
    window, look, total = 1, 1, 0.0
    for d in run.decisions:
        level = 0.05 / (window * (window + 1)) / (look * (look + 1))
        assert d.trend is not None
        assert d.trend.stop_alpha == pytest.approx(level, rel=1e-12)
        assert d.trend.alpha == 0.05
        assert d.alpha == (d.trend.stop_alpha if d.phase == "search" else 0.05)
        window, look = (window, look + 1) if d.verdict == "undecided" else (window + 1, 1)
        total += level
    assert total < 0.05


def test_what_was_found_is_the_rate_that_passed_the_search(run: Record) -> None:
    assert run.found is next(d for d in run.decisions if d.verdict == "keep")
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
        ("verdict", "verdict"),
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
        assert d.trend is not None
        name, sign = "F" if d.kind == "exponential" else "t", "<" if d.accepted else "≥"
        assert d.accepted == (d.pvalue < d.alpha)
        evidence = f"({name} = {d.test.statistic:.3g}, p = {d.pvalue:.2g} {sign} {d.alpha:.2g})"
        if d.test.note:
            evidence = f"({d.test.note})"
        change = {
            "keep": f"keep η = {d.lr_before:.4g}",
            "shrink": f"η {d.lr_before:.4g} → {d.lr_after:.4g}",
            "undecided": f"η = {d.lr_before:.4g} is watched on until {2 * d.window} losses",
        }[d.verdict]
        verdict = {
            ("exponential", "keep"): "decay exponentially",
            ("exponential", "shrink"): "show no exponential decay",
            ("exponential", "undecided"): "are too few to tell an exponential decay",
            ("slope", "keep"): "are still decreasing",
            ("slope", "shrink"): "are no longer decreasing",
            ("slope", "undecided"): "are too few to tell whether they decrease",
        }[d.kind, d.verdict]
        bound = (
            f": in {d.trend.horizon} steps they fall by at most {d.trend.at_most:.3g}, and "
            f"a fall of {d.trend.worth:.3g} would be worth having"
        )
        if d.trend.verdict == "undecided":
            bound += f" and be seen in about {d.trend.power:.0%} of such windows"
        elif d.trend.verdict == "falling":
            bound = (
                f": in {d.trend.horizon} steps they fall by {d.trend.decline:.3g} "
                f"(p = {d.trend.pvalue:.2g})"
            )
        words = f"step {d.step}: {change}, because the last {d.window} losses {verdict} {evidence}"
        assert d.reason == words + ("" if d.accepted else bound) + "."


def test_the_summary_and_the_table_count_what_was_kept(run: Record) -> None:
    head, *lines = run.summary().splitlines()
    steps = len(run.losses)
    assert head == (
        f"ExpTest (calibrated, α = 0.05, β = 0.5): {steps:,} steps, "
        f"{len(run.decisions)} decisions, 4 rejected, {len(run.decisions) - 6} undecided; "
        "η 0.2 → 0.0125"
    )
    assert [line.strip() for line in lines] == [d.reason for d in run.decisions]
    _, *rows = run.table().splitlines()
    for d, row in zip(run.decisions, rows, strict=True):
        *_, p, verdict, before, after = row.split()
        assert (float(p), verdict) == (
            pytest.approx(d.pvalue, rel=0.06),
            d.verdict,
        )
        assert (float(before), float(after)) == (d.lr_before, d.lr_after)
    assert f"{steps:,} steps" in run._repr_html_()
