"""A parameter's modules are found without holding what other threads are building."""

import gc
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from exptest.optim.owners import modules_with_buffers, owners


class Loud(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("seen", torch.zeros(1))


def test_modules_with_buffers_are_those_that_own_a_parameter() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(Loud(), nn.BatchNorm1d(2)))
    other = nn.InstanceNorm1d(2, affine=True, track_running_stats=True)
    sgd = torch.optim.SGD(model.parameters())
    assert modules_with_buffers(sgd) == {"Loud", "BatchNorm1d"}
    assert modules_with_buffers(torch.optim.SGD(other.parameters())) == {"InstanceNorm1d"}
    assert modules_with_buffers(torch.optim.SGD(model[0].parameters())) == set()


def test_an_owner_holds_the_thing_itself_or_in_a_dictionary() -> None:
    class Holder:
        def __init__(self, **attributes: Any) -> None:
            vars(self).update(attributes)

    thing = torch.zeros(1)
    itself, within, none = Holder(it=thing), Holder(those={"it": thing}), Holder(it=torch.zeros(1))
    found = owners([thing], Holder)
    assert all(any(f is o for f in found) for o in (itself, within))
    assert not any(f is none for f in found)


def test_nobody_else_s_growing_tuple_is_held() -> None:
    """A tuple that something else holds cannot grow: CPython raises SystemError in its thread."""
    sgd = torch.optim.SGD([*Loud().parameters(), *nn.BatchNorm1d(2).parameters()])
    mark, holds = torch.zeros(1), []

    def watch(*_: Any) -> None:
        growing = [t for t in gc.get_referrers(mark) if type(t) is tuple]
        holds.extend(sys.getrefcount(t) for t in growing)

    def grow() -> Iterator[Any]:
        yield mark
        watch()
        sys.setprofile(watch)
        modules_with_buffers(sgd)
        sys.setprofile(None)
        yield from range(20)

    assert len(tuple(grow())) == 21
    assert len(holds) > 3 or sys.version_info >= (3, 14)
    assert len(set(holds)) <= 1
