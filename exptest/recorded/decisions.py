"""The decisions that ExpTest would have taken on any recorded loss curve."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Float

from exptest import _checks
from exptest.record import Record
from exptest.recorded.log import read_log
from exptest.tuner import Tuner


def replay(
    losses: Any,
    max_lr: float,
    *,
    column: str | None = None,
    every: int = 1,
    path_ratio: float | None = None,
    **settings: Any,
) -> Record:
    """Run the tuner over a recorded curve and return its decisions.

    The curve is taken as it is: after a decision that would have changed the rate, the
    recorded losses go on under the rate that was really used.

    A loss recorded every K steps lies K η of gradient-flow time after the one before, so that the
    N = 2√2 L₀/(e η) steps of a window hold N/K losses: the tuner runs at K η, and the record
    gives its rates divided by K.

    Args:
        losses: list, array, Series, tensor, or the path of a log (see `read_log`); one loss per
            step.
        max_lr: where the rate starts, per step.
        column: the log's column of losses; needed when several could be meant.
        every: K ≥ 1, the steps between two losses (or that each is the mean of). Rates, ``min_lr``
            too, stay rates per step; ``step``, ``window``, ``min_window`` and ``period`` count
            losses.
        path_ratio: constant ρ ≥ 1 for curves of mini-batch training; None for full batch.
        **settings: as for `Tuner` (alpha, beta, method, min_lr, min_window, divergence_factor,
            loss_floor, period).

    Raises:
        ValueError, TypeError, OSError: the input is not a curve; the message says why.

    >>> record = replay([0.5**t for t in range(8)], max_lr=0.5, min_window=8)
    >>> record.found.step, record.lr
    (7, 0.5)

    Of a run at a tenth of that rate, every tenth loss:

    >>> replay([0.5**t for t in range(8)], max_lr=0.05, every=10, min_window=8).found.step
    7
    """
    tuner = Tuner(max_lr, **settings)
    every = _checks.at_least("every", every, 1, 10)
    if every > 1:
        scaled = settings | {"min_lr": every * tuner.min_lr}
        tuner = Tuner(every * tuner.max_lr, **scaled)
    if path_ratio is not None:
        _checks.path_ratio(path_ratio)
    for loss in read_losses(losses, column=column):
        tuner.observe(loss, path_ratio=path_ratio)
    return tuner.record if every == 1 else _per_step(tuner.record, every)


def read_losses(source: Any, *, column: str | None = None) -> Float[np.ndarray, " losses"]:
    """Return the losses of ``source`` (see `replay`) as a float64 array."""
    if isinstance(source, str | PathLike):
        return read_log(source, column=column).losses
    return _checks.series("losses", source)


def _per_step(record: Record, every: int) -> Record:
    """Give the rates of a record whose rates are per loss as rates per step."""
    decisions = tuple(
        replace(d, lr_before=d.lr_before / every, lr_after=d.lr_after / every)
        for d in record.decisions
    )
    return replace(record, decisions=decisions, max_lr=record.max_lr / every)
