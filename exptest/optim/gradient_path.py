"""ρ = Σ‖gᵢ‖ / ‖Σ gᵢ‖ on the device: the length of the gradients' path over its chord."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from exptest.optim.ranks import local

HALF, FULL = {torch.float16, torch.bfloat16}, {torch.float32, torch.float64}


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
        self._sums: dict[int, Tensor] = {}  # by the parameter's place among all
        self._length: Tensor | float = 0.0
        self._bare = 0  # updates without any gradient

    def _gradients(self) -> dict[int, Tensor]:
        found = [p.grad for group in self._optimizer.param_groups for p in group["params"]]
        return {
            place: gradient.detach() if gradient.requires_grad else gradient
            for place, gradient in enumerate(found)
            if gradient is not None
        }

    def begin_window(self, *, keep: bool = False) -> None:
        """Forget the sums so far, unless they are to go on (``keep``)."""
        if not keep:
            self._sums, self._length, self._bare = {}, 0.0, 0

    def norm(self) -> Tensor | None:
        """Return ‖g‖ of the gradients that there are now; None if there are none."""
        gradients = self._gradients()
        return torch.as_tensor(_norm([*gradients.values()])) if gradients else None

    def add(self) -> None:
        """Take the gradients that the parameters hold now, if they are finite."""
        if not (gradients := self._gradients()):
            self._bare += 1
            return
        length = _norm([*gradients.values()])
        if isinstance(length, Tensor):  # nobody waits to know: what is not finite counts as zero
            finite = torch.isfinite(length)
            length = torch.where(finite, length, 0.0)
            gradients = {i: _if_all(finite, g) for i, g in gradients.items()}
        elif not math.isfinite(length):
            return
        self._length += length
        sums, late = self._sums, {}
        if sums.keys() != gradients.keys():
            late = {i: _start(gradients.pop(i)) for i in [*gradients] if i not in sums}
        if gradients:
            _add_to([sums[i] for i in gradients], [*gradients.values()])
        sums.update(late)

    def ratio(self) -> float:
        """Return ρ ≥ 1 over all steps since the sums began (one synchronisation)."""
        if self._bare and not self._sums:
            warnings.warn(
                f"at {self._bare} updates in this window none of the optimizer's parameters had "
                "a gradient: ρ is taken for 1. Are they the model's, does the loss depend on them?",
                stacklevel=2,
            )
        length, chord = float(self._length), float(_norm([*self._sums.values()]))
        if length == 0.0:
            return 1.0
        return max(length / chord, 1.0) if chord > 0.0 else float("inf")

    # -- how it is kept --------------------------------------------------------------------

    def _parameters(self) -> list[Tensor]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        sums = [self._sums.get(i) for i in range(len(self._parameters()))]
        return {
            "length": float(self._length),
            "sums": [None if s is None else s.clone() for s in sums],
            "bare": self._bare,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pairs = enumerate(zip(self._parameters(), state["sums"], strict=True))
        self._sums = {i: s.to(p.device, copy=True) for i, (p, s) in pairs if s is not None}
        self._length, self._bare = state["length"], state["bare"]


def _norm(tensors: list[Tensor]) -> Tensor | float:
    """‖·‖ of all tensors together; a number only where it lies on the host already."""
    if any(t.dtype not in FULL or t.layout is not torch.strided for t in tensors):
        tensors = [*map(_single, tensors)]
    norms = _whole(torch._foreach_norm(tensors)) if tensors else []
    if all(norm.is_cpu for norm in norms):
        return math.hypot(*[norm.item() for norm in norms])
    norm = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
    return norm if norm.device.type == "mps" else norm.double()


def _single(tensor: Tensor) -> Tensor:
    """Half precision in single; of a sparse tensor its values."""
    values = tensor if tensor.layout is torch.strided else tensor.coalesce().values()
    return values.float() if values.dtype in HALF else values


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
    if [*map(Tensor.get_device, sums)] != [*map(Tensor.get_device, gradients)]:
        # The model has moved since.
        gradients = [g.to(s.device) for g, s in zip(gradients, sums, strict=True)]
    torch._foreach_add_(sums, gradients)
