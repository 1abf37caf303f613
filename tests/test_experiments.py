"""The embedded experiment does what chapter 7 says that it does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from exptest.experiments import digits, reproduce
from exptest.experiments.run import PEERS, Method
from tests.test_data import tiny_mnist


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.claim("C7.8")
@pytest.mark.parametrize("seed", range(5))
def test_digits_are_learned_with_no_rate_given(seed: int) -> None:
    history = digits.run(digits.Config(epochs=20, seed=seed))
    assert history.final(digits.METRIC) >= 95
    assert history.record.found is not None


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.claim("C7.9")
def test_a_start_a_thousand_times_too_large_costs_only_windows() -> None:
    config = digits.Config(epochs=20)
    start = digits.run(dataclasses.replace(config, epochs=1)).record.max_lr
    history = digits.run(dataclasses.replace(config, max_lr=1000 * start))
    assert history.final(digits.METRIC) >= 95
    assert sum(not d.accepted for d in history.decisions) >= 4


def test_a_config_is_a_run(tmp_path: Path) -> None:
    first, second = (digits.run(digits.Config(epochs=2, seed=1)) for _ in range(2))
    assert np.array_equal(first.losses, second.losses)


@pytest.mark.filterwarnings("ignore:nothing will be decided")
def test_reproduce_runs_every_method_of_the_paper(tmp_path: Path) -> None:
    tiny_mnist(tmp_path)
    rows = reproduce.reproduce_mnist(trials=2, path=tmp_path, batch_sizes=(8,), peers=True)
    assert len(rows) == 1 + 4 * 5 + 1
    assert {row.label.split()[0].rstrip(",") for row in rows} == {"ExpTest", *PEERS}
    assert json.loads(json.dumps([row.to_dict() for row in rows]))[0]["authors"] is None
    assert len(reproduce.to_frame(rows)) == len(rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"name": "lion"}, "method must be one of 'exptest'"), ({"factor": 0}, "factor must be")],
)
def test_a_method_that_does_not_exist_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Method(**arguments)
