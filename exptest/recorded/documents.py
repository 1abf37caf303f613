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
            try:
                value = DECODER.decode(line)
            except (ValueError, RecursionError):
                value = _decode(line, f"row {row} of {title}")  # says what is wrong
            yield _record(value)

    return _of_records(records, title, "JSON lines")


def _of_document(value: Any, name: str) -> Table:
    """Find the rows in a document: the shapes that loggers and pandas write."""
    kind = "JSON"
    if isinstance(value, dict) and isinstance(value.get("log_history"), list):
        kind = "trainer_state.json of Hugging Face"
        value = [entry for entry in value["log_history"] if not _closes_the_run(entry)]
    elif isinstance(value, dict):
        value = _only_table(value)
        if columns := _columns(value):
            return _of_columns(columns, f"{name} ({kind})", kind)
    elif value and all(isinstance(row, list) and len(row) == 3 for row in value):
        kind = "JSON of TensorBoard"
        value = [dict(zip(TENSORBOARD, row, strict=True)) for row in value]
    records = value if isinstance(value, list) else [value]
    return _of_records(lambda: map(_record, records), f"{name} ({kind})", kind)


def _only_table(value: dict[str, Any]) -> Any:
    """Return what holds the rows: the document, or the only list of records or dict of columns."""
    if _columns(value):
        return value
    tables = [part for part in value.values() if _columns(part) or _is_records(part)]
    return tables[0] if len(tables) == 1 else value


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _columns(value: Any) -> dict[str, list[Any]]:
    """Return the columns in a dict: lists of cells, or what pandas writes, {"0": …, "1": …}."""
    columns = {}
    for name, cells in value.items() if isinstance(value, dict) else ():
        if isinstance(cells, dict) and all(map(str.isdecimal, cells)):
            cells = list(cells.values())
        if isinstance(cells, list) and cells and not any(isinstance(c, list | dict) for c in cells):
            columns[name] = cells
    return columns


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

    return Table(title, kind, tuple(columns), chunks)


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
