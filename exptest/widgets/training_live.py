"""What no decision has seen: artists that move, made once, painted over the settled picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from exptest._judge import Judgement
from exptest.plots.style import COLORS
from exptest.plots.tuner import MARKERS, draw_fits, draw_losses, outline
from exptest.widgets.training_run import WatchedRun


class LiveWindow:
    """Losses, progress and rate since the last decision; the open window's end, fits and p.

    Args:
        axes: of the loss signal, the p-values and the rates.
        dense: whether losses are drawn as a line alone.
    """

    def __init__(self, axes: tuple[Axes, Axes, Axes], *, dense: bool) -> None:
        self.axes, self.dense = axes, dense
        signal, pvalues, rates = axes
        unseen: dict[str, Any] = {"animated": True}
        self.progress = signal.axvspan(0, 0, color=COLORS["muted"], alpha=0.18, lw=0, **unseen)
        self.ends = [ax.axvline(0, color=COLORS["muted"], lw=1.2, ls=":", **unseen) for ax in axes]
        (self.losses,) = draw_losses(signal, np.empty(0), dense=dense)
        self.losses.set_animated(True)
        (self.p,) = pvalues.plot(
            [],
            [],
            "o",
            markersize=9,
            markerfacecolor="none",
            markeredgewidth=2,
            clip_on=False,
            **unseen,
        )
        (self.rate,) = rates.plot([], [], color=COLORS["rate"], lw=2.5, **unseen)
        self.fits: list[Any] = []
        self._fitted: tuple[int, Judgement | None] = (0, None)

    def moved(self, run: WatchedRun) -> list[Artist]:
        """Move everything to where ``run`` is now, and return it in the order of painting."""
        now, start = len(run.losses), run.judged
        self.losses.set_data(*outline(*finite(run, start, now)))
        self.rate.set_data([start, now], [run.tuner.lr, run.tuner.lr])
        artists: list[Artist] = []
        if run.tuner.window is not None:
            self.progress.set_x(start - 0.5)
            self.progress.set_width(now - start)
            end = run.start + run.tuner.window - 0.5
            for line in self.ends:
                line.set_xdata([end, end])
            artists += [self.progress, *self.ends]
        return [*artists, self.losses, *self._tested(run), self.rate]

    def _tested(self, run: WatchedRun) -> list[Artist]:
        """The fits and p as they stand."""
        signal, pvalues, _ = self.axes
        judged = run.provisional()
        if self._fitted != (run.start, judged):
            for fit in self.fits:
                fit.remove()
            test = None if judged is None else judged.test
            self.fits = draw_fits(signal, test, run.start, alpha=0.75)
            for fit in self.fits:
                fit.set_animated(True)
            self._fitted = (run.start, judged)
        if judged is None:
            return []
        self.p.set_color(COLORS[MARKERS[judged.verdict]])
        height = np.clip(judged.test.pvalue, *pvalues.get_ylim())
        self.p.set_data([len(run.losses) - 1], [height])
        return [*self.fits, self.p]


def finite(run: WatchedRun, start: int, end: int) -> tuple[Float[np.ndarray, " n"], int]:
    """The losses from the one before ``start`` to ``end``, gaps where they are not finite."""
    begin = max(start - 1, 0)
    losses = np.array(run.losses[begin:end])
    losses[~np.isfinite(losses)] = np.nan
    return losses, begin
