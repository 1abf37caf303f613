"""ρ = Σ‖gᵢ‖ / ‖Σ gᵢ‖ on the device: the length of the gradients' path over its chord."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from exptest.optim.ranks import local

HALF = {torch.float16, torch.bfloat16}


class GradientPath:
    """Measure ρ without a synchronisation per step.

    Both sums are of gradients as the optimizer gets them: clipped, unscaled, averaged over ranks.
    Moving the weights by other means (a projection, averaging) changes nothing. A step with
    non-finite gradients is in neither sum. Memory: one copy of the gradients, half precision in
    single.

    Args:
        optimizer: whose parameters' gradients are measured.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._sums: dict[Tensor, Tensor] = {}
        self._length: Tensor | None = None
        self._steps = 0

    def _gradients(self) -> dict[Tensor, Tensor]:
        groups = self._optimizer.param_groups
        return {p: p.grad for group in groups for p in group["params"] if p.grad is not None}

    def begin_window(self, *, keep: bool = False) -> None:
        """Forget the sums so far, unless they are to go on (``keep``)."""
        if not keep:
            self._sums, self._length, self._steps = {}, None, 0

    @torch.no_grad()
    def norm(self) -> Tensor | None:
        """Return ‖g‖ of the gradients that there are now; None if there are none."""
        gradients = self._gradients()
        return _norm([*gradients.values()]) if gradients else None

    @torch.no_grad()
    def add(self) -> None:
        """Take the gradients that the parameters hold now, if they are finite."""
        self._steps += 1
        if not (gradients := self._gradients()):
            return
        length = _norm([*gradients.values()])
        if length.is_cpu:
            if not np.isfinite(length.numpy()):
                return
        else:  # nobody waits to know: what is not finite counts as zero
            finite = torch.isfinite(length)
            length = torch.where(finite, length, 0.0)
            gradients = {p: _if_all(finite, g) for p, g in gradients.items()}
        if length.device.type != "mps":
            length = length.double()
        self._length = length if self._length is None else self._length.to(length) + length
        if known := [p for p in gradients if p in self._sums]:
            _add_to([self._sums[p] for p in known], [gradients[p] for p in known])
        self._sums |= {p: _start(g) for p, g in gradients.items() if p not in self._sums}

    @torch.no_grad()
    def ratio(self) -> float:
        """Return ρ ≥ 1 over all steps since the sums began (one synchronisation)."""
        if self._length is None:
            if self._steps:
                warnings.warn(
                    f"the optimizer made {self._steps} updates in this window, and none of its "
                    "parameters had a finite gradient: ρ is taken for 1. Are they the model's, "
                    "does the loss depend on them?",
                    stacklevel=2,
                )
            return 1.0
        length, chord = self._length.item(), _norm([*self._sums.values()]).item()
        if length == 0.0:
            return 1.0
        return max(length / chord, 1.0) if chord > 0.0 else float("inf")

    # -- how it is kept --------------------------------------------------------------------

    def _parameters(self) -> list[Tensor]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        sums = [self._sums.get(p) for p in self._parameters()]
        return {
            "length": None if self._length is None else self._length.clone(),
            "sums": [None if s is None else s.clone() for s in sums],
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        length, sums = state["length"], zip(self._parameters(), state["sums"], strict=True)
        self._length = None if length is None else length.clone()
        self._sums = {p: s.to(p.device, copy=True) for p, s in sums if s is not None}
        self._steps = state["steps"]


def _norm(tensors: list[Tensor]) -> Tensor:
    """‖·‖ of all tensors together; half precision in single, of a sparse one its values."""
    dense = [t if t.layout is torch.strided else t.coalesce().values() for t in tensors]
    norms = _whole(torch._foreach_norm([t.float() if t.dtype in HALF else t for t in dense]))
    if len({(n.device, n.dtype) for n in norms}) > 1:
        norms = [n.to(norms[0].device, torch.float32) for n in norms]
    return torch.linalg.vector_norm(torch.stack(norms))


def _whole(norms: Sequence[Any]) -> list[Tensor]:
    """Of sharded tensors (DTensor) the norms over all ranks: one collective per kind of shards."""
    whole = [norm for norm in norms if local(norm) is norm]
    shards: dict[Any, list[Any]] = {}
    for norm in norms:
        if local(norm) is not norm:
            shards.setdefault((norm.device_mesh, norm.placements), []).append(norm)
    for (mesh, placements), parts in shards.items():
        own = torch.linalg.vector_norm(torch.stack([local(part) for part in parts]))
        joined = parts[0].from_local(own, mesh, placements, run_check=False)
        whole.append(joined.full_tensor())
    return whole


def _if_all(finite: Tensor, gradient: Tensor) -> Tensor:
    if local(gradient) is gradient:
        return torch.where(finite, gradient, 0.0)
    kept = gradient.clone()
    local(kept).masked_fill_(~finite, 0.0)
    return kept


def _start(gradient: Tensor) -> Tensor:
    dense = gradient if gradient.layout is torch.strided else gradient.to_dense()
    return dense.to(torch.float32 if dense.dtype in HALF else dense.dtype, copy=True)


def _add_to(sums: list[Tensor], gradients: list[Tensor]) -> None:
    alike = all(g.layout is torch.strided for g in gradients)
    if alike and all(s.device == g.device for s, g in zip(sums, gradients, strict=True)):
        torch._foreach_add_(sums, gradients)
        return
    for total, gradient in zip(sums, gradients, strict=True):
        total.add_(gradient.to(total.device))
