"""ρ = Σ‖gᵢ‖ / ‖Σ gᵢ‖ on the device: the length of the gradients' path over its chord."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer


class GradientPath:
    """Measure ρ without a synchronisation per step.

    Plain SGD needs no running sum: Σ gᵢ = (θ_start − θ_now)/η, read off the weights when ρ is
    asked for. Every other optimizer keeps Σ gᵢ.

    Args:
        optimizer: whose parameters' gradients are measured.
        start: the weights at the start of the window, in the order of the parameter groups;
            whoever owns them renews them before `begin_window`.
    """

    def __init__(self, optimizer: Optimizer, start: list[Tensor]) -> None:
        self._optimizer = optimizer
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._start = start
        self._by_displacement = is_plain_sgd(optimizer)
        self._mixed = len({(p.device, p.dtype) for p in self._parameters}) > 1
        device = self._parameters[0].device
        precision = torch.float32 if device.type == "mps" else torch.float64
        self._length = torch.zeros((), dtype=precision, device=device)
        self._sums: list[Tensor] = []
        self.begin_window()

    @torch.no_grad()
    def begin_window(self, *, keep: bool = False) -> None:
        """Start a window at the weights as they are; ``keep`` goes on from the sums so far."""
        if keep:
            return
        self._length.zero_()
        self._sums = (
            [] if self._by_displacement else [torch.zeros_like(p) for p in self._parameters]
        )

    def add(self) -> None:
        """Take the gradients that the parameters hold now.

        Raises:
            TypeError: a gradient is sparse.
        """
        gradients = [g for p in self._parameters if (g := p.grad) is not None]
        for gradient in gradients:
            if gradient.layout is not torch.strided:
                raise TypeError(
                    "the path ratio is measured on dense gradients, got a sparse one; "
                    "try Embedding(sparse=False), or path_correction=False."
                )
        if gradients:
            self._length += self._norm(gradients).detach()
        if not self._by_displacement:
            self._sum(gradients)

    @torch.no_grad()
    def _sum(self, gradients: list[Tensor]) -> None:
        pairs = zip(self._sums, self._parameters, strict=True)
        torch._foreach_add_([s for s, p in pairs if p.grad is not None], gradients)

    @torch.no_grad()
    def ratio(self) -> float:
        """Return ρ ≥ 1 over all steps since the sums began (one synchronisation)."""
        if self._by_displacement:
            self._sums = self._displacement()
        length, chord = self._length.item(), self._norm(self._sums).item()
        if length == 0.0:
            return 1.0
        return max(length / chord, 1.0) if chord > 0.0 else float("inf")

    def _displacement(self) -> list[Tensor]:
        """Σ gᵢ of this window from the weights, plus what earlier windows left."""
        total = list(torch._foreach_sub(self._start, self._parameters))
        position = 0
        for group in self._optimizer.param_groups:
            end = position + len(group["params"])
            torch._foreach_div_(total[position:end], float(group["lr"]))
            position = end
        if self._sums:
            torch._foreach_add_(total, self._sums)
        return total

    def _norm(self, tensors: list[Tensor]) -> Tensor:
        norms = torch._foreach_norm(tensors)
        if self._mixed:
            norms = tuple(n.to(self._length.device, self._length.dtype) for n in norms)
        return torch.linalg.vector_norm(torch.stack(norms))

    def state_dict(self) -> dict[str, Any]:
        return {"length": self._length.clone(), "sums": [s.clone() for s in self._sums]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._length.copy_(state["length"])
        self._sums = [
            s.to(p, copy=True) for s, p in zip(state["sums"], self._parameters, strict=False)
        ]


def is_plain_sgd(optimizer: Optimizer) -> bool:
    """Whether a step is exactly θ ← θ − ηg, so that the weights carry the sum of gradients."""
    return type(optimizer) is SGD and all(
        group["lr"] > 0
        and group["momentum"] == 0
        and group["weight_decay"] == 0
        and not group["maximize"]
        for group in optimizer.param_groups
    )
