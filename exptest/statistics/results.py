"""What the tests return: small frozen objects that explain themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exptest import _checks
from exptest.statistics.fits import ExponentialFit, LineFit
from exptest.statistics.noise import Noise
from exptest.statistics.tables import Rows, html_table, text_table


@dataclass(frozen=True)
class ExponentialTestResult:
    """Verdict on "these losses decay exponentially" against "they follow a straight line".

    Attributes:
        statistic: F; nan where it could not be computed.
        pvalue: small: decay; 1 where the question could not be asked.
        df: degrees of freedom (1, those of the noise).
        method: ``"calibrated"`` or ``"paper"``.
        n: number of losses.
        line: the straight-line fit.
        exponential: the best decay; None when the fit failed or no decay fits.
        noise: correlation, information and sizes of the noise; None where not estimated.
        note: why no decay can be claimed; empty otherwise.
        remark: what else was done to the losses; empty if nothing.
    """

    statistic: float
    pvalue: float
    df: tuple[float, float]
    method: str
    n: int
    line: LineFit
    exponential: ExponentialFit | None
    noise: Noise | None = None
    note: str = ""
    remark: str = ""

    def reject(self, alpha: float = 0.05) -> bool:
        """Return whether the straight line is rejected: the losses decay exponentially."""
        return self.pvalue < _checks.open_unit("alpha", alpha, 0.05)

    @property
    def sentence(self) -> str:
        """The verdict at the 5 % level, with the numbers in it."""
        if self.note:
            return f"No decay is claimed on these {self.n} losses: {self.note}."
        found = "decay exponentially" if self.reject() else "show no exponential decay"
        text = f"The {self.n} losses {found}: F = {self.statistic:.3g}, p = {self.pvalue:.2g}"
        if self.reject() and self.exponential is not None:
            text += (
                f", rate {self.exponential.rate:.3g} per step, floor {self.exponential.floor:.3g}"
            )
        return text + "." + (f" {self.remark}" if self.remark else "")

    def _rows(self) -> Rows:
        fit = self.exponential
        return [
            ("method", self.method),
            ("losses", f"{self.n}"),
            ("F", f"{self.statistic:.4g}"),
            ("degrees of freedom", f"{self.df[0]:g}, {self.df[1]:.4g}"),
            ("p-value", f"{self.pvalue:.4g}"),
            *noise_rows(self.noise),
            ("SSE, line", f"{self.line.sse:.4g}"),
            ("SSE, exponential", f"{fit.sse:.4g}" if fit else "no fit"),
            ("amplitude", f"{fit.amplitude:.4g}" if fit else "no fit"),
            ("rate per step", f"{fit.rate:.4g}" if fit else "no fit"),
            ("floor", f"{fit.floor:.4g}" if fit else "no fit"),
        ]

    def summary(self) -> str:
        """Return a table of every number and the verdict in one sentence."""
        return text_table("Exponential decay against a straight line", self._rows(), self.sentence)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return html_table("Exponential decay against a straight line", self._rows(), self.sentence)


@dataclass(frozen=True)
class SlopeTestResult:
    """Verdict on "these losses are still decreasing".

    Attributes:
        statistic: t = slope / standard error; nan where it could not be computed.
        pvalue: small: decreasing; 1 where the question could not be asked.
        df: degrees of freedom of the noise.
        method: ``"calibrated"`` or ``"paper"``.
        n: number of losses.
        line: the straight-line fit.
        noise: correlation, information and sizes of the noise; None where not estimated.
        note: why no decrease can be claimed; empty otherwise.
        remark: where the noise was estimated; empty if around the line.
        error: standard error of the slope, loss units per step; nan where it is unknown.
    """

    statistic: float
    pvalue: float
    df: float
    method: str
    n: int
    line: LineFit
    noise: Noise | None = None
    note: str = ""
    remark: str = ""
    error: float = math.nan

    def reject(self, alpha: float = 0.05) -> bool:
        """Return whether "not decreasing" is rejected: the losses are still going down."""
        return self.pvalue < _checks.open_unit("alpha", alpha, 0.05)

    @property
    def sentence(self) -> str:
        """The verdict at the 5 % level, with the numbers in it."""
        if self.note:
            return f"No decrease is claimed on these {self.n} losses: {self.note}."
        found = "are still decreasing" if self.reject() else "are not decreasing"
        return (
            f"The {self.n} losses {found}: slope {self.line.slope:.3g} per step, "
            f"t = {self.statistic:.3g}, p = {self.pvalue:.2g}."
        ) + (f" {self.remark}" if self.remark else "")

    def _rows(self) -> Rows:
        return [
            ("method", self.method),
            ("losses", f"{self.n}"),
            ("slope per step", f"{self.line.slope:.4g}"),
            ("t", f"{self.statistic:.4g}"),
            ("degrees of freedom", f"{self.df:.4g}"),
            ("p-value", f"{self.pvalue:.4g}"),
            *noise_rows(self.noise),
        ]

    def summary(self) -> str:
        """Return a table of every number and the verdict in one sentence."""
        return text_table("Is the loss still decreasing?", self._rows(), self.sentence)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return html_table("Is the loss still decreasing?", self._rows(), self.sentence)


@dataclass(frozen=True)
class PairedTestResult:
    """Verdict on "which of two arms has the lower loss, on the same batches?".

    Attributes:
        verdict: ``"first"`` or ``"second"``, the better arm, or ``"undecided"``.
        difference: mean of second − first, loss units; infinite if one arm broke.
        interval: of the difference, at the look's level on either side; the intervals of all
            looks hold together with probability 1 − 2α or more.
        statistic: t; infinite without noise, nan where it could not be computed.
        pvalue: of the arm ahead, one-sided; 1 where the question could not be asked.
        df: degrees of freedom, n − 1.
        n: number of shared batches that counted.
        looks: the looks taken, in batches.
        alpha: chance that the worse arm is ever named.
        level: of each look, alpha over their number.
        correlation: ρ of the arms' losses; nan if those of one arm are all equal.
        gain: variance of an unpaired difference over that of the paired one, 1/(1 − ρ) for arms
            of equal variance.
        note: why a verdict needs no t, or cannot have one; empty otherwise.
        remark: which batches wait for a later look; empty if none.
    """

    verdict: str
    difference: float
    interval: tuple[float, float]
    statistic: float
    pvalue: float
    df: int
    n: int
    looks: tuple[int, ...]
    alpha: float
    level: float
    correlation: float
    gain: float
    note: str = ""
    remark: str = ""

    @property
    def sentence(self) -> str:
        """The verdict, with the numbers in it."""
        batches = f"{self.n} shared batch{'es' if self.n > 1 else ''}"
        decided = self.verdict != "undecided"
        sign = "<" if decided else "≥"
        numbers = f"t = {self.statistic:.3g}, p = {self.pvalue:.2g} {sign} {self.level:.2g}"
        lower = f"its losses are lower by {abs(self.difference):.3g} on {batches}, "
        if not decided:
            text = f"Undecided on {batches}: {self.note or numbers}."
        elif math.isinf(self.difference):
            text = f"The {self.verdict} arm is better: {self.note or numbers}."
        else:
            text = f"The {self.verdict} arm is better: {lower}{self.note or numbers}."
        return text + (f" {self.remark}" if self.remark else "")

    def _rows(self) -> Rows:
        low, high = self.interval
        return [
            ("verdict", self.verdict),
            ("shared batches", f"{self.n}"),
            ("looks taken", ", ".join(map(str, self.looks)) or "none"),
            ("second − first", f"{self.difference:.4g}"),
            (f"{100 * (1 - 2 * self.level):g} % interval", f"{low:.4g} to {high:.4g}"),
            ("t", f"{self.statistic:.4g}"),
            ("degrees of freedom", f"{self.df}"),
            ("p-value", f"{self.pvalue:.4g}"),
            ("level of the look", f"{self.level:.4g}"),
            ("correlation of the arms", f"{self.correlation:.3g}"),
            ("variance cut by", f"{self.gain:.3g}"),
        ]

    def summary(self) -> str:
        """Return a table of every number and the verdict in one sentence."""
        return text_table("Which arm has the lower loss?", self._rows(), self.sentence)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return html_table("Which arm has the lower loss?", self._rows(), self.sentence)


def noise_rows(noise: Noise | None) -> Rows:
    """Return what was found about the noise, as rows of a table."""
    if noise is None:
        return []
    return [
        ("noise correlation", f"{noise.correlation:.3g}"),
        ("independent losses", f"{noise.information:.4g}"),
        ("noise at the start", f"{noise.sizes[0]:.3g}"),
        ("noise at the end", f"{noise.sizes[-1]:.3g}"),
    ]
