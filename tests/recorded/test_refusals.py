"""A file that holds no curve is refused in one clear sentence, whatever is in it."""

from __future__ import annotations

import codecs
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptest.recorded import read_log
from tests.recorded.test_formats import FILES

VALID = [c.encode() if isinstance(c, str) else c for c, *_ in FILES.values()]
PIECES = [
    b",", b";", b"\t", b" ", b"\n", b"\r", b'"', b"#", b"[", b"]", b"{", b"}", b":", b"loss",
    b"step", b"nan", b"null", b"1", b"2,5", b"-.e", b"_", b"\0", b"\xff\xfe", b"\xe9",
]  # fmt: skip


def test_a_row_longer_than_the_header_is_named() -> None:
    for rows, message in (
        (b"step,loss\n0,3\n1,2,0.1\n", "3 cells in its row 2, but 2 columns"),
        (b"step,loss\n0,3,0.1\n1,2,0.1\n2,1,0.1\n", "3 cells in its row 1, but 2 columns"),
        (b"loss\n3,0\n2,0\n", "2 cells in its row 1, but 1 column;"),
        (b"0 3\n1 2 1\n", "3 cells in its row 2, but 2 columns"),
    ):
        with pytest.raises(ValueError, match=message):
            read_log(rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "'a' is empty"),
        (b"# nothing\n\n", "'a' is empty"),
        (b"step;loss\n0;1,234\n1;0.5\n", "some numbers with a comma and some with a point"),
        (b"step\tloss\n0\t1,234.5\n", "holds '1,234.5' in its row 1"),
        (b"loss\n1_000\n", "holds '1_000' in its row 1"),
        (b'loss\n3\n"1,000"\n', "holds '1,000' in its row 2"),
        (b"step,loss\n0,\n1,\n", "column 'loss' is empty in 'a' .CSV.: of 2 rows none"),
        (b'loss\n"3\n2\n', "is not a table"),
        (b"a" * 200_000, "is not a table"),
        (b"1" * 2_000_000, "a line of more than 1,048,576 characters"),
        (b"\x80\x04K\x01.\0", "no text but a binary file"),
        (pickle.dumps([3.0, 2.0, 1.0]), "no text but a binary file"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8", "begins as UTF-16 text, but is none"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"loss": 3}\n{"loss": 2', "row 2 of 'a' .JSON lines. is no valid JSON"),
        (b'{"loss": true}', "holds 'bool' in its row 1"),
        (b'{"loss": [[1]]}', "holds 'list' in its row 1"),
        (b"[]", "found none"),
        (b"{}", "found none"),
        (b'{"params": {"epochs": 2}, "a": {"b": 3}}', "found none"),
        (b'{"train": [{"loss": 3}], "more": [{"loss": 2}]}', "found none"),
        (b"[INFO] loss 3\n", "is no valid JSON"),
        (b"__import__('os').abort()\n", "found none"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_log(content, name="a")
    assert len(str(caught.value)) <= 500


def test_whatever_never_ends_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "a pipe or a device"), (tmp_path, "a folder")):
        with pytest.raises(ValueError, match=f"is {kind}; pass the path of a file"):
            read_log(path)
    with pytest.raises(ValueError, match="is a pipe or a device"):
        read_log("/dev/zero")
    with pytest.raises(FileNotFoundError, match="no file 'nowhere'"):
        read_log("nowhere")
    with pytest.raises(FileNotFoundError, match="no file") as caught:
        read_log("x" * 9000)
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize("mark", ["x", "'", "\u202e"])
def test_messages_stay_short_whatever_the_names(mark: str) -> None:
    names = [f"{mark * 300}{place}" for place in range(100)]
    for rows in (["1"] * 100, ["1"] * 101, [mark * 300] * 100):
        content = f"{','.join(names)}\n{','.join(rows)}\n".encode()
        for column in (None, mark * 300, names[-1]):
            assert len(told(content, column, name=mark * 300)) <= 500
    assert len(told(b"1\n2\n", None, name=mark * 300)) <= 500


def told(content: bytes, column: str | None = None, name: str = "a") -> str:
    """Return what one reads about a file: its summary, or why it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            log = read_log(content, column=column, name=name)
        except ValueError as error:
            return str(error)
    assert log.losses.dtype == np.float64
    assert len(log.losses) > 0
    return log.summary()


@given(st.binary(max_size=300))
def test_any_bytes_give_losses_or_one_sentence(content: bytes) -> None:
    assert 0 < len(told(content)) <= 500


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_any_text_gives_losses_or_one_sentence(pieces: list[bytes]) -> None:
    assert 0 < len(told(b"".join(pieces))) <= 500


@given(st.data())
def test_a_damaged_file_gives_losses_or_one_sentence(data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(VALID))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = min(start + data.draw(st.integers(0, 9)), len(content))
        piece = data.draw(st.sampled_from(PIECES) | st.binary(max_size=4))
        content = content[:start] + piece + content[end:]
    assert 0 < len(told(content)) <= 500
