"""Rows of cells, whatever file they come from, and the numbers in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from exptest._words import plural, quoted

Cell: TypeAlias = "str | float | None"

BLANK = frozenset({"", "na", "n/a", "#n/a", "<na>", "null", "none"})
CHUNK = 20_000  # rows; a file's first chunk shows what its columns are


@dataclass(frozen=True)
class Table:
    """A file as rows of cells.

    Attributes:
        title: the file's name and format, for messages.
        format: what wrote it, or how.
        names: of its columns.
        chunks: yields, some rows at a time, the cells of the columns asked for: a sequence for
            each.
        decimal_comma: whether 3,5 is a number.
    """

    title: str
    format: str
    names: tuple[str, ...]
    chunks: Callable[[Sequence[str]], Iterator[Sequence[Sequence[Cell]]]]
    decimal_comma: bool = False

    def columns(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
        """Return the first column's numbers, those of the last in the same rows, and the blanks.

        Rows in which the first is blank are dropped and counted. What is no number in another
        column is nan there.

        Raises:
            ValueError: the first column holds something else.
        """
        seen, blanks = 0, 0
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        marks: set[str] = set()
        for columns in self.chunks(names):
            values = self._numbers(names[0], columns[0], seen)
            self._agree(names[0], columns[0], marks)
            others = values if len(names) == 1 else self._numbers_or_nan(columns[-1])
            full = np.array([value is not None for value in values])
            kept.append((np.array(values, float)[full], np.array(others, float)[full]))
            seen, blanks = seen + len(values), blanks + int((~full).sum())
        if blanks == seen:
            raise ValueError(
                f"column {quoted(names[0])} is empty in {self.title}: of {plural(seen, 'row')} "
                "none holds a number; try another column."
            )
        losses, steps = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        return losses, steps, blanks

    def _numbers(self, name: str, cells: Sequence[Cell], seen: int) -> Sequence[float | None]:
        if (values := _all_numbers(cells)) is not None:
            return values
        numbers = []
        for row, cell in enumerate(cells, seen + 1):
            try:
                numbers.append(number(cell, self.decimal_comma))
            except ValueError:
                raise ValueError(
                    f"column {quoted(name)} of {self.title} holds {quoted(str(cell))} in its row "
                    f"{row}, which is no number; try correcting or deleting that row."
                ) from None
        return numbers

    def _numbers_or_nan(self, cells: Sequence[Cell]) -> Sequence[float | None]:
        if (values := _all_numbers(cells)) is not None:
            return values
        comma = self.decimal_comma
        return [number(cell, comma) if is_number(cell, comma) else None for cell in cells]

    def _agree(self, name: str, cells: Sequence[Cell], marks: set[str]) -> None:
        """Refuse 1,234 beside 0.5: that comma may separate thousands."""
        if not self.decimal_comma:
            return
        text = "".join(map(str, cells))
        marks.update(mark for mark in ",." if mark in text)
        if len(marks) == 2:
            raise ValueError(
                f"column {quoted(name)} of {self.title} writes some numbers with a comma and "
                "some with a point; try points alone, and no thousands separators."
            )


def number(cell: Cell, decimal_comma: bool = False) -> float | None:
    """Return the number in a cell, to the last digit; None if it is blank.

    Raises:
        ValueError: there is something else in it.

    >>> number("1e-3"), number("nan"), number(" "), number("3,5", decimal_comma=True)
    (0.001, nan, None, 3.5)
    """
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if text.lower() in BLANK:
        return None
    if "_" in text:  # Python's 1_000
        raise ValueError
    if decimal_comma and "." not in text:
        text = text.replace(",", ".", 1)
    return float(text)


def in_chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    """Yield lists of up to ``CHUNK`` rows."""
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _all_numbers(cells: Sequence[Cell]) -> list[float] | None:
    """Return the numbers in cells of text at full speed; None if one needs a closer look."""
    try:
        return None if "_" in "".join(cells) else list(map(float, cells))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def is_number(cell: Cell, decimal_comma: bool = False) -> bool:
    """Whether there is a number in a cell."""
    return not is_word(cell, decimal_comma) and number(cell, decimal_comma) is not None


def is_word(cell: Cell, decimal_comma: bool = False) -> bool:
    """Whether a cell is neither blank nor a number."""
    try:
        number(cell, decimal_comma)
    except ValueError:
        return True
    return False


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without two alike: blank ones get a number, repeated ones a suffix.

    >>> distinct(["", "loss", "loss"])
    ('unnamed 0', 'loss', 'loss.1')
    """
    taken: dict[str, None] = {}
    for place, name in enumerate(names):
        wanted = name.strip() or f"unnamed {place}"
        unique, copies = wanted, 0
        while unique in taken:
            copies += 1
            unique = f"{wanted}.{copies}"
        taken[unique] = None
    return tuple(taken)
