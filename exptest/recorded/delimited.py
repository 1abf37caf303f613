"""Text tables: CSV, TSV, semicolons, blanks, and plain numbers, one per line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from exptest._words import plural
from exptest.recorded.table import Table, distinct, in_chunks, is_number, is_word
from exptest.recorded.text import LONGEST_LINE, Source

# In this order where they explain a file equally well.
SEPARATORS = {
    "\t": "tab-separated",
    ";": "semicolon-separated",
    ",": "CSV",
    " ": "blank-separated",
}
SAMPLE = 100


def read_delimited(source: Source) -> Table:
    """Return a text table; without a header its columns are "column 0", "column 1", …

    Raises:
        ValueError: it is no table; the message names the file.
    """
    comment, _ = source.opening(LONGEST_LINE)
    sample = list(islice(source.lines(), SAMPLE))
    separator = _separator(sample)
    comma = separator != ","
    names = first = next(_rows(source.name, source.lines(), separator))
    header = _names_columns(first, _split(sample[1:], separator), comma)
    if not header:
        above = _split([comment], separator)[0] if comment else []
        named = len(above) == len(first) and not any(map(is_number, above))
        names = above if named else [f"column {place}" for place in range(len(first))]
    elif not first[-1].strip():  # a separator ends each row
        names = first[:-1]
    kind = SEPARATORS[separator] if len(names) > 1 else "text, one value per line"
    title = f"{source.name} ({kind})"

    def chunks(wanted: Sequence[str]) -> Iterator[list[list[str]]]:
        places = [columns.index(name) for name in wanted]
        rows, seen = _rows(title, source.lines(), separator), 0
        for chunk in in_chunks(islice(rows, int(header), None)):
            if set(map(len, chunk)) != {len(columns)}:
                chunk = [
                    _fitted(row, number, len(columns), title)
                    for number, row in enumerate(chunk, seen + 1)
                ]
            yield [[row[place] for row in chunk] for place in places]
            seen += len(chunk)

    columns = distinct(names)
    return Table(title, kind, columns, chunks, comma)


def _names_columns(first: list[str], rows: list[list[str]], comma: bool) -> bool:
    """Whether the first row is a header: words only, words above numbers, or pandas' 0, 1, …"""
    cells = [cell.strip() for cell in first]
    below = [cell.strip() for row in rows for cell in row]
    if cells == ["", *map(str, range(len(cells) - 1))]:
        return len(cells) > 1
    if cells == [*map(str, range(len(cells)))]:
        return bool(below) and not any(map(str.isdecimal, below))
    words = {place for place, cell in enumerate(cells) if is_word(cell, comma)}
    if not any(is_number(cell, comma) for cell in cells):
        return bool(words)
    return any(is_number(row[place], comma) for row in rows for place in words if place < len(row))


def _fitted(row: list[str], number: int, width: int, title: str) -> list[str]:
    """Fill a short row with blanks; refuse a long one, whose cells may belong anywhere."""
    if any(cell.strip() for cell in row[width:]):
        raise ValueError(
            f"{title} has {plural(len(row), 'cell')} in its row {number}, but "
            f"{plural(width, 'column')}; try naming every column in the header, and points as "
            "decimal signs."
        )
    return row + [""] * (width - len(row))


def _rows(title: str, lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each line."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        yield from reader
    except csv.Error as error:
        raise ValueError(
            f"{title} is not a table ({error}, near its line {reader.line_num}); "
            "try one loss per line below a header."
        ) from None


def _separator(lines: list[str]) -> str:
    """Return the separator that makes most numbers of the first lines."""
    scores = {separator: _numbers(lines, separator) for separator in SEPARATORS}
    best = max(scores, key=lambda separator: scores[separator])
    if scores[best]:
        return best
    return next((separator for separator in SEPARATORS if separator in lines[-1].strip()), ",")


def _numbers(lines: list[str], separator: str) -> int:
    """Count the numbers in rows as wide as the first, if they have two cells or more."""
    rows = _split(lines, separator)
    width = len(rows[0])
    if width == 1:
        return 0
    wide = [row for row in rows if len(row) >= width and not any(map(str.strip, row[width:]))]
    return sum(is_number(cell, separator != ",") for row in wide for cell in row[:width])


def _split(lines: list[str], separator: str) -> list[list[str]]:
    """Return the cells of a few lines, one empty cell if there is no way to split them."""
    try:
        return list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return [[""]]
