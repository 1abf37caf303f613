"""Several processes that train one model: alike to the bit, and like one process alone.

One launch runs all cases of `ranks_script`; each test looks at what every rank has written.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from exptest.optim import observations
from exptest.optim.loss_stream import CAPACITY
from tests.optim import ranks_script as script
from tests.optim.ranks_training import SHARDS, STEPS

ROOT = Path(__file__).parent.parent.parent
UNDISTURBED = ["local_losses", "rejected_search", "accumulation", "one_nan"]
DISTURBED = ["divergences", "broken_weights", "unlike_ratios"]
RESUMED = ["resumed", "resumed_from_first"]
SHARDED = pytest.param(
    "sharded", marks=pytest.mark.skipif(not SHARDS, reason="torch has no fully_shard")
)


class Launch:
    """What every rank has written."""

    def __init__(self, folder: Path, ranks: int) -> None:
        self.ranks, self._folder = ranks, folder
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        done = subprocess.run(
            [*command, f"--nproc-per-node={ranks}", script.__file__, folder],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def ends(self, case: str) -> list[dict[str, Any]]:
        files = [self._folder / f"{case}-{rank}.pt" for rank in range(self.ranks)]
        return [torch.load(file, weights_only=True) for file in files if file.exists()]


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def launch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    return Launch(tmp_path_factory.mktemp("ranks"), request.param)


def same(left: Any, right: Any) -> bool:
    """To the bit; where both hold a nan they are alike."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left.nan_to_num(nan=-1.0), right.nan_to_num(nan=-1.0))
    if isinstance(left, list) and left and isinstance(left[0], torch.Tensor):
        return all(map(same, left, right))
    return repr(left) == repr(right)


@cache
def alone(case: str) -> dict[str, Any]:
    return getattr(script, case)()


def verdicts(end: dict[str, Any]) -> list[tuple[Any, ...]]:
    names = ("step", "kind", "phase", "verdict", "lr_before", "lr_after", "window", "skipped")
    return [tuple(decision[name] for name in names) for decision in end["decisions"]]


@pytest.mark.parametrize("case", [*UNDISTURBED, *DISTURBED, *RESUMED, SHARDED])
def test_every_rank_decides_and_ends_alike_to_the_bit(launch: Launch, case: str) -> None:
    first, *others = launch.ends(case)
    assert len(others) == launch.ranks - 1
    for other in others:
        assert [name for name in first if not same(first[name], other[name])] == []


@pytest.mark.parametrize("case", [*UNDISTURBED, SHARDED])
def test_ranks_decide_as_one_process_on_the_joined_batch(launch: Launch, case: str) -> None:
    many, one = launch.ends(case)[0], alone("local_losses" if case == "sharded" else case)
    assert verdicts(many) == verdicts(one)
    assert many["decisions"]
    known = len(many["losses"])  # the others have not been exchanged yet
    assert known > many["decisions"][-1]["step"]
    seen = ~many["losses"].isnan()
    for name in ("losses", "rates"):
        ours, theirs = many[name][seen], one[name][:known][seen]
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(many["weights"], one["weights"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_search_that_is_rejected_restarts_every_rank(launch: Launch) -> None:
    decisions = launch.ends("rejected_search")[0]["decisions"]
    rejected = next(d for d in decisions if d["verdict"] == "shrink")
    assert (rejected["kind"], rejected["phase"]) == ("exponential", "search")


def test_a_nan_on_one_rank_is_skipped_on_all(launch: Launch) -> None:
    for end in launch.ends("one_nan"):
        assert end["skipped"] == 1
        assert end["losses"].isnan().nonzero().tolist() == [[40]]


def test_a_divergence_on_one_rank_rejects_on_all(launch: Launch) -> None:
    for end in launch.ends("divergences"):
        found = [d for d in end["decisions"] if d["kind"] == "divergence"]
        assert [(d["phase"], d["lr_before"]) for d in found] == [("search", 0.5), ("tune", 0.165)]
        assert found[0]["step"] == 40
        assert found[1]["skipped"] == 8
        assert all(weight.isfinite().all() for weight in end["weights"])


def test_weights_that_break_on_one_rank_go_back_to_those_broadcast(launch: Launch) -> None:
    ends = launch.ends("broken_weights")
    for end in ends:
        assert "because the loss is nan" in end["decision"]
        assert same(end["weights"], ends[0]["initial"])


@pytest.mark.parametrize("case", RESUMED)
def test_resuming_between_two_exchanges_is_exact_to_the_bit(launch: Launch, case: str) -> None:
    whole = launch.ends("local_losses")[0]
    for end in launch.ends(case):
        assert end["waiting"] > 10
        assert verdicts(end) == verdicts(whole)
        assert same(end["weights"], whole["weights"])
        if case == "resumed":
            assert same(end["decisions"], whole["decisions"])


def test_ranks_take_the_mean_of_their_path_ratios(launch: Launch) -> None:
    for end in launch.ends("unlike_ratios"):
        ratios = {decision["path_ratio"] for decision in end["decisions"]}
        assert ratios == {(launch.ranks + 1) / 2}


@pytest.mark.skipif(not SHARDS, reason="torch has no fully_shard")
def test_sharded_gradients_that_are_not_finite_count_as_zero(launch: Launch) -> None:
    for end in launch.ends("sharded"):
        assert end["dropped"].count_nonzero() == 0
        assert end["kept"].count_nonzero() == 0


def test_ranks_that_would_decide_differently_are_refused_on_each(launch: Launch) -> None:
    for end in launch.ends("disagreements"):
        assert "max_lr must be the same on every rank, got 0.5 on rank 0, 1.5 on" in end["max_lr"]
        assert "path_correction must be the same on every rank" in end["path_correction"]
        assert "steps must be the same on every rank, got 3 on rank 0, 4 on" in end["steps"]


def test_ranks_exchange_when_a_window_needs_it_and_at_no_step(launch: Launch) -> None:
    end = launch.ends("local_losses")[0]
    windows, rejected = (
        len(end["decisions"]),
        sum(d["verdict"] == "shrink" for d in end["decisions"]),
    )
    # The first loss; of each window, the open one too, its first N - 1, ρ, and the rest.
    assert len(end["exchanged"]) <= 1 + 3 * (windows + 1) + rejected
    assert sum(end["exchanged"]) <= STEPS + windows + 1 + rejected


def test_a_dead_rank_ends_the_others_with_an_error(launch: Launch) -> None:
    ends = launch.ends("dead_rank")
    assert len(ends) == launch.ranks - 1
    assert all("gloo" in end["error"] for end in ends)


def test_a_long_window_is_exchanged_when_so_many_losses_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observations, "ranks", lambda: 2)
    monkeypatch.setattr(observations, "mean_over_ranks", lambda values: values)
    waiting, came = observations.Observations(), []
    for step in range(CAPACITY + 5):
        loss = torch.tensor(float(step), dtype=torch.float64)
        waiting.put(loss, updated=True, factor=1.0, probe=None)
        came.append(len(list(waiting.arrived(wait=lambda: False))))
    assert [step for step, count in enumerate(came) if count] == [CAPACITY - 1]
    assert waiting.waiting == 5
