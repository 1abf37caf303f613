"""Several processes that train one model: the losses averaged, the decisions the same.

Nothing is exchanged at a step. At a *consultation* (the first loss, the end of ρ's measurement,
the window's end) every rank gives the losses since the last one, and all get the same means, to
the bit; ρ follows in the same way. A rank may have seen its loss explode long before: all learn of
it at the next consultation, at most `CAPACITY` losses later. When a rank dies, the others' next
collective fails: at once under gloo, which sees closed connections; under nccl when the time
limit of the process group is over (`init_process_group(timeout=...)`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def ranks() -> int:
    """Return how many processes train together, 1 without `torch.distributed`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_ranks(values: list[float]) -> list[float]:
    """Return the means over all ranks, the same bits on each (one collective if there are more).

    A number that is not finite on one rank is not finite in the mean.

    >>> mean_over_ranks([1.0, 2.0])
    [1.0, 2.0]
    """
    if ranks() == 1:
        return values
    total = _tensor(values)
    dist.all_reduce(total)
    return (total / ranks()).tolist()


def agree(own: dict[str, Any]) -> None:
    """Raise ValueError on every rank unless each of ``own`` is the same on all of them."""
    found: list[Any] = [own] * ranks()
    if ranks() > 1:
        dist.all_gather_object(found, own)
    for name in own:
        values = [other[name] for other in found]
        if odd := [rank for rank, value in enumerate(values) if value != values[0]]:
            raise ValueError(
                f"{name.lstrip('_')} must be the same on every rank, got {values[0]!r} on rank 0, "
                f"{values[odd[0]]!r} on rank {odd[0]}; compute or load it on one and broadcast it."
            )


def local(tensor: Tensor) -> Tensor:
    """Return the part of a sharded tensor that lies on this rank; any other tensor as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _tensor(values: list[float]) -> Tensor:
    kinds = [pair.split(":")[0] for pair in dist.get_backend_config().split(",")]
    return torch.tensor(values, dtype=torch.float64, device="cpu" if "cpu" in kinds else kinds[0])
