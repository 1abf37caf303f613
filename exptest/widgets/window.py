"""How long to watch: move the rate of decay, and see where the knee can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from exptest.plots.window import plot_knee, plot_watched
from exptest.statistics import knee_time, window_length
from exptest.widgets.controls import counter, log_slider, slider
from exptest.widgets.explorer import Explorer
from exptest.widgets.wording import percent

POINTS = 400
MOST_STEPS = 4000


@dataclass(frozen=True)
class Watched:
    """What the rule says about one decay.

    Attributes:
        times, curve: L₀e^{−bτ} in gradient-flow time.
        knee: time of its knee, 0 if it bends from the start.
        latest, length: the latest knee of any rate, and the window, in the same time.
        window, stretched: the window in steps, and times the path ratio.
        losses: a noisy run, one loss per step; of a long window its first ``MOST_STEPS``.
    """

    times: Float[np.ndarray, " t"]
    curve: Float[np.ndarray, " t"]
    knee: float
    latest: float
    length: float
    window: int
    stretched: int
    losses: Float[np.ndarray, " n"]


class WindowExplorer(Explorer):
    """The knee of L₀e^{−bτ}, its latest position over all b, and the window that holds it.

    Claims C4.1 to C4.3.
    """

    title = "How long to watch"
    size = (960, 430)
    margins: ClassVar[dict[str, float]] = Explorer.margins | {"bottom": 0.13, "top": 0.84}

    initial_loss = log_slider(2.3, 0.1, 20.0, "initial loss L₀")
    lr = log_slider(0.05, 0.001, 1.0, "learning rate η")
    rate = log_slider(1.0, 0.02, 50.0, "decay rate b")
    noise = slider(0.1, 0.0, 1.0, "batch noise σ / L₀")
    path_ratio = slider(1.5, 1.0, 6.0, "path ratio ρ", step=0.1)
    seed = counter(0, 0, 50, "seed")

    def compute(self) -> Watched:
        """Apply the rule and simulate what is seen."""
        L0, η, b = self.initial_loss, self.lr, self.rate
        length = 2 * math.sqrt(2) * L0 / math.e
        window = window_length(L0, η)
        stretched = round(self.path_ratio * window)
        steps = np.arange(min(max(round(1.15 * stretched), 10), MOST_STEPS))
        noise = self.noise * L0 * np.random.default_rng(self.seed).standard_normal(len(steps))
        times = np.linspace(0, 1.25 * length, POINTS)
        return Watched(
            times=times,
            curve=L0 * np.exp(-b * times),
            knee=max(float(knee_time(L0, b)), 0.0),
            latest=length / 2,
            length=length,
            window=window,
            stretched=stretched,
            losses=L0 * np.exp(-b * η * steps) + noise,
        )

    def draw(self, result: Watched) -> None:
        """The curve in time on the left, the run in steps on the right."""
        left, right = self.canvas.figure.subplots(1, 2)
        L0, b, η = self.initial_loss, self.rate, self.lr
        knee = (result.knee, L0 * math.exp(-b * result.knee)) if result.knee > 0 else None
        # The rate with the latest knee has b · (latest knee) = 1.
        plot_knee(
            result.times, result.curve, knee, (result.latest, L0 / math.e), result.length, left
        )
        left.set(xlim=(0, result.times[-1]), ylim=(0, 1.08 * L0))
        cut = len(result.losses) == MOST_STEPS
        plot_watched(
            result.losses, result.knee / η if knee else None, result.window, result.stretched,
            right, title=f"What is seen, {f'first {MOST_STEPS}' if cut else 'in'} steps",
        )  # fmt: skip
        right.set_xlim(-0.5, len(result.losses) - 0.5)

    def explain(self, result: Watched) -> str:
        """Return the window, the knee, and whether one holds the other."""
        watch = f"L₀ = {self.initial_loss:.3g} and η = {self.lr:.3g} ask for {result.window} losses"
        if result.stretched > result.window:
            watch += f", {result.stretched} with the path ratio {self.path_ratio:.1f}"
        if result.window < 3:
            watch += ", too few for any test (the tuner waits for more)"
        if result.knee <= 0:
            return f"{watch}. This decay is too slow to have a knee: it bends most at the start."
        step = result.knee / self.lr
        share = result.knee / result.length
        return f"{watch}. The knee is at step {step:.0f}, {percent(share)} into the window."
