"""One observation per update, and nothing of it is lost where training is cut."""

from __future__ import annotations

import io
import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from exptest.optim.observations import Observations

LOSSES = st.one_of(st.floats(-10, 10), st.sampled_from([math.nan, math.inf]))
# Of each call: its loss, whether the weights had moved, else ‖g‖, and whether anyone looks.
CALLS = st.lists(
    st.tuples(LOSSES, st.booleans(), st.sampled_from([None, 1.0, math.inf]), st.booleans()),
    max_size=12,
)


def seen(
    observations: Observations, calls: list[tuple[float, bool, float | None, bool]]
) -> list[str]:
    told = []
    for number, (loss, updated, norm, looked) in enumerate(calls):
        probe = None if updated or norm is None else torch.tensor(norm)
        value = torch.tensor(loss, dtype=torch.float64)
        observations.put(value, updated=updated, factor=1.0 + number, probe=probe)
        if looked:
            told += map(repr, observations.arrived(wait=lambda: True))
        told.append(f"{observations.waiting} waiting")
    return told


def through_a_file(observations: Observations) -> Observations:
    file = io.BytesIO()
    torch.save(observations.state_dict(), file)
    file.seek(0)
    copy = Observations()
    copy.load_state_dict(torch.load(file, weights_only=True))
    return copy


@given(CALLS, CALLS)
def test_resumed_at_any_call_it_observes_the_same(first: list, later: list) -> None:
    whole = Observations()
    seen(whole, first)
    resumed = through_a_file(whole)
    later = [*later, (1.0, True, None, True)]
    assert seen(resumed, later) == seen(whole, later)


def test_losses_of_one_accumulation_are_averaged_and_a_skipped_step_ends_one() -> None:
    observations = Observations()
    calls = [(1.0, False, 1.0, True), (3.0, True, None, True), (5.0, False, math.inf, True)]
    assert [line for line in seen(observations, calls) if "waiting" not in line] == [
        "(2.0, 2.0)",
        "(5.0, 3.0)",
    ]
    assert observations.waiting == 0


def test_what_is_cleared_is_in_no_later_mean() -> None:
    observations = Observations()
    assert seen(observations, [(1.0, False, 1.0, True)]) == ["0 waiting"]
    observations.clear()
    assert seen(observations, [(3.0, True, None, True)])[0] == "(3.0, 1.0)"
