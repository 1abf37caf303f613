"""What a full window is asked, and what follows: keep the rate, shrink it, or watch on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from exptest.record import Kind, TestResult, Verdict
from exptest.statistics import (
    ExponentialTestResult,
    TrendResult,
    exponential_test,
    slope_test,
    trend_test,
)

TUNE: dict[str, Verdict] = {"falling": "keep", "stopped": "shrink", "undecided": "undecided"}


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on.

    Attributes:
        verdict: ``"keep"``, ``"shrink"`` or ``"undecided"``.
        test: asks whether the rate works.
        trend: asks whether a decline worth having can be excluded; None in paper mode.
        alpha: level of ``test``.
    """

    verdict: Verdict
    test: TestResult
    trend: TrendResult | None
    alpha: float

    @property
    def kind(self) -> Kind:
        """Which question ``test`` asks."""
        return "exponential" if isinstance(self.test, ExponentialTestResult) else "slope"


def judge_paper(losses: Float[np.ndarray, " n"], phase: str, alpha: float) -> Judgement:
    """Ask one question: does the loss decay (search), is it still decreasing (tune)?"""
    ask = exponential_test if phase == "search" else slope_test
    test = ask(losses, method="paper")
    return Judgement("keep" if test.reject(alpha) else "shrink", test, None, alpha)


def judge(
    losses: Float[np.ndarray, " n"],
    phase: str,
    horizon: int,
    levels: tuple[float, float],
    period: int,
) -> Judgement:
    """Ask from both sides: keep on evidence, shrink on evidence, else watch on.

    Args:
        losses: shape (n,), loss units, the window so far.
        phase: ``"search"`` or ``"tune"``.
        horizon: steps of a window as planned, for which a decline is worth having or not.
        levels: α, at which a loss is falling (tune): a mistake costs one window. And this look's
            share of it, at which a loss decays exponentially (search) and at which a decline
            worth having is excluded: a mistake lasts.
        period: as for the tests.
    """
    alpha, spent = levels
    trend = trend_test(losses, horizon=horizon, alpha=alpha, stop_alpha=spent, period=period)
    if phase == "tune":
        return Judgement(TUNE[trend.verdict], trend.slope, trend, alpha)
    test = exponential_test(losses, period=period)
    if test.reject(spent):
        return Judgement("keep", test, trend, spent)
    return Judgement("shrink" if trend.excluded else "undecided", test, trend, spent)
