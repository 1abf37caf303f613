"""What a log says: its losses, where they stand, and how far apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

import numpy as np
from jaxtyping import Float

from exptest._words import listed, plural, quoted
from exptest.recorded.columns import EPOCHS, STEPS, Column, candidates, counts, look, step_column
from exptest.recorded.delimited import read_delimited
from exptest.recorded.documents import LONGEST_DOCUMENT, read_json
from exptest.recorded.table import Table
from exptest.recorded.text import source


@dataclass(frozen=True, eq=False)
class Log:
    """The losses of a log; ``print`` it to read where they come from.

    Attributes:
        losses: of every row that has one, shape (losses,), loss units; a written nan or inf stays.
        column: that holds them.
        blanks: rows without a loss, left out.
        format: of the file, in words.
        steps: what the column that counts steps (or epochs) says in the same rows; nan where it
            says nothing; None without such a column.
        step_column: its name.
        title: the file's name and format.
    """

    losses: Float[np.ndarray, " losses"]
    column: str
    blanks: int
    format: str
    steps: Float[np.ndarray, " losses"] | None
    step_column: str | None
    title: str

    @property
    def per_epoch(self) -> bool:
        """Whether an epoch lies between (most of) the losses, and nothing counts steps."""
        epochs = self.step_column is not None and counts(self.step_column, EPOCHS)
        return epochs and self._gaps.size > 0 and float(np.median(self._gaps)) >= 1.0

    @property
    def every(self) -> int:
        """Steps from one loss to the next, as most rows show; 1 if the log does not say."""
        if self.step_column is None or not counts(self.step_column, STEPS):
            return 1
        rising = self._gaps[self._gaps > 0]
        return max(round(float(np.median(rising))), 1) if rising.size else 1

    def summary(self, *, every: int = 1) -> str:
        """Return plain sentences: the source, what was left out, and the pace.

        Args:
            every: the steps that each loss is taken to stand for, as in `replay`.
        """
        found = plural(len(self.losses), "loss")
        said = [f"{found} from column {quoted(self.column)} of {self.title}."]
        if self.blanks:
            said.append(f"{plural(self.blanks, 'row')} without a loss left out.")
        return " ".join([*said, *self._pace(every)])

    def __str__(self) -> str:
        return self.summary()

    @property
    def _gaps(self) -> np.ndarray:
        steps = np.zeros(0) if self.steps is None else self.steps[np.isfinite(self.steps)]
        return np.diff(steps.clip(-1e15, 1e15))

    def _pace(self, every: int) -> Iterator[str]:
        """Say how many steps lie between two losses."""
        counter = f"Its column {quoted(self.step_column or '')}"
        if every > 1:
            yield f"Each loss stands for {every:,} steps:"
            yield "steps and windows below count losses, η is per step."
        if self.every not in (1, every):
            yield f"{counter} rises by {self.every:,} from loss to loss."
        if every > 1:
            return
        if self.every > 1:
            yield f"Each is taken for one step; try every={self.every} (--every {self.every})."
        elif self.per_epoch:
            yield f"{counter} shows one loss per epoch, and each is taken for one step;"
            yield "try every=K (--every K) for K steps per epoch."
        elif self.step_column is None:
            yield "No column counts steps: each loss is taken for one step."
        if back := int((self._gaps < 0).sum()):
            yield f"{counter} goes back {plural(back, 'time')}: are these several runs?"


@dataclass(frozen=True, eq=False)
class LogFile:
    """A log whose columns are known.

    Attributes:
        columns: all of them, with their first numbers.
        candidates: those that may hold the training loss: the best by name, or else any numbers
            that are no steps, times or rates. If it is one, it needs no choice.
        table: the rows.
    """

    columns: tuple[Column, ...]
    candidates: tuple[Column, ...]
    table: Table

    def read(self, column: str | None = None) -> Log:
        """Return the losses of ``column``; None: of the only candidate.

        Raises:
            ValueError: there is no such column, none that could be meant, or several; or it holds
                something other than numbers.
        """
        title, names = self.table.title, self.table.names
        if column is None:
            column = self._only_candidate()
        if column not in names:
            raise ValueError(f"{title} has no column {quoted(column)}; it has {listed(names)}.")
        counter = step_column(self.columns, column)
        wanted = [column] if counter is None else [column, counter]
        losses, steps, blanks = self.table.columns(wanted)
        return Log(
            losses=losses,
            column=column,
            blanks=blanks,
            format=self.table.format,
            steps=None if counter is None else steps,
            step_column=counter,
            title=title,
        )

    def _only_candidate(self) -> str:
        if len(self.candidates) == 1:
            return self.candidates[0].name
        found = listed([column.name for column in self.candidates])
        way = "try column=... (--column on the command line, the list in ReplayLab)"
        if not self.candidates:
            way = f"its columns are {listed(self.table.names)}"
        raise ValueError(
            f"{self.table.title} needs one numeric column or one named 'loss', found {found}; "
            f"{way}."
        )


def open_log(content: str | PathLike[str] | bytes, *, name: str | None = None) -> LogFile:
    """Look at a log without reading all of it: its format and its columns (by 20 000 rows).

    Args:
        content: the path of a log, or the bytes of one (see `read_log`).
        name: what messages call it; its path if None.

    Raises:
        ValueError, OSError: there is no such file, or no table in it.

    >>> file = open_log(b"step;loss;val_loss\\n0;2,5;2,7\\n1;2,0;\\n", name="run.csv")
    >>> [column.name for column in file.candidates], file.read().losses
    (['loss'], array([2.5, 2. ]))
    """
    log = source(content, name)
    _, first = log.opening(LONGEST_DOCUMENT)
    table = read_json(log) if first.lstrip()[0] in "[{" else read_delimited(log)
    columns = look(table)
    return LogFile(columns, candidates(columns), table)


def read_log(
    content: str | PathLike[str] | bytes, *, column: str | None = None, name: str | None = None
) -> Log:
    """Read the losses of a log.

    Text tables with any usual separator, decimal commas, comment lines (#) and encoding, with or
    without a header; JSON lines; and one JSON document of records, columns, points or numbers.
    That covers the files of Lightning, Keras, TensorBoard, Weights & Biases and Hugging Face.
    Nothing in a file is executed.

    Args:
        content: the path of a log, or the bytes of one.
        column: of the losses, as the file names it; without a header "column 0", "column 1", ….
            None: the one whose name says training loss (of `train_loss_step` and
            `train_loss_epoch` the finer), else the only numeric one that is no step, epoch, time
            or rate.
        name: what messages call it; its path if None.

    Returns:
        The losses, with what was left out and how far apart they lie.

    Raises:
        ValueError, OSError: as `open_log` and `LogFile.read`; never more than 500 characters.

    >>> rows = b"step,train_loss,val_loss\\n0,3,\\n50,2,\\n50,,2.5\\n100,1,\\n"
    >>> log = read_log(rows, name="run.csv")
    >>> log.losses, log.every
    (array([3., 2., 1.]), 50)
    >>> print(log)
    3 losses from column 'train_loss' of 'run.csv' (CSV). 1 row without a loss left out.
    Its column 'step' rises by 50 from loss to loss. Each is taken for one step; try every=50
    (--every 50).
    """
    return open_log(content, name=name).read(column)
