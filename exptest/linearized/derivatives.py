"""First derivatives of a network in its weights, there and back, by plain autograd.

torch's forward mode is wrong for an embedding with a padding index and missing for weight norm and
fused recurrent layers. What pulls back, u ↦ Jᵀu, is linear in u, and its own pull-back is
v ↦ Jv: two backward passes, of rules that every training run leans on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exptest.linearized.copies import copied
from exptest.linearized.inputs import Inputs, some
from exptest.linearized.networks import call, function_of_weights

FEW = 8  # examples on which derivatives are compared


def gradient(outputs: Tensor, weights: Sequence[Tensor], u: Tensor | None = None) -> list[Tensor]:
    """Return Jᵀu, a tensor per weight, u = 1 for a scalar; the graph of the outputs is kept.

    Raises:
        ValueError: torch refuses.
    """
    try:
        found = torch.autograd.grad(
            outputs, list(weights), u, retain_graph=True, materialize_grads=True
        )
    except RuntimeError as error:
        raise ValueError(f"torch cannot differentiate this model: {error}") from error
    return [piece.to_dense() if piece.is_sparse else piece for piece in found]


def push_forward(outputs: Tensor, weights: Sequence[Tensor], along: Sequence[Tensor]) -> Tensor:
    """Return Jv, which can itself be differentiated by ``along`` (claim C1.5)."""
    with torch.enable_grad():
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(
            outputs, list(weights), u, create_graph=True, materialize_grads=True
        )
        dense = [g.to_dense() if g.is_sparse else g for g in pulled]
        slope = torch.stack([(g * v).sum() for g, v in zip(dense, along, strict=True)]).sum()
        if not slope.requires_grad:  # no weight is reached
            return torch.zeros_like(outputs)
        found = torch.autograd.grad(slope, u, create_graph=True, materialize_grads=True)
    return found[0]


def refuse_wrong(model: nn.Module, x: Inputs) -> None:
    """Refuse a model whose derivatives contradict each other: ⟨u, Jv⟩ must be ⟨Jᵀu, v⟩.

    Raises:
        ValueError: they differ, or torch cannot differentiate a gradient of the model.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        outputs = call(model, some(x, 0, FEW))
        probe = _Probe.of(outputs, weights)
        probe.refuse_unless_equal(_change(outputs, weights, probe.along))


def refuse_captured(model: nn.Module, x: Inputs) -> None:
    """`refuse_wrong`, of the model as a function of its weights, and of Jv as a function of v.

    Raises:
        ValueError: as `refuse_wrong`, or weights that the model reaches by other ways than its
            parameters' names.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    live = {name: p.detach().clone().requires_grad_() for name, p in named.items()}
    few = some(x, 0, FEW)
    with torch.enable_grad():
        probe = _Probe.of(call(model, few), list(named.values()))
        along = [v.requires_grad_() for v in probe.along]
        # As training moves them: what is computed again later must not read them (checkpoints).
        elsewhere = copied(model)
        with torch.no_grad():
            for name in live:
                elsewhere.get_parameter(name).mul_(1.1)
        change = _change(function_of_weights(elsewhere)(live, few), list(live.values()), along)
        probe.refuse_unless_equal(change.detach())
        again = torch.autograd.grad(change, along, probe.u, materialize_grads=True)
        for expected, found in zip(probe.pulled, again, strict=True):
            probe.refuse_gap((expected * expected).sum(), (expected * found).sum())


def _change(outputs: Tensor, weights: Sequence[Tensor], along: Sequence[Tensor]) -> Tensor:
    try:
        return push_forward(outputs, weights, along)
    except RuntimeError as error:
        raise ValueError(f"torch cannot differentiate a gradient of this model: {error}") from error


@dataclass(frozen=True)
class _Probe:
    """Random u and v, and Jᵀu by one backward pass through the model itself."""

    u: Tensor
    along: list[Tensor]
    pulled: list[Tensor]

    @classmethod
    def of(cls, outputs: Tensor, weights: Sequence[Tensor]) -> _Probe:
        generator = torch.Generator().manual_seed(0)
        u, *along = [torch.randn(t.shape, generator=generator).to(t) for t in (outputs, *weights)]
        return cls(u, along, gradient(outputs, weights, u))

    def refuse_unless_equal(self, change: Tensor) -> None:
        terms = [(g * v).sum() for g, v in zip(self.pulled, self.along, strict=True)]
        self.refuse_gap((self.u * change).sum(), torch.stack(terms).sum())

    def refuse_gap(self, there: Tensor, back: Tensor) -> None:
        sizes = [g.norm() * v.norm() for g, v in zip(self.pulled, self.along, strict=True)]
        size = torch.stack(sizes).max()
        if not (there - back).abs() <= torch.finfo(there.dtype).eps ** 0.5 * size:
            raise ValueError(
                f"this model's derivatives contradict each other ({there.item():.6g} forwards, "
                f"{back.item():.6g} backwards); look for a custom autograd.Function whose backward "
                "detaches, or for weights kept in a list or a closure beside the parameters."
            )
