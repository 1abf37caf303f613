"""The decisions that ExpTest would have taken on any recorded loss curve."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.record import Record
from exptest.tuner import Tuner


def replay(
    losses: Any,
    max_lr: float,
    *,
    column: str | None = None,
    path_ratio: float | None = None,
    **settings: Any,
) -> Record:
    """Run the tuner over a recorded curve and return its decisions.

    The curve is taken as it is: after a decision that would have changed the rate, the
    recorded losses go on under the rate that was really used.

    Args:
        losses: list, array, Series, tensor, or the path of a CSV file; one loss per step.
        max_lr: where the rate starts.
        column: the CSV's column of losses; needed when it has several numeric columns.
        path_ratio: constant ρ ≥ 1 for curves of mini-batch training; None for full batch.
        **settings: as for `Tuner` (alpha, beta, method, min_lr, min_window, divergence_factor).

    Raises:
        ValueError, TypeError, FileNotFoundError: the input is not a curve; the message says why.

    >>> record = replay([0.5**t for t in range(8)], max_lr=0.5, min_window=8)
    >>> record.found.step, record.lr
    (7, 0.5)
    """
    tuner = Tuner(max_lr, **settings)
    if path_ratio is not None:
        _checks.path_ratio(path_ratio)
    for loss in read_losses(losses, column=column):
        tuner.observe(loss, path_ratio=path_ratio)
    return tuner.record


def read_losses(source: Any, *, column: str | None = None) -> Float[np.ndarray, " steps"]:
    """Return the losses of ``source`` (see `replay`) as a float64 array."""
    if isinstance(source, str | PathLike):
        return _read_csv(Path(source), column)
    return _checks.series("losses", source)


def _read_csv(path: Path, column: str | None) -> Float[np.ndarray, " steps"]:
    import pandas as pd

    if not path.is_file():
        raise FileNotFoundError(
            f"no file {str(path)!r}; pass the path of a CSV file with a header."
        )
    # pandas before 3.1 misreads the last digit of every third number unless it is told not to.
    release = tuple(map(int, pd.__version__.split(".")[:2]))
    exact: Any = {"float_precision": "round_trip"} if release < (3, 1) else {}
    try:
        table = pd.read_csv(path, **exact)
        if all(map(_is_number, table.columns)):  # no header: that row is data
            table = pd.read_csv(path, header=None, **exact).add_prefix("column ")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{str(path)!r} is not a CSV table ({error}); try one loss per line below a header."
        ) from error
    table.columns = table.columns.str.strip()
    if column is None:
        column = _only_numeric_column(path, table)
    if column not in table.columns:
        raise ValueError(
            f"{str(path)!r} has no column {column!r}; it has {', '.join(map(repr, table.columns))}."
        )
    values = table[column]
    unread = values[pd.to_numeric(values, errors="coerce").isna() & values.notna()]
    if len(unread):
        raise ValueError(
            f"column {column!r} of {str(path)!r} holds {unread.iloc[0]!r} in its row "
            f"{unread.index[0] + 1}, which is no number; try correcting or deleting that row."
        )
    return _checks.series(f"column {column!r}", values)


def _only_numeric_column(path: Path, table: Any) -> str:
    if "loss" in table.columns:
        return "loss"
    numeric = list(table.select_dtypes("number").columns)
    if len(numeric) == 1:
        return numeric[0]
    found = ", ".join(map(repr, numeric)) or "none"
    raise ValueError(
        f"{str(path)!r} needs one numeric column or one named 'loss', found {found}; "
        "try naming it with column=... (--column on the command line)."
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
