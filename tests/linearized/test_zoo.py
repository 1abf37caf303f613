"""Any network people teach with: its kernel, linearization and curvature right, or refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.linearized.zoo import ZOO, case_of, good, truth, verdict
from tests.linearized.zoo_truth import flat_outputs, quiet

DIFFERENTIABLE = [
    name for name, arch in ZOO.items() if arch.refusal == "never" and arch.honest and arch.precise
]


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize("name", ZOO)
def test_the_library_is_right_or_refuses(name: str) -> None:
    faults = {use: found for use, found in verdict(name).items() if not good(name, use, found)}
    assert not faults


def shifted(model: nn.Module, direction: torch.Tensor, by: float) -> None:
    weights = [p for p in model.parameters() if p.requires_grad]
    pieces = direction.split([p.numel() for p in weights])
    with torch.no_grad():
        for p, piece in zip(weights, pieces, strict=True):
            p.add_(by * piece.view_as(p))


@quiet()
def central_difference(name: str, h: float = 1e-6) -> torch.Tensor:
    """(f(θ + hv) − f(θ − hv))/2h along the case's direction."""
    case, ends = case_of(name), []
    for step in (h, -2 * h):
        shifted(case.model, case.direction, step)
        ends.append(flat_outputs(case.model, case.inputs, case.arch.output).detach())
    return (ends[0] - ends[1]) / (2 * h)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_truth_is_the_derivative(name: str) -> None:
    expected = truth(name).jacobian @ case_of(name).direction
    gap = (central_difference(name) - expected).norm() / expected.norm()
    assert gap < 1e-7


def test_the_zoo_is_large_and_most_of_it_must_be_right() -> None:
    assert len(ZOO) >= 81
    assert sum(arch.refusal == "never" for arch in ZOO.values()) >= 68
