"""When the tangent is the curve: a real network over its linearization, at the width you choose."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from exptest.plots.linearized import plot_prediction
from exptest.plots.network import plot_movement, plot_spectra
from exptest.widgets.controls import choice, counter, slider, stops
from exptest.widgets.explorer import Explorer
from exptest.widgets.network_race import ACTIVATIONS, EXAMPLES, Race

WIDTHS = tuple(2**k for k in range(2, 11))
# The axes' least ranges: what leaves them widens them by whole decades.
LOSSES, EIGENVALUES, MOVED = (1e-4, 1e1), (1e-5, 1e1), (1e-3, 1e1)
HIGHEST = 1e3


class Races(NamedTuple):
    """The race of the present width, and those known of the other widths."""

    here: Race
    known: dict[int, Race]


class NetworkExplorer(Explorer):
    """Forty handwritten 3s and 5s, one hidden layer, trained by gradient descent.

    Left: the network's loss over its linearization's. Middle: the kernel's eigenvalues before and
    after. Right: how far kernel and weights moved, at this width and, a moment later, at all.

    Claims C1.1, C1.4 and C3.8.
    """

    title = "The network and its tangent"
    size = (1080, 430)

    width = stops(64, WIDTHS, "hidden units")
    multiple = slider(0.5, 0.1, 2.5, "η as part of critical", step=0.05)
    steps = counter(100, 20, 200, "steps", step=10)
    activation = choice("tanh", tuple(ACTIVATIONS), "activation")
    seed = counter(0, 0, 20, "seed of weights")

    margins: ClassVar[dict[str, float]] = Explorer.margins | {
        "left": 0.07, "right": 0.985, "bottom": 0.14, "top": 0.91, "wspace": 0.34,
    }  # fmt: skip

    def __init__(self, **state: Any) -> None:
        self._drawn: tuple[Any, ...] = ()
        self._of: tuple[Any, ...] = ()
        self._known: dict[int, Race] = {}
        super().__init__(**state)

    def compute(self) -> Races:
        """Race at this width; of the other widths take what is known."""
        here = self._race(self.width)
        return Races(here, dict(self._known))

    def draw(self, result: Races) -> None:
        """Loss curves, spectra, distances."""
        here, known = result
        losses, spectra, moved = self.canvas.figure.subplots(1, 3)
        plot_prediction(here.losses, np.minimum(here.predicted, 1e30), losses)
        losses.legend(["network", "linearization"], loc="lower left")
        losses.set(title="Loss", ylabel="", xlabel="step", xlim=(0, len(here.predicted) - 1))
        losses.set_ylim(_around(LOSSES, here.losses))
        plot_spectra(here.before, here.after, here.lr, spectra)
        spectra.set(title="Kernel's spectrum", ylabel="", xlim=(0, EXAMPLES + 1))
        spectra.set_ylim(EIGENVALUES)
        widths = sorted(known)
        kernel, weights = (
            np.array([getattr(known[m], name) for m in widths])
            for name in ("kernel_moved", "weights_moved")
        )
        plot_movement(np.array(widths, float), kernel, weights, here.width, moved)
        moved.set(title="Relative distance moved", ylabel="", xlim=(3, 1400), xticks=WIDTHS[::2])
        moved.set_xticklabels([str(m) for m in WIDTHS[::2]])
        moved.set_ylim(MOVED)
        for ax in (losses, spectra, moved):
            ax.minorticks_off()

    def explain(self, result: Races) -> str:
        """Return how the network fared against its linearization."""
        return result.here.summary()

    def _work(self) -> bool:
        """Draw this width first; then, one at a time, the widths that are missing; then all."""
        settings = tuple(getattr(self, name) for name in self.controls)
        if settings != self._drawn:
            super()._work()
            self._drawn = settings
            return True
        missing = [m for m in WIDTHS if m not in self._known]
        for width in missing[:1]:
            self._race(width)
        if len(missing) == 1:
            super()._work()
        return len(missing) > 1

    def _race(self, width: int) -> Race:
        others = (self.multiple, self.steps, self.activation, self.seed)
        if others != self._of:
            self._of, self._known = others, {}
        if width not in self._known:
            self._known[width] = Race.run(width, *others)
        return self._known[width]


def _around(least: tuple[float, float], values: np.ndarray) -> tuple[float, float]:
    """Widen ``least`` to whole decades that hold the values."""
    low, high = np.log10(np.clip([values.min(), values.max()], 1e-9, HIGHEST))
    return min(least[0], 10 ** np.floor(low)), max(least[1], 10 ** np.ceil(high))
