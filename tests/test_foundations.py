"""The small parts that all others stand on: checks, words, series, saved decisions, models."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch

import exptest
from exptest import _checks
from exptest._plain import from_plain, to_plain
from exptest._series import Series
from exptest._words import listed, plural, quoted
from exptest.models import mlp, reset_parameters, softmax_regression
from exptest.recorded.columns import Column, step_column


def test_every_kind_of_decision_comes_back_as_it_was() -> None:
    noise = 0.02 * np.random.default_rng(0).standard_normal(600)
    losses = [2.0, 1e9, *(0.5 + 2 * np.exp(-np.arange(600) / 20) + noise)]
    decisions = exptest.replay(losses, 0.2).decisions
    assert {decision.kind for decision in decisions} == {"divergence", "exponential", "slope"}
    for decision in decisions:
        kept = to_plain(decision)
        assert from_plain(kept) == decision
        if decision.test is not None:
            assert decision.test.noise is not None
            assert type(kept["test"]["pvalue"]) is float


def test_a_series_grows_and_what_was_read_stays() -> None:
    series = Series([1.0, 2.0])
    early = series.view()
    for k in range(3, 3001):
        series.append(float(k))
    np.testing.assert_array_equal(series.view(), np.arange(1.0, 3001.0))
    assert early.tolist() == [1.0, 2.0]
    assert not early.flags.writeable
    assert series.last(2) == [2999.0, 3000.0]
    assert len(series) == 3000
    assert Series([1.0]).last(5) == [1.0]
    resumed = Series.ending([7.0, 8.0], length=4)
    np.testing.assert_array_equal(resumed.view(), [np.nan, np.nan, 7.0, 8.0])


def test_numbers_have_their_nouns_and_lists_their_length() -> None:
    assert [plural(n, "loss") for n in (0, 1, 2)] == ["0 losses", "1 loss", "2 losses"]
    assert plural(1200, "row") == "1,200 rows"
    assert quoted("x" * 41) == "'" + "x" * 38 + "…"
    assert quoted("x" * 38) == "'" + "x" * 38 + "'"
    assert listed(["ab", "cd", "ef"], limit=10) == "'ab', 'cd', … (3 in all)"


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("check", "inside", "outside"),
    [
        (lambda x: _checks.open_unit("alpha", x, 0.05), (1e-9, 0.999), (0.0, 1.0, np.nan)),
        (lambda x: _checks.positive("lr", x, 0.1), (1e-300,), (0.0, -1.0, np.inf)),
        (lambda x: _checks.not_negative("min_lr", x, 0.0), (0.0, 3.0), (-1e-9, np.inf)),
        (lambda x: _checks.at_least("every", x, 2, 10), (2, 3.0), (1, 2.5, np.nan)),
        (_checks.path_ratio, (1.0, 1 - 1e-9, 7.0), (0.99, -2.0)),
        (lambda x: _checks.finite("loss_floor", x, 0.0), (-1e300,), (np.nan, -np.inf)),
        (lambda x: _checks.at_most("min_lr", x, "max_lr", 2.0, 1.0), (2.0,), (2.0001,)),
    ],
)
def test_bounds_are_kept_at_their_edges(check, inside: tuple, outside: tuple) -> None:
    for value in inside:
        found = check(value)
        assert found is None or found == pytest.approx(value)
    for value in outside:
        with pytest.raises(ValueError, match=r"got|must"):
            check(value)


def test_models_are_the_paper_s() -> None:
    network = mlp([8, 32, 1])
    kinds = [type(layer).__name__ for layer in network]
    assert kinds == ["Flatten", "Linear", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in softmax_regression(4, 3)] == ["Flatten", "Linear"]
    before = [weight.clone() for weight in network.parameters()]
    reset_parameters(network)
    assert not any(
        torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)
    )


def test_public_names_are_those_of_their_modules() -> None:
    homes = {"Decision": "record", "Record": "record", "History": "training.history"}
    for name in exptest.__all__:
        value = getattr(exptest, name)
        assert value.__name__ == name
        if name in homes:
            assert value.__module__ == f"exptest.{homes[name]}"
            assert getattr(import_module(f"exptest.{homes[name]}"), name) is value


def test_steps_are_counted_by_steps_before_epochs() -> None:
    columns = [Column(name, (1.0, 2.0)) for name in ("epoch", "step", "loss")]
    assert step_column(columns, "loss") == "step"
    assert step_column([columns[0], columns[2]], "loss") == "epoch"
    assert step_column([*columns, Column("trainer/global_step", (1.0,))], "loss") == (
        "trainer/global_step"
    )
    assert step_column(columns[2:], "loss") is None
