"""The general path's cost: every example is differentiated once, in the memory that is stated."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import empirical_ntk
from exptest.linearized.general import blocks
from exptest.linearized.inputs import Inputs, length
from exptest.linearized.jacobians import Jacobians
from tests.linearized.reference import literal_ntk


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.wide, self.out = nn.Linear(6, 40), nn.Linear(40, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x + torch.tanh(self.first(x))
        h = h + torch.tanh(self.second(h))
        return self.out(torch.tanh(self.wide(h)))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How many examples' columns of each parameter are computed."""
    count: Counter = Counter()
    compute = Jacobians.of

    def of(self: Jacobians, x: Inputs, names: tuple[str, ...]) -> dict[str, Tensor]:
        count.update({name: length(x) for name in names})
        return compute(self, x, names)

    monkeypatch.setattr(Jacobians, "of", of)
    return count


def bytes_of(examples: int, columns: int) -> float:
    return examples * 3 * columns * 8


@pytest.mark.parametrize(
    ("memory_gb", "batch_size"), [(4.0, None), (4.0, 1), (4.0, 7), (2.6e-4, None), (2.6e-4, 1)]
)
def test_every_example_is_differentiated_once(
    memory_gb: float, batch_size: int | None, counted: Counter
) -> None:
    torch.manual_seed(0)
    model, n = Skip().double(), 20
    x = torch.randn(n, 6, dtype=torch.float64)
    options = {"memory_gb": memory_gb, "batch_size": batch_size, "method": "general"}
    found = empirical_ntk(model, x, **options)
    assert torch.allclose(found, literal_ntk(model, x, x), rtol=1e-10, atol=1e-12)
    assert counted == {name: n for name, _ in model.named_parameters()}


def test_between_two_sets_every_example_is_differentiated_once(counted: Counter) -> None:
    torch.manual_seed(0)
    model, x = Skip().double(), torch.randn(9, 6, dtype=torch.float64)
    found = empirical_ntk(model, x[:5], x, memory_gb=2.6e-4, method="general", trace_outputs=True)
    exact = torch.einsum("icjc->ij", literal_ntk(model, x[:5], x))
    assert torch.allclose(found, exact, rtol=1e-10, atol=1e-12)
    assert counted == {name: 5 + 9 for name, _ in model.named_parameters()}


@pytest.mark.parametrize("trace_outputs", [True, False])
def test_what_is_held_at_a_time_fits_the_memory(
    trace_outputs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parameter too wide for the memory is cut, and the kernel is still the same."""
    torch.manual_seed(0)
    model, n = Skip().double(), 60
    x = torch.randn(n, 6, dtype=torch.float64)
    limit = 4e-4
    held: list[int] = []
    new = torch.Tensor.new_empty

    def new_empty(self: Tensor, *shape: int, **options: object) -> Tensor:
        made = new(self, *shape, **options)
        held.append(made.numel() * made.element_size())
        return made

    monkeypatch.setattr(torch.Tensor, "new_empty", new_empty)
    found = empirical_ntk(model, x, memory_gb=limit, method="general", trace_outputs=trace_outputs)
    exact = empirical_ntk(model, x, method="general", trace_outputs=trace_outputs)
    assert torch.allclose(found, exact, rtol=1e-10, atol=1e-12)
    blockwise, whole = held[:-1], held[-1]
    assert whole == bytes_of(n, sum(p.numel() for p in model.parameters()))
    assert len(blockwise) > 2
    assert max(blockwise) + found.numel() * 8 < limit * 1e9 < whole


def test_blocks_hold_every_column_once_and_only_wide_parameters_are_cut() -> None:
    sizes = {"a": 4, "b": 1, "c": 12, "d": 3, "e": 5}
    for width in range(1, 30):
        found = blocks(sizes, width)
        pieces = [piece for block in found for piece in block]
        columns = [(name, k) for name, start, stop in pieces for k in range(start, stop)]
        assert columns == [(name, k) for name, size in sizes.items() for k in range(size)]
        assert max(sum(stop - start for _, start, stop in block) for block in found) <= width
        cut = {name for name, start, stop in pieces if stop - start < sizes[name]}
        assert cut == {name for name, size in sizes.items() if size > width}
