"""Several processes that train one model: the losses averaged, the decisions the same."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def ranks() -> int:
    """Return how many processes train together, 1 without `torch.distributed`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_ranks(values: list[float]) -> list[float]:
    """Return the means over all ranks, the same bits on each (one collective).

    A number that is not finite on one rank is not finite in the mean.
    """
    total = _tensor(values)
    dist.all_reduce(total)
    return (total / ranks()).tolist()


def agree(name: str, value: float) -> None:
    """Raise ValueError on every rank if ``value`` is not the same on all (one collective)."""
    extremes = _tensor([value, -value])
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    largest, smallest = extremes[0].item(), -extremes[1].item()
    if largest != smallest:
        raise ValueError(
            f"{name} must be the same on every rank, got {smallest!r} to {largest!r}; compute it "
            "on one and broadcast it."
        )


def _tensor(values: list[float]) -> Tensor:
    on_gpu = dist.get_backend() == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    return torch.tensor(values, dtype=torch.float64, device=device)
