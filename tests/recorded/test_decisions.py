"""Any recorded curve can be replayed, from any container."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from exptest.record import Record
from exptest.recorded import read_losses, replay

CURVE = [0.5 + 0.8**t for t in range(120)]


def decisions(record: Record) -> list[str]:
    return [d.reason for d in record.decisions]


@pytest.mark.parametrize(
    "container", [list, tuple, np.array, pd.Series, torch.tensor], ids=lambda c: c.__name__
)
def test_every_container_gives_the_same_decisions(container: type) -> None:
    reference = replay(CURVE, 0.05)
    record = replay(container(CURVE), 0.05)
    if container is torch.tensor:  # float32
        assert [d.step for d in record.decisions] == [d.step for d in reference.decisions]
    else:
        assert decisions(record) == decisions(reference)
    assert len(reference.decisions) >= 2


def test_a_list_of_losses_as_training_leaves_them_is_a_curve() -> None:
    losses = [torch.tensor(loss, requires_grad=True) for loss in (3.0, 2.0, 1.0)]
    assert read_losses(losses).tolist() == [3.0, 2.0, 1.0]


def test_a_masked_loss_is_not_a_number() -> None:
    masked = np.ma.array([3, 2, 1], mask=[False, True, False])
    assert np.isnan(read_losses(masked)).tolist() == [False, True, False]


def test_a_csv_is_read_by_its_loss_column(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    pd.DataFrame({"epoch": range(120), "loss": CURVE}).to_csv(path, index=False)
    assert decisions(replay(path, 0.05)) == decisions(replay(CURVE, 0.05))
    assert decisions(replay(str(path), 0.05)) == decisions(replay(CURVE, 0.05))


def test_a_csv_without_a_header_keeps_its_first_loss(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("\n".join(map(str, CURVE)))
    assert read_losses(path).tolist() == CURVE


@pytest.mark.parametrize("header", ["", "loss\n"])
def test_losses_are_read_to_the_last_digit(
    tmp_path: Path, rng: np.random.Generator, header: str
) -> None:
    losses = rng.standard_normal(500).tolist()
    path = tmp_path / "curve.csv"
    path.write_text(header + "\n".join(map(repr, losses)))
    assert read_losses(path).tolist() == losses


def test_a_record_is_a_table_and_a_text() -> None:
    record = replay(CURVE, 0.05)
    frame = record.to_frame()
    assert list(frame["step"]) == [d.step for d in record.decisions]
    assert frame.loc[0, "reason"] in str(record)
    assert str(record.decisions[0]) == record.decisions[0].reason
    assert "<table" in record._repr_html_()


def test_the_reason_carries_the_numbers() -> None:
    decision = replay(CURVE, 0.05).decisions[0]
    for number in (decision.step, decision.window, f"{decision.pvalue:.2g}", "0.05"):
        assert str(number) in decision.reason


def test_a_test_without_an_answer_says_why() -> None:
    decision = replay([1.0] * 32, 0.05).decisions[0]
    assert "show no exponential decay (they follow a straight line" in decision.reason


def test_the_table_has_one_line_per_decision() -> None:
    record = replay(CURVE, 0.05)
    head, *lines = record.table().splitlines()
    assert head.split() == ["step", "phase", "test", "window", "p", "verdict", "η", "η", "after"]
    assert [int(line.split()[0]) for line in lines] == [d.step for d in record.decisions]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a,b\n1,2\n", "loss", "has no column 'loss'; it has 'a', 'b'"),
        ("a,b\n1,2\n", None, "needs one numeric column or one named 'loss', found 'a', 'b'"),
        ("", None, "is empty; try one loss per line"),
        ("loss\n", None, "column 'loss' is empty"),
        ("loss\n1\noops\n", None, "column 'loss' of .* holds 'oops' in its row 2"),
    ],
)
def test_a_csv_that_holds_no_curve_is_named(
    tmp_path: Path, text: str, column: str | None, message: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        replay(path, 0.1, column=column)


@pytest.mark.parametrize("every", [2, 10])
@pytest.mark.parametrize("method", ["calibrated", "paper"])
def test_every_kth_loss_is_judged_in_gradient_flow_time(every: int, method: str) -> None:
    losses = CURVE + [0.5, 0.6] * 100
    record = replay(losses, 0.05 / every, every=every, method=method, min_lr=0.02 / every)
    whole = replay(losses, 0.05, method=method, min_lr=0.02)
    assert whole.lr == 0.02
    assert record.lr == pytest.approx(whole.lr / every)
    assert record.lrs == pytest.approx(whole.lrs / every)
    assert record.losses.tolist() == losses
    assert len(record.decisions) == len(whole.decisions) >= 2
    for mine, theirs in zip(record.decisions, whole.decisions, strict=True):
        assert (mine.step, mine.window, mine.pvalue) == (theirs.step, theirs.window, theirs.pvalue)
        assert mine.lr_before == pytest.approx(theirs.lr_before / every)
        assert mine.lr_after == pytest.approx(theirs.lr_after / every)


def test_a_window_of_n_steps_holds_the_losses_recorded_in_it() -> None:
    steps = np.exp(-0.001 * np.arange(40_000))
    whole = replay(steps, 0.001).decisions[0]
    thinned = replay(steps[::20], 0.001, every=20).decisions[0]
    assert whole.window == 1041
    assert thinned.window == round(whole.window / 20)
    assert thinned.accepted
    assert whole.accepted


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize("every", [0, -1, 1.5, "ten"])
def test_a_number_of_steps_that_is_none_is_named(every: object) -> None:
    with pytest.raises((ValueError, TypeError), match=r"every must be a .*number"):
        replay("nowhere.csv", 0.1, every=every)


def test_settings_are_judged_in_units_of_one_step() -> None:
    with pytest.raises(ValueError, match=r"min_lr must not exceed max_lr = 0\.1, got 0\.2"):
        replay(CURVE, 0.1, every=10, min_lr=0.2)


def test_a_path_ratio_below_one_is_named_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match=r"path_ratio must be at least 1 .*, got 0\.5"):
        replay([1.0], 0.1, path_ratio=0.5)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"no file 'nowhere\.csv'"):
        replay("nowhere.csv", 0.1)


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("losses", "error", "message"),
    [
        ([], ValueError, "losses is empty"),
        ([[1.0, 2.0]], ValueError, r"losses must have one dimension, got shape \(1, 2\)"),
        (["a"], TypeError, "losses must be real numbers"),
        (3.0, ValueError, "losses must have one dimension"),
    ],
)
def test_input_that_is_no_curve_is_named(
    losses: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        replay(losses, 0.1)
