"""The live picture of a run: settled windows are painted once, only the current one moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from exptest.plots.style import COLORS, project_style
from exptest.plots.tuner import (
    DENSE,
    MOST_FITS,
    draw_fits,
    draw_losses,
    mark_pvalues,
    plot_learning_rate,
    plot_pvalues,
    plot_signal,
    shade_windows,
)
from exptest.record import Decision, Record
from exptest.widgets.canvas import Canvas
from exptest.widgets.training_run import WatchedRun

ROOM = 1.6
SHORTEST = 150
# Of an earlier run, so many steps are shown before the present run gets there.
GHOST = 1000


class RunPicture:
    """Loss signal, p-values and learning rate on one step axis.

    `redraw` calls the functions of `exptest.plots` on the whole record. `frame` paints what is
    new over it, and redraws only when the curves leave their axes.
    """

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        with project_style():
            axes = canvas.figure.subplots(3, 1, sharex=True, height_ratios=(3.2, 1.2, 1.2))
        self.axes: tuple[Axes, Axes, Axes] = tuple(axes)
        canvas.figure.subplots_adjust(left=0.085, right=0.97, top=0.94, bottom=0.1, hspace=0.16)
        self._painted = 0

    def redraw(self, run: WatchedRun, ghost: Record | None) -> None:
        """Draw everything that is settled, with room to grow."""
        record = run.settled()
        signal, pvalues, rates = self.axes
        with project_style():
            for ax in self.axes:
                ax.clear()
            if ghost is not None:
                _lay_under(signal, rates, ghost)
            plot_signal(record, signal)
            plot_pvalues(record, pvalues)
            plot_learning_rate(record, rates)
            self._predictions(run)
            signal.set(title=run.settings.task, xlabel="")
            pvalues.set(xlabel="", ylabel="p")
            rates.set(ylabel="rate η")
            other = ghost.losses[:GHOST] if ghost is not None else np.empty(0)
            signal.set_xlim(-0.5, max(ROOM * len(run.losses), len(other), SHORTEST))
            _open_up(signal, np.concatenate([other, run.losses]))
            self.canvas.figure.align_ylabels(self.axes)
            self.canvas.draw()
        self._painted = len(run.decisions)
        self._from = run.start
        self._known = (len(run.predictions), id(ghost))

    def frame(self, run: WatchedRun, ghost: Record | None) -> None:
        """Bring the picture up to the latest step and show it."""
        if self._outgrown(run, ghost):
            self.redraw(run, ghost)
        self.canvas.restore()
        with project_style():
            if new := run.decisions[self._painted :]:
                self._settle(run, new)
            moving = self._moving(run)
        self.canvas.paint(moving)
        self.canvas.show()
        for artist in moving:
            artist.remove()

    def _outgrown(self, run: WatchedRun, ghost: Record | None) -> bool:
        if not self._painted and not run.losses:
            return True
        signal, pvalues, rates = self.axes
        if self._known != (len(run.predictions), id(ghost)) or run.start < self._from:
            return True
        fresh = np.array(run.losses[self._from :])
        fresh = fresh[np.isfinite(fresh)]
        low, high = signal.get_ylim()
        return bool(
            len(run.losses) > signal.get_xlim()[1]
            or (fresh.size and not low <= fresh.min() <= fresh.max() <= high)
            or (signal.get_yscale() == "linear" and fresh.size and fresh.min() < high / 26)
            or run.tuner.lr < rates.get_ylim()[0]
            or any(d.pvalue < pvalues.get_ylim()[0] for d in run.decisions[self._painted :])
        )

    def _settle(self, run: WatchedRun, new: Sequence[Decision]) -> None:
        """Paint windows that have ended, and keep them."""
        signal, pvalues, rates = self.axes
        artists = shade_windows(signal, new)
        artists += self._losses(run, self._from, run.start)
        if len(run.decisions) <= MOST_FITS:
            for decision in new:
                artists += draw_fits(signal, decision.test, decision.start)
        artists += mark_pvalues(pvalues, [d for d in new if d.test is not None])
        steps = [self._from, *(d.step + 1 for d in new)]
        levels = [d.lr_before for d in new]
        artists.append(rates.stairs(levels, steps, **_STAIR))
        for before, after, step in zip(levels, [d.lr_after for d in new], steps[1:], strict=True):
            artists += rates.plot([step, step], [before, after], color=COLORS["rate"], lw=2.5)
        self.canvas.paint([*artists, *filter(None, [signal.get_legend()])])
        self.canvas.settle()
        for artist in artists:
            artist.remove()
        self._painted, self._from = len(run.decisions), run.start

    def _losses(self, run: WatchedRun, start: int, end: int) -> list[Line2D]:
        begin = max(start - 1, 0)
        losses = np.array(run.losses[begin:end])
        losses[~np.isfinite(losses)] = np.nan
        return draw_losses(self.axes[0], losses, begin, dense=len(run.losses) > DENSE)

    def _moving(self, run: WatchedRun) -> list[Artist]:
        """The current window: its losses, its end, the fits and p as they stand."""
        signal, pvalues, rates = self.axes
        now, start = len(run.losses), run.start
        artists: list[Artist] = []
        if run.tuner.window is not None:
            end = start + run.tuner.window
            artists.append(
                signal.axvspan(start - 0.5, now - 0.5, color=COLORS["muted"], alpha=0.18, lw=0)
            )
            for ax in self.axes:
                artists.append(ax.axvline(end - 0.5, color=COLORS["muted"], lw=1.2, ls=":"))
        artists += self._losses(run, start, now)
        test = run.provisional()
        artists += draw_fits(signal, test, start, alpha=0.75)
        if test is not None:
            below = test.pvalue < run.settings.alpha
            height = np.clip(test.pvalue, *pvalues.get_ylim())
            artists += pvalues.plot(
                now - 1, height, "o", markersize=9, markerfacecolor="none", markeredgewidth=2,
                color=COLORS["exponential" if below else "rejected"],
            )  # fmt: skip
        if now > start:
            artists.append(rates.stairs([run.tuner.lr], [start, now], **_STAIR))
        return artists

    def _predictions(self, run: WatchedRun) -> None:
        signal = self.axes[0]
        for k, (start, curve) in enumerate(run.predictions):
            last = k + 1 == len(run.predictions)
            length = len(curve) if last else run.predictions[k + 1][0] - start
            label = "predicted" if last else None
            shown = np.where(curve[:length] < 1e6 * curve[0], curve[:length], np.nan)
            steps = start + np.arange(len(shown))
            signal.plot(steps, shown, color=COLORS["theory"], lw=2.2, zorder=4, label=label)
        if run.predictions and (legend := signal.get_legend()) is not None:
            handles = [*legend.legend_handles, signal.lines[-1]]
            signal.legend(handles=handles, loc="upper right", ncols=2)


_STAIR: dict[str, Any] = {"baseline": None, "color": COLORS["rate"], "linewidth": 2.5}


def _open_up(ax: Axes, losses: np.ndarray) -> None:
    """Leave room for what is to come: below for a decay, above for noise."""
    finite = losses[np.isfinite(losses) & (losses > 0)]
    if not finite.size:
        ax.set_ylim(0, 1)
    elif finite.max() > 20 * finite.min():
        ax.set_yscale("log")
        ax.set_ylim(finite.min() / 3, finite.max() * 2)
    else:
        ax.set_ylim(0, 1.25 * finite.max())


def _lay_under(signal: Axes, rates: Axes, ghost: Record) -> None:
    signal.plot(ghost.losses, color=COLORS["muted"], lw=0.8, alpha=0.6)
    rates.plot(ghost.lrs, color=COLORS["muted"], lw=2, ls="--", alpha=0.8)
