"""The empirical neural tangent kernel Θ = J Jᵀ of any module, exactly and in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from exptest import _checks
from exptest.linearized.chosen import chosen
from exptest.linearized.company import refuse_company
from exptest.linearized.copies import copied
from exptest.linearized.general import general_ntk
from exptest.linearized.inputs import (
    Inputs,
    converted,
    examples,
    joined,
    length,
    parts,
    some,
)
from exptest.linearized.networks import outputs_of, refuse_mixing, trainable
from exptest.linearized.ntk_structured import kept_bytes, plan_of, structured_ntk
from exptest.linearized.taylor import LinearizedNetwork

ALONG = 4  # of each set, tried together for whether examples see each other
METHODS = ("auto", "structured", "general")


def empirical_ntk(
    model: nn.Module,
    x1: Any,
    x2: Any = None,
    *,
    trace_outputs: bool = False,
    batch_size: int | None = None,
    dtype: torch.dtype | None = None,
    memory_gb: float = 4.0,
    method: str = "auto",
    output: Any = None,
) -> Float[Tensor, "n c m c"] | Float[Tensor, "n m"]:
    """Return the empirical neural tangent kernel of a network at its present weights.

    Θ[i, c, j, d] = Σ_θ (∂f_c(x_i)/∂θ) (∂f_d(x_j)/∂θ), θ over the parameters that require gradients.
    A network goes the structured way, which never builds the Jacobian, if all its trainable weights
    belong to Linear, Conv1d/2d/3d, BatchNorm, LayerNorm, RMSNorm, GroupNorm, InstanceNorm,
    Embedding or PReLU layers that are called once each, whatever the graph between them; not if a
    weight is shared, held by another module or used outside its layer, or a module is hooked,
    patched or parametrized. Then, and where the two ways differ, it goes through torch.func, some
    of whose rows are computed again by plain autograd; where that is wrong or refuses (GRU, RNN,
    LSTM in float64), plain autograd takes over with a warning. Every example is differentiated
    once, by a block of parameters at a time.

    Args:
        model: any module with outputs (n, C) or (n,): recurrent, of token ids, of several inputs
            too. Dropout and batch normalization must be in evaluation mode; in-place activations
            are fine. It is not changed.
        x1: inputs, shape (n, ...), features or token ids; or a tuple of such tensors, which the
            model takes side by side.
        x2: other inputs, shape (m, ...); by default ``x1``, and then Θ is symmetric.
        trace_outputs: sum over c = d, which is what a loss that treats outputs alike sees first.
        batch_size: examples differentiated at a time; by default what fits the memory.
        dtype: compute in this precision, e.g. ``torch.float64``.
        memory_gb: gigabytes that the kernel and the gradients held may take together.
        method: ``"auto"``, or ``"structured"`` / ``"general"`` to insist.
        output: of a model that returns a dict or a tuple, the key or index of the outputs meant;
            or a function of what it returns.

    Returns:
        Θ, shape (n, C, m, C), or (n, m) if traced.

    Raises:
        TypeError: inputs are no real tensors, or weights in half precision.
        ValueError: shapes that do not fit, non-finite values, no gradient, a kernel larger than
            ``memory_gb``, or a module that mixes examples or is random.

    Warns:
        UserWarning: plain autograd took over, and why.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> empirical_ntk(model, torch.tensor([[1.0, 2.0], [0.0, 1.0]]), trace_outputs=True)
    tensor([[5., 2.],
            [2., 1.]])

    Claims C1.2, C1.3, C1.6, C1.7 and C1.9.
    """
    _checks.one_of("method", method, METHODS)
    if dtype is not None:
        model = copied(model, dtype)
    trainable(model)
    refuse_mixing(model)
    x1, x2 = _both(x1, x2, dtype)
    model = model.at_start() if isinstance(model, LinearizedNetwork) else model
    model = chosen(model, output)
    outputs = refuse_company(model, x1 if x2 is None else joined(x1, x2, ALONG))
    like = outputs_of(model, some(x1, 0, 1)).detach()
    n, m = length(x1), length(x1 if x2 is None else x2)
    spare = _spare_bytes(n, m, like.element_size(), outputs, trace_outputs, memory_gb)
    kernel = like.new_zeros((n, m) if trace_outputs else (n, outputs, m, outputs))
    if batch_size is not None:
        _checks.at_least("batch_size", batch_size, 1, 32)
    xs1, xs2 = parts(x1), None if x2 is None else parts(x2)
    plan = None if method == "general" else plan_of(model, xs1, _by_example)
    if plan is not None:
        rows = _rows(batch_size, spare, kept_bytes(plan, xs1, trace_outputs))
        found = structured_ntk(plan, xs1, xs2, kernel, rows)
        if found is not None:
            return found
    if method == "structured":
        raise ValueError(
            "method='structured' needs every trainable weight in a known layer (Linear, "
            "convolution, normalization, Embedding, PReLU) that is called once, unpatched and "
            "without hooks; try method='auto'."
        )
    return general_ntk(model, x1, x2, kernel, outputs=outputs, spare=spare, rows=batch_size)


def kernel_and_outputs(
    model: nn.Module, inputs: Any, output: Any = None
) -> tuple[Float[np.ndarray, "n c n c"], Float[np.ndarray, "n c"]]:
    """Return a network's kernel over all outputs and the outputs, in double precision.

    Raises:
        TypeError, ValueError: as `empirical_ntk`.
    """
    x = converted(examples("inputs", inputs), torch.float64)
    double = chosen(copied(model, torch.float64), output)
    kernel = empirical_ntk(double, x)
    return kernel.cpu().numpy(), outputs_of(double, x).detach().cpu().numpy()


def _both(x1: Any, x2: Any, dtype: torch.dtype | None) -> tuple[Inputs, Inputs | None]:
    """Return both sets of examples, of one kind."""
    x1 = examples("x1", x1)
    x2 = None if x2 is None else examples("x2", x2)
    if x2 is not None:
        first, second = parts(x1), parts(x2)
        shapes = [[tuple(part.shape[1:]) for part in x] for x in (first, second)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "x1 and x2 must hold examples of one shape, got "
                f"{' and '.join(', '.join(map(str, x)) for x in shapes)}."
            )
        if any(a.dtype != b.dtype for a, b in zip(first, second, strict=True)):
            raise TypeError(
                f"x1 and x2 must have one dtype, got {', '.join(str(a.dtype) for a in first)} and "
                f"{', '.join(str(b.dtype) for b in second)}; try x2.to(x1.dtype)."
            )
    if dtype is None:
        return x1, x2
    return converted(x1, dtype), None if x2 is None else converted(x2, dtype)


def _by_example(out: Tensor) -> Tensor:
    return out.reshape(len(out), -1)


def _spare_bytes(
    n: int, m: int, itemsize: int, outputs: int, trace_outputs: bool, memory_gb: float
) -> float:
    """Bytes left for gradients beside the kernel itself."""
    limit = 1e9 * _checks.positive("memory_gb", memory_gb, 4.0)
    traced = n * m * itemsize
    needed = traced if trace_outputs else traced * outputs**2
    if needed > limit:
        way = "" if trace_outputs else f"trace_outputs=True ({traced / 1e9:.3g} GB), "
        raise ValueError(
            f"the kernel of {n} × {m} examples and {outputs} outputs takes {needed / 1e9:.3g} GB, "
            f"more than memory_gb={memory_gb:g}; try {way}fewer examples, or a larger memory_gb."
        )
    return limit - needed


def _rows(batch_size: int | None, spare: float, bytes_per_example: int) -> int:
    if batch_size is not None:
        return batch_size
    rows = int(spare / 2 / bytes_per_example)
    if rows < 1:
        raise ValueError(
            f"the gradients of one example take {bytes_per_example / 1e9:.3g} GB, and "
            f"{spare / 1e9:.3g} GB of memory_gb are left beside the kernel for two of them; "
            "try a larger memory_gb."
        )
    return rows
