"""How often both tests claim a decay: power where there is one, size where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from statsmodels.stats.proportion import proportion_confint

from exptest.statistics.calibration import pvalues
from exptest.widgets.decay_test_trial import METHODS, Setting

AMPLITUDES = (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
# Windows per amplitude: few for the first curve, then more.
FEW, MANY = 40, 200
# Windows that are tested at once, at up to 4 ms each, before a new setting is looked for.
SLICE = 10
# Of the simulated windows; no window that is shown has it.
SEED = 1000


class Rates(NamedTuple):
    """Share of windows on which each method claims a decay.

    Attributes:
        amplitudes: a/σ, ascending.
        shares: one row per method, in the order of ``METHODS``.
        low, high: 95 % Wilson interval of the shares.
        windows: simulated per amplitude.
    """

    amplitudes: Float[np.ndarray, " m"]
    shares: Float[np.ndarray, "2 m"]
    low: Float[np.ndarray, "2 m"]
    high: Float[np.ndarray, "2 m"]
    windows: int

    def at(self, amplitude: float) -> Float[np.ndarray, " methods"] | None:
        """Return both shares at one of the amplitudes, None at any other."""
        found = np.flatnonzero(self.amplitudes == amplitude)
        return self.shares[:, found[0]] if found.size else None


class Claims:
    """Simulated windows at several amplitudes, all else as in ``setting``, a slice at a time."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._found: dict[float, Float[np.ndarray, "2 r"]] = {}

    def windows(self, *amplitudes: float) -> int:
        """How many windows were tested at each of these amplitudes and of ``AMPLITUDES``."""
        return min(self._tested(a) for a in self._shown(*amplitudes))

    def refine(self, amplitude: float) -> None:
        """Test one more slice, where the fewest windows were tested."""
        a = min(self._shown(amplitude), key=self._tested)
        done = self._tested(a)
        target = FEW if done < FEW else MANY
        stop = min(done + SLICE, target)
        windows = replace(self.setting, amplitude=a).windows(MANY, SEED)[done:stop]
        found = np.stack([pvalues("exponential", windows, method=m) for m in METHODS])
        known = self._found.get(a, np.empty((2, 0)))
        self._found[a] = np.concatenate([known, found], axis=1)

    def rates(self, amplitude: float, alpha: float) -> Rates | None:
        """Return the shares at level α, over the first ``FEW`` or ``MANY``; None if too early.

        The present amplitude is among them once it has as many windows.
        """
        tested = self.windows()
        if tested < FEW:
            return None
        counted = MANY if tested >= MANY else FEW
        here = {amplitude} if self._tested(self._key(amplitude)) >= counted else set()
        amplitudes = sorted(here.union(AMPLITUDES))
        claimed = np.array(
            [(self._found[self._key(a)][:, :counted] < alpha).sum(axis=1) for a in amplitudes]
        ).T
        low, high = proportion_confint(claimed, counted, method="wilson")
        return Rates(np.array(amplitudes), claimed / counted, low, high, counted)

    def _shown(self, *amplitudes: float) -> list[float]:
        """The amplitudes that differ, the present one first."""
        return list(dict.fromkeys(self._key(a) for a in (*amplitudes, *AMPLITUDES)))

    def _key(self, amplitude: float) -> float:
        return 0.0 if self.setting.shape == "flat" else amplitude

    def _tested(self, amplitude: float) -> int:
        return self._found[amplitude].shape[1] if amplitude in self._found else 0
