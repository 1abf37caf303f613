"""What a training run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from exptest.record import Decision, Record

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class History:
    """Losses, rates, decisions and evaluations of one run.

    Attributes:
        record: the tuner's record; with a fixed rate, one without decisions.
        evaluations: one dict per evaluation: ``step`` and the metrics.
        steps_per_epoch: steps in one pass over the data.
        interrupted: whether KeyboardInterrupt ended the run early.
    """

    record: Record
    evaluations: tuple[dict[str, float], ...]
    steps_per_epoch: int
    interrupted: bool = False

    @property
    def losses(self) -> Float[np.ndarray, " steps"]:
        """Training loss of every step, shape (steps,), loss units."""
        return self.record.losses

    @property
    def lr(self) -> float:
        """The rate at the end."""
        return self.record.lr

    @property
    def lrs(self) -> Float[np.ndarray, " steps"]:
        """The rate used at every step, shape (steps,)."""
        return self.record.lrs

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions, in order."""
        return self.record.decisions

    def final(self, metric: str) -> float:
        """Return ``metric`` as last evaluated.

        Raises:
            KeyError: it was never evaluated; the message names what was.
        """
        if not self.evaluations or metric not in self.evaluations[-1]:
            known = sorted({key for row in self.evaluations for key in row} - {"step"})
            raise KeyError(f"no metric {metric!r}, evaluated were {known}; pass evaluate={{...}}.")
        return self.evaluations[-1][metric]

    def last_epoch_loss(self) -> float:
        """Return the mean training loss over the last epoch, loss units."""
        return float(self.losses[-self.steps_per_epoch :].mean())

    def to_frame(self) -> pd.DataFrame:
        """Return one row per decision."""
        return self.record.to_frame()

    def summary(self) -> str:
        """Return the outcome and every decision in words."""
        lines = [self.record.summary()]
        if self.evaluations:
            last = {k: v for k, v in self.evaluations[-1].items() if k != "step"}
            lines.append("  " + ", ".join(map(with_unit, last, last.values())))
        if self.interrupted:
            lines.append("  interrupted: this is what was done so far")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return self.record._repr_html_()


def with_unit(metric: str, value: float) -> str:
    """Return a metric and its value, followed by the unit if the name ends in one.

    >>> with_unit("test accuracy (%)", 96.4), with_unit("mse", 0.25)
    ('test accuracy 96.4 %', 'mse 0.25')
    """
    name, bracket, unit = metric.rstrip(")").partition(" (")
    return f"{name} {value:.4g} {unit}" if bracket else f"{metric} {value:.4g}"
