"""Is it a decay? One window, two tests, and how often each would be right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import traitlets
from matplotlib.axes import Axes

from exptest.plots.decay_test import (
    CALIBRATED,
    PAPER,
    plot_claims,
    plot_rivals,
    plot_tail,
)
from exptest.plots.legend import TITLE_PAD
from exptest.plots.style import COLORS
from exptest.widgets.controls import choice, counter, log_slider, slider, stops
from exptest.widgets.decay_test_claims import AMPLITUDES, FEW, MANY, Claims, Rates
from exptest.widgets.decay_test_null import LARGEST, Null, null_of
from exptest.widgets.decay_test_trial import CURVED, SHAPES, Setting, Trial
from exptest.widgets.explorer import Explorer
from exptest.widgets.wording import percent

# Room for the noise above and below the curve, and amplitudes for which the axis is made.
NOISE, AXES_OF = 3.6, (2.0, 5.0, 10.0)
TITLES = {"decay": "Power: decays found", "power law": "Power laws called decay"}


class Judged(NamedTuple):
    """One window, the null distributions of its two tests, and how often each claims a decay."""

    trial: Trial
    nulls: dict[str, Null | None]
    rates: Rates | None


class DecayTestExplorer(Explorer):
    """A window of losses before the calibrated test and the paper's.

    Left: losses and fits. Middle: each F on the null distribution from which its p-value is
    read. Right, a moment later: how often each test claims a decay on such windows, by
    simulation: 40 windows an amplitude at first, then 200.

    Claims C5.4, C5.6, C5.7 and C5.12.
    """

    title = "Testing for exponential decay"
    size = (1080, 470)

    shape = choice("decay", tuple(SHAPES), "shape of the truth")
    efolds = log_slider(5.0, 0.5, 50.0, "e-folds k in window")
    amplitude = slider(3.0, 0.0, 10.0, "amplitude a/σ", step=0.1, form=".1f")
    correlation = slider(0.0, 0.0, 0.95, "correlation φ")
    n = counter(50, 8, 400, "window length n")
    alpha = stops(0.05, (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2), "level α")
    seed = counter(0, 0, 50, "seed of the noise")

    margins: ClassVar[dict[str, float]] = {
        "left": 0.058, "right": 0.98, "bottom": 0.125, "top": 0.83, "wspace": 0.27, "hspace": 0.4,
    }  # fmt: skip

    def __init__(self, **state: Any) -> None:
        self._drawn: tuple[Any, ...] = ()
        self._claims = Claims(Setting("flat", 1.0, 0.0, 0.0, 8))
        self._left_behind: Rates | None = None
        super().__init__(**state)
        shape = (self, "shape")
        traitlets.dlink(shape, (self.controls["efolds"], "disabled"), lambda s: s not in CURVED)
        traitlets.dlink(shape, (self.controls["amplitude"], "disabled"), lambda s: s == "flat")

    def compute(self) -> Judged:
        """Test the window; of the rates take what is known."""
        setting = Setting(self.shape, self.efolds, self.amplitude, self.correlation, self.n)
        trial = Trial(setting, self.seed, self.alpha)
        nulls = {m: null_of(trial.losses, result) for m, result in trial.results.items()}
        return Judged(trial, nulls, self._claims_of(setting).rates(self.amplitude, self.alpha))

    def draw(self, result: Judged) -> None:
        """The window, the two null distributions, the rates."""
        figure = self.canvas.figure
        grid = figure.add_gridspec(2, 3, width_ratios=(1.1, 1, 1))
        trial = result.trial
        results = trial.results["calibrated"], trial.results["paper"]
        window = plot_rivals(trial.losses, *results, figure.add_subplot(grid[:, 0]))
        last = trial.setting.n - 1
        window.set(ylabel="loss / σ", xlim=(-0.03 * last, 1.03 * last))
        window.set_ylim(_room(trial.setting))
        calibrated, paper = (figure.add_subplot(grid[k, 1]) for k in (0, 1))
        _draw_null(result, "calibrated", CALIBRATED, calibrated)
        _draw_null(result, "paper", PAPER, paper)
        calibrated.tick_params(labelbottom=False)
        calibrated.annotate(
            "F where nothing decays", (0, 1), xycoords="axes fraction", xytext=(0, TITLE_PAD),
            textcoords="offset points", fontsize=13, fontweight="bold",
        )  # fmt: skip
        paper.set_xlabel("F")
        self._draw_rates(result, figure.add_subplot(grid[:, 2]))

    def explain(self, result: Judged) -> str:
        """Return both verdicts, and how often they come on such windows."""
        rates, setting = result.rates, result.trial.setting
        shares = None if rates is None else rates.at(setting.amplitude)
        if rates is None or shares is None:
            return f"{result.trial}."
        claims = "claims" if setting.bends else "wrongly claims"
        return (
            f"{result.trial}; of {rates.windows} such windows the calibrated test {claims} a decay "
            f"in {percent(shares[0])}, the paper's in {percent(shares[1])}."
        )

    def _draw_rates(self, result: Judged, ax: Axes) -> None:
        setting, rates = result.trial.setting, result.rates
        ax.axvline(setting.amplitude, color=COLORS["muted"], linewidth=7, alpha=0.25)
        ax.axhline(result.trial.alpha, color=COLORS["ink"], linestyle=":", linewidth=1.4)
        ax.annotate(
            "α", (1, result.trial.alpha), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
        if shown := rates or self._left_behind:
            plot_claims(*shown[:4], ax, faded=rates is None)
        if rates is None:
            ax.text(
                0.5, 0.5, "simulating …", transform=ax.transAxes, ha="center", color=COLORS["ink"]
            )
        self._left_behind = shown
        title = TITLES.get(setting.shape, "Size: false claims")
        ax.set_title(title, y=1.0, pad=TITLE_PAD)
        ax.set(xlabel="amplitude a/σ", ylabel="share of windows")
        ax.set(xlim=(-0.3, AMPLITUDES[-1] + 0.3), xticks=range(0, 11, 2), ylim=(-0.02, 1.02))

    # -- the rates come later ----------------------------------------------------------------

    def _work(self) -> bool:
        """Draw the window first; then simulate a slice at a time, and draw the rates twice."""
        settings = tuple(getattr(self, name) for name in self.controls)
        if settings != self._drawn:
            super()._work()
            self._drawn = settings
            return True
        before = self._claims.windows(self.amplitude)
        if before < MANY:
            self._claims.refine(self.amplitude)
        now = self._claims.windows(self.amplitude)
        if before < FEW <= now or before < MANY <= now:
            super()._work()
        return now < MANY

    def _claims_of(self, setting: Setting) -> Claims:
        """Return what was simulated, afresh if anything but the amplitude is another."""
        if replace(setting, amplitude=0.0) != self._claims.setting:
            self._claims = Claims(replace(setting, amplitude=0.0))
        return self._claims


def _draw_null(result: Judged, method: str, color: str, ax: Axes) -> None:
    """The null distribution with the verdict as its title, or why there is none."""
    trial, null = result.trial, result.nulls[method]
    tested = trial.results[method]
    if null is not None and not tested.note:
        critical = null.critical(trial.alpha)
        plot_tail(null.statistics, null.density, tested.statistic, critical, color, ax)
    else:
        ax.text(
            0.5,
            0.5,
            tested.note.replace(" better ", " better\n"),
            transform=ax.transAxes,
            ha="center",
            va="center",
            color=COLORS["muted"],
        )
        ax.set(xlim=(0, LARGEST), yticks=[])
    ax.set_title(
        f"{method.capitalize()}: {trial.verdict(method)}", color=color, fontsize=11.5, y=1.0
    )


def _room(setting: Setting) -> tuple[float, float]:
    """Return limits of the losses that seldom change while the amplitude is moved."""
    high = next(a for a in AXES_OF if setting.amplitude <= a)
    low, high = {"flat": (0.0, 0.0), "growth": (-high, 0.0)}.get(setting.shape, (0.0, high))
    return low - NOISE, high + NOISE
