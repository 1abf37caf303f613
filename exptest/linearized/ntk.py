"""The empirical neural tangent kernel Θ = J Jᵀ of any module, exactly and in bounded memory."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import jacrev, vmap

from exptest import _checks
from exptest.linearized.networks import (
    examples,
    function_of_weights,
    refuse_company,
    refuse_mixing,
    silenced,
    trainable,
)
from exptest.linearized.ntk_products import block_of, mirrored
from exptest.linearized.ntk_structured import kept_bytes, plan_of, structured_ntk

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
) -> Float[Tensor, "n c m c"] | Float[Tensor, "n m"]:
    """Return the empirical neural tangent kernel of a network at its present weights.

    Θ[i, c, j, d] = Σ_θ (∂f_c(x_i)/∂θ) (∂f_d(x_j)/∂θ), θ over the parameters that require gradients.
    A network goes the structured way, which never builds the Jacobian, if all its trainable weights
    belong to Linear, Conv1d/2d/3d, BatchNorm, LayerNorm, RMSNorm, GroupNorm, InstanceNorm,
    Embedding or PReLU layers that are called once each, whatever the graph between them; not if a
    weight is shared, held by another module or used outside its layer, or a module is hooked,
    patched or parametrized: then, and where the two ways differ, it goes through torch.func.

    Args:
        model: any module that torch.func accepts, with outputs (n, C) or (n,). Dropout and batch
            normalization must be in evaluation mode; in-place activations are fine. It is not
            changed.
        x1: inputs, floating point, shape (n, ...).
        x2: other inputs, shape (m, ...); by default ``x1``, and then Θ is symmetric.
        trace_outputs: sum over c = d, which is what a loss that treats outputs alike sees first.
        batch_size: examples whose gradients are held at a time; by default what fits the memory.
        dtype: compute in this precision, e.g. ``torch.float64``.
        memory_gb: gigabytes that the kernel and the gradients held may take together.
        method: ``"auto"``, or ``"structured"`` / ``"general"`` to insist.

    Returns:
        Θ, shape (n, C, m, C), or (n, m) if traced.

    Raises:
        TypeError: inputs are no floating-point tensor.
        ValueError: shapes that do not fit, non-finite values, no gradient, a kernel larger than
            ``memory_gb``, or a module that mixes examples or is random.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> empirical_ntk(model, torch.tensor([[1.0, 2.0], [0.0, 1.0]]), trace_outputs=True)
    tensor([[5., 2.],
            [2., 1.]])

    Claims C1.2, C1.3.
    """
    _checks.one_of("method", method, METHODS)
    trainable(model)
    refuse_mixing(model)
    x1 = examples("x1", x1)
    x2 = None if x2 is None else examples("x2", x2)
    if x2 is not None and x2.shape[1:] != x1.shape[1:]:
        raise ValueError(
            f"x1 and x2 must hold examples of one shape, got {tuple(x1.shape[1:])} and "
            f"{tuple(x2.shape[1:])}."
        )
    if x2 is not None and x2.dtype != x1.dtype:
        raise TypeError(
            f"x1 and x2 must have one dtype, got {x1.dtype} and {x2.dtype}; try x2.to(x1.dtype)."
        )
    if dtype is not None:
        model, x1 = deepcopy(model).to(dtype), x1.to(dtype)
        x2 = None if x2 is None else x2.to(dtype)
    outputs = refuse_company(model, x1)
    spare = _spare_bytes(x1, x2, outputs, trace_outputs, memory_gb)
    plan = None if method == "general" else plan_of(model, (x1,), _by_example)
    n, m = len(x1), len(x1 if x2 is None else x2)
    kernel = x1.new_zeros((n, m) if trace_outputs else (n, outputs, m, outputs))
    if plan is not None:
        rows = _rows(batch_size, spare, kept_bytes(plan, (x1,), trace_outputs))
        found = structured_ntk(plan, (x1,), None if x2 is None else (x2,), kernel, rows)
        if found is not None:
            return found
    if method == "structured":
        raise ValueError(
            "method='structured' needs every trainable weight in a known layer (Linear, "
            "convolution, normalization, Embedding, PReLU) that is called once, unpatched and "
            "without hooks; try method='auto'."
        )
    numbers = outputs * sum(p.numel() for p in trainable(model).values())
    # Reverse mode holds the Jacobian of one set twice while it is stacked.
    rows = _rows(batch_size, spare, 2 * numbers * x1.element_size())
    return general_ntk(model, x1, x2, kernel, rows)


def general_ntk(
    model: nn.Module, x1: Tensor, x2: Tensor | None, kernel: Tensor, rows: int
) -> Tensor:
    """Fill in Θ = J₁J₂ᵀ from Jacobians of ``rows`` examples at a time (torch.func)."""
    first = x1.split(rows)
    second = first if x2 is None else x2.split(rows)
    for i, some in enumerate(first):
        left = jacobian(model, some)
        for j in range(i if x2 is None else 0, len(second)):
            right = left if x2 is None and j == i else jacobian(model, second[j])
            block = block_of(kernel, i * rows, len(some), j * rows, len(second[j]))
            for f, g in zip(left, right, strict=True):
                pattern = "ncp,mcp->nm" if kernel.ndim == 2 else "ncp,mdp->ncmd"
                block += torch.einsum(pattern, f, g)
    return kernel if x2 is not None else mirrored(kernel, rows)


def jacobian(model: nn.Module, x: Tensor) -> list[Float[Tensor, "n c p"]]:
    """Return every parameter's block of the Jacobian, one row per example and output."""
    network = function_of_weights(model)

    def one(weights: dict[str, Tensor], example: Tensor) -> Tensor:
        return network(weights, example.unsqueeze(0)).reshape(-1)

    try:
        with silenced("There is a performance drop"):
            blocks = vmap(jacrev(one), (None, 0))(trainable(model), x)
    except RuntimeError as error:
        raise ValueError(
            f"torch.func cannot differentiate this model one example at a time: {error}"
        ) from error
    return [block.detach().flatten(2) for block in blocks.values()]


def _by_example(out: Tensor) -> Tensor:
    return out.reshape(len(out), -1)


def _spare_bytes(
    x1: Tensor, x2: Tensor | None, outputs: int, trace_outputs: bool, memory_gb: float
) -> float:
    """Bytes left for gradients beside the kernel itself."""
    limit = 1e9 * _checks.positive("memory_gb", memory_gb, 4.0)
    n, m = len(x1), len(x1 if x2 is None else x2)
    traced = n * m * x1.element_size()
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
        return _checks.at_least("batch_size", batch_size, 1, 32)
    rows = int(spare / 2 / bytes_per_example)
    if rows < 1:
        raise ValueError(
            f"the gradients of one example take {bytes_per_example / 1e9:.3g} GB, and "
            f"{spare / 1e9:.3g} GB of memory_gb are left beside the kernel for two of them; "
            "try a larger memory_gb."
        )
    return rows
