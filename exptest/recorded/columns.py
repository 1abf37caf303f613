"""Which column holds the training loss, and which counts the steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from exptest.recorded.table import Cell, Table, is_number, number

PREVIEW = 3

TRAINING = frozenset({"train", "training", "trn"})
STEPS = frozenset({"step", "steps", "iter", "iters", "iteration", "iterations"})
EPOCHS = frozenset({"epoch", "epochs"})
# What a step counter's name may say besides.
OF_STEPS = frozenset({"global", "trainer", "optimizer", "current", *TRAINING})
# Columns that say where or when, or how fast, not how well.
POSITIONS = frozenset({
    *STEPS, *EPOCHS, "batch", "batches", "it", "idx", "index", "unnamed", "time", "timestamp",
    "runtime", "relative", "elapsed", "seconds", "duration", "lr", "rate",
})  # fmt: skip
# What a training loss's name may say besides, and nothing else ("val", "test", "eval"); first
# the finest, one loss per step.
NAMES: tuple[frozenset[str], ...] = (
    STEPS | {"batch", "per"},
    frozenset(),
    frozenset({"total", "mean", "average", "avg", "running", "smoothed"}),
    EPOCHS | {"per", "total", "mean", "average", "avg"},
)


@dataclass(frozen=True)
class Column:
    """A column by its first rows.

    Attributes:
        name: as in the file.
        numbers: the first that it holds.
    """

    name: str
    numbers: tuple[float, ...]

    @property
    def preview(self) -> str:
        """The name and the first numbers.

        >>> Column("loss", (2.5, 1.75)).preview
        'loss: 2.5, 1.75, …'
        """
        return f"{self.name[:40]}: {', '.join([*map('{:.4g}'.format, self.numbers), '…'])}"

    @property
    def rank(self) -> int | None:
        """How well the name fits a training loss, 0 best; None if it does not.

        >>> [Column(name, ()).rank for name in ("train_loss_step", "trainLoss", "val_loss")]
        [0, 1, None]
        """
        words = _words(self.name)
        if not words & {"loss", "losses"}:
            return None
        rest = words - {"loss", "losses"} - TRAINING
        fits = (bool(rest) == bool(allowed) and rest <= allowed for allowed in NAMES)
        return next((rank for rank, fit in enumerate(fits) if fit), None)

    @property
    def eligible(self) -> bool:
        """Whether it holds numbers that may be losses: no step, time or rate, no spread."""
        words = _words(self.name)
        place = bool(words & POSITIONS) and "loss" not in words
        return bool(self.numbers) and not place and not self.name.endswith(("__MIN", "__MAX"))


def look(table: Table) -> tuple[Column, ...]:
    """Return the columns of a table, judged by its first rows."""
    chunk = next(table.chunks(table.names), None) or [()] * len(table.names)
    return tuple(
        Column(name, _first_numbers(cells, table.decimal_comma))
        for name, cells in zip(table.names, chunk, strict=True)
    )


def candidates(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns that may hold the training loss: the best by name, or any numbers."""
    ranks = [column.rank for column in columns if column.rank is not None]
    if ranks:
        return tuple(column for column in columns if column.rank == min(ranks))
    return tuple(column for column in columns if column.eligible)


def counts(name: str, words: frozenset[str]) -> bool:
    """Whether a column of that name counts what ``words`` name.

    >>> counts("trainer/global_step", STEPS), counts("steps_per_second", STEPS)
    (True, False)
    """
    named = _words(name)
    return bool(named & words) and named <= words | OF_STEPS


def step_column(columns: Sequence[Column], loss: str) -> str | None:
    """Return the column that counts steps, else epochs; None if there is none."""
    others = [column for column in columns if column.name != loss and column.numbers]
    for words in (STEPS, EPOCHS):
        names = [column.name for column in others if counts(column.name, words)]
        if names:
            return next((name for name in names if "global" in _words(name)), names[0])
    return None


def _words(name: str) -> frozenset[str]:
    """Return the words of a name, without Weights & Biases' run and pandas' suffix."""
    name = re.sub(r"\.\d+$", "", name.rsplit(" - ", 1)[-1])
    return frozenset(re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))


def _first_numbers(cells: Sequence[Cell], comma: bool) -> tuple[float, ...]:
    found = (number(cell, comma) for cell in cells if is_number(cell, comma))
    return tuple(islice((value for value in found if value is not None), PREVIEW))
