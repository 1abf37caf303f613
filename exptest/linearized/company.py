"""Whether a network's output on an example is that example's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exptest.linearized.copies import copied
from exptest.linearized.inputs import Inputs, converted, some, split
from exptest.linearized.networks import any_outputs_of

COMPANY = 8  # examples tried alone and together
DOUBTFUL = 16  # rounding errors that a small network may differ by; beyond, look in float64
# Rounding errors that a deep network may differ by, as the size of a batch changes what its
# products are summed in: none of the zoo's in tests/linearized needs a hundredth of it.
ALLOWED = {torch.float64: 1e6, torch.float32: 1e4}


def refuse_company(model: nn.Module, x: Inputs) -> int:
    """Return the number of outputs C of a model whose output on an example is that example's own.

    Compared alone and beside others to within what rounding can explain: 16 errors of the model's
    precision, or 10⁻¹⁰ of each output's size in double precision.

    Raises:
        ValueError: as `any_outputs_of`, or an output that depends on the examples beside it or on
            chance.
    """
    gap, size = _apart(model, x)
    eps = torch.finfo(gap.dtype).eps
    if _more(gap, size, DOUBTFUL * eps):
        if gap.dtype != torch.float64:
            gap, size = _in_double(model, x) or (gap, size)
        if _more(gap, size, ALLOWED[gap.dtype] * torch.finfo(gap.dtype).eps):
            raise ValueError(
                f"the model's output on an example changes by {gap.max().item():.2g} with the "
                f"examples beside it or from call to call; look for batch statistics or dropout "
                f"in its forward."
            )
    return len(gap)


def _apart(model: nn.Module, x: Inputs) -> tuple[Tensor, Tensor]:
    """Return by how much each output differs in company, and its size."""
    few = some(x, 0, COMPANY)
    beside = any_outputs_of(model, few).detach()
    alone = torch.cat([any_outputs_of(model, one).detach() for one in split(few, 1)])
    gap = (beside - alone).reshape(len(alone), -1).abs().amax(0)
    return gap, alone.reshape(len(alone), -1).abs().amax(0)


def _in_double(model: nn.Module, x: Inputs) -> tuple[Tensor, Tensor] | None:
    """`_apart` in double precision, where the model can be copied and computes in it."""
    try:
        double = torch.float64
        gap, size = _apart(copied(model, double), converted(x, double))
    except (ValueError, TypeError, RuntimeError):
        return None
    return (gap, size) if gap.dtype == double else None


def _more(gap: Tensor, size: Tensor, share: float) -> bool:
    """Whether some output differs by more than a share of its size; tiny ones of the largest's."""
    return bool((gap > share * torch.maximum(size, 1e-3 * size.max())).any())
