"""Can the test be trusted? Size where nothing decays, power where something does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from joblib import Parallel, delayed
from statsmodels.stats.proportion import proportion_confint
from tqdm.auto import tqdm

from exptest import _checks
from exptest.statistics.exponential import exponential_test
from exptest.statistics.scenarios import NOISES, NULLS, Scenario
from exptest.statistics.slope import slope_test

TESTS: dict[str, Callable[..., Any]] = {"exponential": exponential_test, "slope": slope_test}
EFOLDS, AMPLITUDES = (1, 2, 5, 10, 20, 50), (1, 2, 5, 10)
INDEPENDENT = {"iid", "t3", "shrinking", "growing"}
Test = str | Callable[[Any], Any]


def pvalues(
    test: Test, losses: Float[np.ndarray, "r n"], *, method: str = "calibrated", period: int = 1
) -> Float[np.ndarray, " r"]:
    """Return the p-value of a test on every row.

    Args:
        test: ``"exponential"``, ``"slope"``, or any function from losses to a p-value or to an
            object with ``.pvalue``.
        losses: shape (r, n), one curve a row.
        method, period: of the named tests.

    Raises:
        ValueError, TypeError: ``test`` is neither a known name nor a function.

    >>> pvalues(lambda losses: losses.mean(), np.array([[0.2, 0.4]])).round(6)
    array([0.3])
    """
    results = map(_test(test, method, period), losses)
    return np.array([float(getattr(result, "pvalue", result)) for result in results])


def simulate_null(
    test: Test,
    scenario: Scenario,
    *,
    replications: int = 2000,
    seed: int = 0,
    method: str = "calibrated",
) -> pd.DataFrame:
    """Return statistic and p-value of a test on simulated losses, one row a replication.

    Args:
        test: as in `pvalues`; a function's result needs ``.statistic`` and ``.pvalue``.
        scenario: the truth, its noise and n.
        replications, seed: how many curves, and which.
        method: of the named tests.
    """
    ask = _test(test, method, scenario.period)
    results = [ask(losses) for losses in scenario.simulate(replications, seed)]
    return pd.DataFrame(
        {
            "statistic": [result.statistic for result in results],
            "pvalue": [result.pvalue for result in results],
        }
    )


def rejection_rates(
    test: Test,
    scenarios: Iterable[Scenario],
    *,
    alphas: Sequence[float] = (0.05, 0.01),
    replications: int = 2000,
    seed: int = 0,
    method: str = "calibrated",
    n_jobs: int = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """Return how often a test rejects, with Wilson intervals, one row a scenario and level.

    The named tests are told the period of the scenario.

    Args:
        test: as in `pvalues`.
        scenarios: what to try it on.
        alphas: levels.
        replications, seed: curves per scenario, and which.
        method: of the named tests.
        n_jobs: processes (joblib); −1 for all cores.
        progress: whether to show a progress bar.

    Returns:
        Columns test, method, truth, size, efolds, noise, n, alpha, rate, low, high (95 %
        Wilson interval), replications.
    """
    for alpha in alphas:
        _checks.open_unit("alpha", alpha, 0.05)
    cells = list(scenarios)
    work = (delayed(_try)(test, cell, replications, seed, method) for cell in cells)
    found = Parallel(n_jobs=n_jobs, return_as="generator")(work)
    rows = []
    for cell, p in zip(cells, tqdm(found, total=len(cells), disable=not progress), strict=True):
        rows += [_row(test, method, cell, alpha, p) for alpha in alphas]
    return pd.DataFrame(rows)


def size(
    test: Test,
    *,
    truths: Sequence[tuple[str, float]] | None = None,
    noises: Sequence[str] = tuple(name for name in NOISES if name != "random walk"),
    lengths: Sequence[int] = (8, 20, 50, 200, 1000),
    **options: Any,
) -> pd.DataFrame:
    """Return how often a test claims something on losses where there is nothing to claim.

    An honest test of level α does so at most a share α of the time.

    Args:
        test: as in `pvalues`.
        truths: (name, size in noise standard deviations); default: all nulls of the test.
        noises: names; in 8 losses a trend can be told from equal noise alone, so there the
            others are left out.
        lengths: windows n, in steps.
        options: of `rejection_rates`.
    """
    if truths is None:
        truths = NULLS["slope" if test == "slope" else "exponential"]
    cells = [
        Scenario(truth, noise, n, amount)
        for n in lengths
        for truth, amount in truths
        for noise in noises
        if n > 8 or noise in INDEPENDENT
    ]
    return rejection_rates(test, cells, **options)


def power(
    test: Test,
    *,
    truth: str = "exponential",
    efolds: Sequence[float] = EFOLDS,
    amplitudes: Sequence[float] = AMPLITUDES,
    noise: str = "iid",
    lengths: Sequence[int] = (50, 200, 1000),
    replications: int = 1000,
    alphas: Sequence[float] = (0.05,),
    **options: Any,
) -> pd.DataFrame:
    """Return how often a test finds what is there, over decay rates and amplitudes.

    Args:
        test: as in `pvalues`.
        truth: name of the truth.
        efolds: k = b·n, e-folds in the window.
        amplitudes: a/σ.
        noise: its name.
        lengths: windows n, in steps.
        replications, alphas, options: of `rejection_rates`.
    """
    cells = [
        Scenario(truth, noise, n, amplitude, k)
        for n in lengths
        for k in efolds
        for amplitude in amplitudes
    ]
    return rejection_rates(test, cells, replications=replications, alphas=alphas, **options)


def _test(test: Test, method: str, period: int) -> Callable[[Any], Any]:
    if callable(test):
        return test
    return partial(TESTS[_checks.one_of("test", test, TESTS)], method=method, period=period)


def _try(
    test: Test, scenario: Scenario, replications: int, seed: int, method: str
) -> Float[np.ndarray, " r"]:
    losses = scenario.simulate(replications, seed)
    return pvalues(test, losses, method=method, period=scenario.period)


def _row(
    test: Test, method: str, cell: Scenario, alpha: float, p: Float[np.ndarray, " r"]
) -> dict[str, Any]:
    rejected = int((p < alpha).sum())
    low, high = proportion_confint(rejected, len(p), method="wilson")
    return {
        "test": test if isinstance(test, str) else getattr(test, "__name__", "user test"),
        "method": method if isinstance(test, str) else "",
        "truth": cell.truth,
        "size": cell.size,
        "efolds": cell.efolds,
        "noise": cell.noise,
        "n": cell.n,
        "alpha": alpha,
        "rate": rejected / len(p),
        "low": float(low),
        "high": float(high),
        "replications": len(p),
    }
