"""The live picture of a run: what is decided is painted once, only what comes later moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
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
from exptest.widgets.training_live import LiveWindow, finite
from exptest.widgets.training_run import WatchedRun

ROOM = 1.8
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
        self._shown: tuple[Any, ...] = ()

    def frame(self, run: WatchedRun, ghost: Record | None) -> None:
        """Bring the picture up to the latest step and show it."""
        with project_style():
            if self._outgrown(run, ghost):
                self._redraw(run, ghost)
            self.canvas.restore()
            if new := run.decisions[self._painted :]:
                self._settle(run, new)
            legend = self.axes[0].get_legend()  # on top, or the open window would cover it
            self.canvas.paint([*self._window.moved(run), *filter(None, [legend])])
            self.canvas.show()

    def _redraw(self, run: WatchedRun, ghost: Record | None) -> None:
        """Draw everything that is decided, with room to grow."""
        record = run.settled()
        signal, pvalues, rates = self.axes
        for ax in self.axes:
            _empty(ax)
        plot_signal(record, signal)
        plot_pvalues(record, pvalues)
        plot_learning_rate(record, rates)
        if ghost is not None:
            _lay_under(signal, rates, ghost)
        self._predictions(run)
        self._legend(run)
        other = ghost.losses[:GHOST] if ghost is not None else np.empty(0)
        signal.set_xlim(-0.5, max(ROOM * len(run.losses), len(other), SHORTEST))
        _open_up(signal, np.concatenate([other, run.losses]))
        # Places by hand: measuring all labels to find them would take half of the time.
        signal.set_title(run.settings.task, y=1.02)
        for ax, label in zip(self.axes, ("training loss", "p", "rate η"), strict=True):
            ax.set(xlabel="", ylabel=label)
            ax.yaxis.set_label_coords(-0.062, 0.5)
            ax.minorticks_off()
        rates.set_xlabel("training step")
        self.canvas.draw()
        self._window = LiveWindow(self.axes, dense=len(record.losses) > DENSE)
        self._painted, self._from = len(run.decisions), run.judged
        self._shown = (run, ghost, len(run.predictions))

    def _outgrown(self, run: WatchedRun, ghost: Record | None) -> bool:
        if self._shown != (run, ghost, len(run.predictions)):
            return True
        signal, pvalues, rates = self.axes
        decisions = run.decisions
        fresh = np.array(run.losses[self._from :])
        fresh = fresh[np.isfinite(fresh)]
        low, high = signal.get_ylim()
        return bool(
            len(run.losses) > signal.get_xlim()[1]
            or (fresh.size and not low <= fresh.min() <= fresh.max() <= high)
            or (signal.get_yscale() == "linear" and fresh.size and fresh.min() < high / 29)
            or run.tuner.lr < rates.get_ylim()[0]
            or any(d.pvalue < pvalues.get_ylim()[0] for d in decisions[self._painted :])
            or _verdicts(decisions) != _verdicts(decisions[: self._painted])
        )

    def _settle(self, run: WatchedRun, new: Sequence[Decision]) -> None:
        """Paint what has been decided, and keep it."""
        signal, pvalues, rates = self.axes
        artists = shade_windows(signal, new)
        losses, begin = finite(run, self._from, run.judged)
        artists += draw_losses(signal, losses, begin, dense=self._window.dense)
        if len(run.decisions) <= MOST_FITS:
            for decision in (d for d in new if d.verdict != "undecided"):
                artists += draw_fits(signal, decision.test, decision.start)
        artists += mark_pvalues(pvalues, [d for d in new if d.test is not None])
        edges = [self._from, *(d.step + 1 for d in new)]
        levels = [new[0].lr_before, *(d.lr_after for d in new)]
        artists += rates.step(
            edges, levels, where="post", color=COLORS["rate"], linewidth=2.5
        )  # fmt: skip
        self.canvas.paint(artists)
        self.canvas.settle()
        for artist in artists:
            artist.remove()
        self._painted, self._from = len(run.decisions), run.judged

    def _predictions(self, run: WatchedRun) -> None:
        signal = self.axes[0]
        for k, (start, curve) in enumerate(run.predictions):
            last = k + 1 == len(run.predictions)
            length = len(curve) if last else run.predictions[k + 1][0] - start
            label = "predicted" if last else None
            shown = np.where(curve[:length] < 1e6 * curve[0], curve[:length], np.nan)
            steps = start + np.arange(len(shown))
            signal.plot(steps, shown, color=COLORS["theory"], lw=2.2, zorder=4, label=label)

    def _legend(self, run: WatchedRun) -> None:
        """Name the fits of the window that is filling too, and what was predicted."""
        signal = self.axes[0]
        drawn = signal.get_legend()
        handles = list(drawn.legend_handles) if drawn is not None else []
        named = {handle.get_label() for handle in handles if handle is not None}
        for color, label in (("exponential", "exponential fit"), ("line", "straight-line fit")):
            if label not in named:
                handles.append(Line2D([], [], color=COLORS[color], label=label))
        if run.predictions:
            handles.append(signal.lines[-1])
        legend = signal.legend(handles=handles, loc="upper right", ncols=2)
        legend.set_frame_on(True)  # readable where a curve runs behind it
        legend.get_frame().set(facecolor="white", edgecolor="none", alpha=1.0)


def _verdicts(decisions: Sequence[Decision]) -> set[tuple[str, str]]:
    """What the legend must name."""
    return {(decision.kind, decision.verdict) for decision in decisions}


def _empty(ax: Axes) -> None:
    """Remove what was drawn; unlike ``clear`` keep the ticks, which take longest to make."""
    for artist in [*ax.lines, *ax.collections, *ax.patches, *ax.texts]:
        artist.remove()
    if (legend := ax.get_legend()) is not None:
        legend.remove()
    ax.set_yscale("linear")


def _open_up(ax: Axes, losses: np.ndarray) -> None:
    """Leave room for what is to come: below for a decay, above for noise."""
    finite = losses[np.isfinite(losses) & (losses > 0)]
    if not finite.size:
        ax.set_ylim(0, 1)
    elif finite.max() > 20 * finite.min():
        ax.set_yscale("log")
        ax.set_ylim(finite.min() / 3, finite.max() * 2)
    else:
        ax.set_ylim(0, 1.4 * finite.max())


def _lay_under(signal: Axes, rates: Axes, ghost: Record) -> None:
    behind: dict[str, Any] = {"color": COLORS["muted"], "zorder": 1}
    signal.plot(ghost.losses, lw=0.8, alpha=0.6, **behind)
    rates.plot(ghost.lrs, lw=2, ls="--", alpha=0.8, **behind)
    shown = ghost.lrs[:GHOST]
    low, high = rates.get_ylim()
    rates.set_ylim(min(low, shown.min() / 1.5), max(high, 1.5 * shown.max()))
