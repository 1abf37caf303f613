"""Cells, rows and blanks, wherever they come from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exptest.recorded import read_log, table
from exptest.recorded.table import BLANK, distinct, in_chunks, is_number, is_word, number


@pytest.mark.parametrize("blank", ["", " ", "na", "N/A", "#N/A", "<NA>", "null", "None"])
def test_what_says_nothing_is_blank_and_neither_number_nor_word(blank: str) -> None:
    assert blank.strip().lower() in BLANK
    assert number(blank) is None
    assert not is_number(blank)
    assert not is_word(blank)


def test_a_word_is_no_number_and_a_comma_only_where_it_is_decimal() -> None:
    assert is_word("1_000")
    assert is_word("3,5")
    assert is_number("3,5", True)
    assert number("3,5", True) == 3.5
    assert is_word("1,234.5", True)
    assert is_number("nan")
    assert math.isnan(number("nan") or 0.0)


def test_rows_come_in_chunks_and_none_is_lost() -> None:
    sizes = [len(chunk) for chunk in in_chunks(iter(range(45_000)))]
    assert sizes == [20_000, 20_000, 5_000]


def test_rows_are_counted_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CHUNK", 10)
    rows = [f"{row},{1 + row % 7}" for row in range(35)]
    rows[23] = "23,"
    log = read_log("\n".join(["step,loss", *rows]).encode(), name="long.csv")
    assert (len(log.losses), log.blanks) == (34, 1)
    assert log.steps is not None
    assert np.array_equal(log.losses, 1 + log.steps % 7)
    for cells, message in (
        ("32,oops", "'oops' in its row 33"),
        ("32,1,1", "3 cells in its row 33"),
    ):
        rows[32] = cells
        with pytest.raises(ValueError, match=message):
            read_log("\n".join(["step,loss", *rows]).encode(), name="long.csv")


def test_a_comma_and_a_point_are_told_apart_though_far_from_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "CHUNK", 10)
    rows = [f"{row};1,5" for row in range(10)]
    log = read_log("\n".join(["epoch;loss", *rows, "10,5;2"]).encode(), name="long.csv")
    assert log.steps is not None
    assert log.steps[-1] == 10.5
    with pytest.raises(ValueError, match="some numbers with a comma and some with a point"):
        read_log("\n".join(["epoch;loss", *rows, "10;1.5"]).encode(), name="long.csv")


def test_a_short_row_lacks_its_last_cells() -> None:
    log = read_log(b"loss,step,lr\n3,0,1\n2,10\n1,20,1\n", name="short.csv")
    assert log.losses.tolist() == [3, 2, 1]
    assert log.steps is not None
    assert log.steps.tolist() == [0, 10, 20]


def test_names_that_are_alike_are_told_apart() -> None:
    assert distinct([" a", "a", "a.1", ""]) == ("a", "a.1", "a.1.1", "unnamed 3")
