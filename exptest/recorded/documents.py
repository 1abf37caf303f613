"""JSON: a record per line, or one document of records, of columns, of points or of numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from exptest.recorded.table import Cell, Table, in_chunks
from exptest.recorded.text import Source

LONGEST_DOCUMENT = 50_000_000
TENSORBOARD = ("Wall time", "Step", "Value")

# Numbers stay floats: an integer of a million digits would take minutes.
DECODER = json.JSONDecoder(parse_int=float)


def read_json(source: Source) -> Table:
    """Return JSON as a table.

    Raises:
        ValueError: it is no JSON, or holds no rows of numbers; the message names the file.
    """
    lines = source.lines(LONGEST_DOCUMENT)
    first = next(lines)
    whole = _attempt(first)
    if whole is not None and next(lines, None) is not None:
        return _of_lines(source)
    if whole is None:
        whole = _decode(_text(source), f"{source.name} (JSON)")
    return _of_document(whole, source.name)


def _of_lines(source: Source) -> Table:
    title = f"{source.name} (JSON lines)"

    def records() -> Iterator[dict[str, Any]]:
        for row, line in enumerate(source.lines(), 1):
            yield _record(_decode(line, f"row {row} of {title}"))

    return _of_records(records, title, "JSON lines")


def _of_document(value: Any, name: str) -> Table:
    """Find the rows in a document: the shapes that loggers and pandas write."""
    kind = "JSON"
    if isinstance(value, dict) and isinstance(value.get("log_history"), list):
        kind = "trainer_state.json of Hugging Face"
        value = [entry for entry in value["log_history"] if not _closes_the_run(entry)]
    title = f"{name} ({kind})"
    if isinstance(value, dict):
        columns = {key: _column(cells) for key, cells in value.items()}
        if any(columns.values()):
            return _of_columns(columns, title, kind)
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{title} is not a table; try one record per line, or a list of losses.")
    if value and all(isinstance(row, list) and len(row) == 3 for row in value):
        kind, rows = (
            "JSON of TensorBoard",
            [dict(zip(TENSORBOARD, row, strict=True)) for row in value],
        )
        return _of_records(lambda: rows, f"{name} ({kind})", kind)
    return _of_records(lambda: map(_record, value), title, kind)


def _of_records(records: Callable[[], Iterable[dict[str, Any]]], title: str, kind: str) -> Table:
    def chunks(wanted: Sequence[str]) -> Iterator[list[list[Cell]]]:
        for chunk in in_chunks(iter(records())):
            yield [[_cell(record.get(name)) for record in chunk] for name in wanted]

    first = next(in_chunks(iter(records())), [])
    names = dict.fromkeys(name for record in first for name in record)
    return Table(title, kind, tuple(names), chunks)


def _of_columns(columns: dict[str, list[Any]], title: str, kind: str) -> Table:
    def chunks(wanted: Sequence[str]) -> Iterator[list[list[Cell]]]:
        for chunk in in_chunks(zip_longest(*(columns[name] for name in wanted))):
            yield [[_cell(value) for value in column] for column in zip(*chunk, strict=True)]

    return Table(title, kind, tuple(name for name in columns if columns[name]), chunks)


def _column(cells: Any) -> list[Any]:
    """Return the cells of a column: a list, or what pandas writes, {"0": …, "1": …}."""
    if isinstance(cells, dict):
        cells = list(cells.values())
    return cells if isinstance(cells, list) else []


def _record(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    row = value if isinstance(value, list) else [value]
    return {f"column {place}": cell for place, cell in enumerate(row)}


def _cell(value: Any) -> Cell:
    """Return a number, a text or None; anything else as text that is no number."""
    return value if value is None or isinstance(value, float | str) else type(value).__name__


def _closes_the_run(entry: Any) -> bool:
    """Whether an entry of log_history sums the run up: its train_loss is a mean of all steps."""
    return isinstance(entry, dict) and "train_runtime" in entry


def _text(source: Source) -> str:
    lines, length = [], 0
    for line in source.lines(LONGEST_DOCUMENT):
        lines.append(line)
        length += len(line)
        if length > LONGEST_DOCUMENT:
            raise ValueError(
                f"{source.name} is one JSON document of more than {LONGEST_DOCUMENT:,} "
                "characters; try one record per line (JSON lines), or CSV."
            )
    return "".join(lines)


def _attempt(text: str) -> Any:
    try:
        return _decode(text, "")
    except ValueError:
        return None


def _decode(text: str, title: str) -> Any:
    try:
        return DECODER.decode(text)
    except ValueError as error:
        raise ValueError(f"{title} is no valid JSON: {error}; try another export.") from None
    except RecursionError:
        raise ValueError(f"{title} is nested too deeply; try a list of records.") from None
