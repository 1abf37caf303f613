"""What was decided and why: small frozen objects that explain themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from exptest._words import plural
from exptest.statistics import ExponentialTestResult, SlopeTestResult, TrendResult

if TYPE_CHECKING:
    import pandas as pd

Kind: TypeAlias = Literal["exponential", "slope", "divergence"]
Verdict: TypeAlias = Literal["keep", "shrink", "undecided"]
TestResult: TypeAlias = ExponentialTestResult | SlopeTestResult
CAUSES: dict[tuple[Kind, Verdict], str] = {
    ("exponential", "keep"): "decay exponentially",
    ("exponential", "shrink"): "show no exponential decay",
    ("exponential", "undecided"): "are too few to tell an exponential decay",
    ("slope", "keep"): "are still decreasing",
    ("slope", "shrink"): "are no longer decreasing",
    ("slope", "undecided"): "are too few to tell whether they decrease",
}


@dataclass(frozen=True)
class Decision:
    """One verdict of the tuner; ``print`` it to read why.

    Attributes:
        step: index of the last loss that the decision used, in steps from 0.
        kind: ``"exponential"`` (search), ``"slope"`` (tuning) or ``"divergence"``.
        verdict: ``"keep"``, ``"shrink"``, or ``"undecided"``: the window grows, nothing changes.
        test: asks whether the rate works; None for a divergence.
        lr_before, lr_after: the rate before and after.
        window: number of losses that the decision used, in steps.
        path_ratio: ρ by which the window was lengthened, 1 if it was not.
        loss: the last of those losses.
        alpha: level of ``test`` at this look.
        phase: ``"search"`` or ``"tune"``, before the decision.
        skipped: non-finite losses that came in between and fill no place.
        trend: asks whether a decline worth having can be excluded; None in paper mode.
        seen: losses of the window that earlier, undecided looks had seen, skipped ones included.
    """

    step: int
    kind: Kind
    verdict: Verdict
    test: TestResult | None
    lr_before: float
    lr_after: float
    window: int
    path_ratio: float
    loss: float
    alpha: float
    phase: str
    skipped: int = 0
    trend: TrendResult | None = None
    seen: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the rate was tested and kept."""
        return self.verdict == "keep"

    @property
    def rejected(self) -> bool:
        """Whether the rate must shrink."""
        return self.verdict == "shrink"

    @property
    def start(self) -> int:
        """Index of the first loss that the decision used."""
        return self.step - self.window - self.skipped + 1

    @property
    def pvalue(self) -> float:
        """p-value of the test; nan for a divergence."""
        return self.test.pvalue if self.test is not None else math.nan

    @property
    def restarts(self) -> bool:
        """Whether training goes back to where it began (the search rejected this rate)."""
        return self.phase == "search" and self.rejected

    @property
    def reason(self) -> str:
        """One plain sentence with the numbers in it."""
        if self.verdict == "undecided":
            change = f"η = {self.lr_before:.4g} is watched on until {2 * self.window} losses"
        elif self.accepted:
            change = f"keep η = {self.lr_before:.4g}"
        elif self.lr_after == self.lr_before:
            change = f"η stays at {self.lr_before:.4g}, the smallest allowed"
        else:
            change = f"η {self.lr_before:.4g} → {self.lr_after:.4g}"
        return f"step {self.step}: {change}, because {self._cause()}."

    def _cause(self) -> str:
        if self.test is None:
            if math.isfinite(self.loss):
                return f"the loss exploded to {self.loss:.4g}"
            return f"the loss is {self.loss}"
        found = CAUSES[self.kind, self.verdict]
        text = f"the last {self.window} losses {found} ({self._evidence(self.test)})"
        return text if self.accepted or self.trend is None else f"{text}{self.trend.bound}"

    def _evidence(self, test: TestResult) -> str:
        if test.note:
            return test.note
        name, sign = "F" if self.kind == "exponential" else "t", "<" if self.accepted else "≥"
        return f"{name} = {test.statistic:.3g}, p = {test.pvalue:.2g} {sign} {self.alpha:.2g}"

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Record:
    """All losses of a run and all decisions taken on them.

    Attributes:
        losses: loss of every step, shape (steps,), loss units.
        decisions: in the order taken.
        max_lr, alpha, beta, method: the tuner's settings.
        factors: of a schedule, shape (steps,): what each step's η was multiplied by; None: 1.
        window: losses that the window open now will hold, at least; None without L₀.
        initial_loss: L₀, height of the first loss over the floor, loss units.
        skipped: non-finite losses that were left out and rejected nothing.
    """

    losses: Float[np.ndarray, " steps"]
    decisions: tuple[Decision, ...]
    max_lr: float
    alpha: float
    beta: float
    method: str
    factors: Float[np.ndarray, " steps"] | None = None
    window: int | None = None
    initial_loss: float | None = None
    skipped: int = 0

    @property
    def lr(self) -> float:
        """The rate after the last decision."""
        return self.decisions[-1].lr_after if self.decisions else self.max_lr

    @property
    def lrs(self) -> Float[np.ndarray, " steps"]:
        """The rate used at every step, shape (steps,)."""
        rates = np.full(len(self.losses), self.max_lr)
        for decision in self.decisions:
            rates[decision.step + 1 :] = decision.lr_after
        return rates if self.factors is None else rates * self.factors

    @property
    def found(self) -> Decision | None:
        """The decision that ended the search by accepting a rate, if there was one."""
        return next((d for d in self.decisions if d.kind == "exponential" and d.accepted), None)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per decision."""
        import pandas as pd

        columns = {
            "step": [d.step for d in self.decisions],
            "phase": [d.phase for d in self.decisions],
            "test": [d.kind for d in self.decisions],
            "window": [d.window for d in self.decisions],
            "path_ratio": [d.path_ratio for d in self.decisions],
            "statistic": [d.test.statistic if d.test else math.nan for d in self.decisions],
            "pvalue": [d.pvalue for d in self.decisions],
            "verdict": [d.verdict for d in self.decisions],
            "lr_before": [d.lr_before for d in self.decisions],
            "lr_after": [d.lr_after for d in self.decisions],
            "reason": [d.reason for d in self.decisions],
        }
        return pd.DataFrame(columns)

    @property
    def undecided(self) -> str:
        """Why there is no decision; empty if there is one."""
        n = len(self.losses)
        if self.decisions:
            return ""
        if self.window is None or self.initial_loss is None:
            return (
                f"no decision: none of the {n} losses is finite and above the floor, so there is "
                "no L₀ and no window; pass the loss of every step"
            )
        return (
            f"no decision: the first window holds {self.window} losses (L₀ = "
            f"{self.initial_loss:.4g}, η = {self.max_lr:.4g}) and {n - self.skipped} have come; "
            "raise max_lr, raise loss_floor if the loss has a constant part, or pass the loss of "
            "every step"
        )

    def table(self) -> str:
        """Return one short line per decision, for a terminal; a sentence if there is none."""
        if not self.decisions:
            return self.undecided
        rows = self.to_frame()
        rows["pvalue"] = rows["pvalue"].map("{:.2g}".format)
        columns = {"pvalue": "p", "lr_before": "η", "lr_after": "η after"}
        shown = rows.rename(columns=columns)[
            ["step", "phase", "test", "window", "p", "verdict", "η", "η after"]
        ]
        return shown.to_string(index=False, float_format="{:.4g}".format)

    def summary(self) -> str:
        """Return the settings, the outcome and every decision in words."""
        rejected = sum(d.rejected for d in self.decisions)
        undecided = sum(d.verdict == "undecided" for d in self.decisions)
        head = (
            f"ExpTest ({self.method}, α = {self.alpha:g}, β = {self.beta:g}): "
            f"{plural(len(self.losses), 'step')}, {plural(len(self.decisions), 'decision')}, "
            f"{rejected} rejected{f', {undecided} undecided' if undecided else ''}; "
            f"η {self.max_lr:.4g} → {self.lr:.4g}"
        )
        if self.skipped:
            head += f"; {plural(self.skipped, 'non-finite loss')} skipped"
        lines = [d.reason for d in self.decisions] or [self.undecided]
        return "\n".join([head, *(f"  {line}" for line in lines)])

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        head = self.summary().split("\n", 1)[0]
        table = self.to_frame()[["step", "test", "window", "pvalue", "lr_after", "reason"]]
        return f"<p>{head}</p>" + table.to_html(index=False, float_format="{:.4g}".format)
