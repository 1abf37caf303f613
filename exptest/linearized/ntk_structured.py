"""The empirical NTK of a network of known layers, from outer products, without its Jacobian.

Whatever the graph between them (skip connections, branches, attention from projections): if every
trainable weight belongs to a known layer and every such layer, a leaf, is called once, the kernel
is a sum over leaves. Hooks record what a leaf takes and gives, and one backward pass a column of
outputs gives ω, because examples do not mix. Nothing of that is taken on trust: in every sweep a
random combination of all gradients, as the factors have it, is compared with plain autograd's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from exptest.linearized.ntk_leaves import outer, trained_by
from exptest.linearized.ntk_products import BLOCK, Factor, add_products, joined, mirrored
from exptest.linearized.ntk_record import (
    Call,
    NotStructuredError,
    Plan,
    leaves_of,
    outputs_at,
    recorded,
    without_examples,
)

SWEEP_BYTES = 2**27  # working memory of one sweep over examples
PASS = 8  # multiplications in the time of one pass of a factor over the kernel
TOLERANCE = 3.0  # in √eps: of a gradient from factors beside plain autograd's


def plan_of(model: nn.Module, xs: tuple[Tensor, ...], read: Callable[[Any], Tensor]) -> Plan | None:
    """Return how to take a network apart, or None where only the general path is right.

    Two examples are tried: their gradient, from factors, must be that of the network itself.

    Args:
        model: any module.
        xs: its inputs, each of one length.
        read: what turns its result into outputs of shape (n, C).
    """
    leaves = leaves_of(model)
    if leaves is None:
        return None
    plan = Plan(model, read, leaves)
    one = tuple(x[:1] for x in xs)
    two = tuple(x[:2] if len(x) > 1 else x.repeat_interleave(2, 0) for x in xs)
    try:
        plan = replace(plan, shared=without_examples(plan, one))
        recorded(plan, one)
        combined = replace(plan, read=lambda result: _combined(read(result)))
        with torch.enable_grad():  # the caller may be under no_grad
            total = _combined(outputs_at(combined, two)).sum()
        truth = torch.autograd.grad(total, plan.weights(), materialize_grads=True)
        _sweep(combined, two, True, truth)
    except (NotStructuredError, RuntimeError):  # as vmap and what is changed in place raise it
        return None
    return plan


def structured_ntk(
    plan: Plan, xs1: tuple[Tensor, ...], xs2: tuple[Tensor, ...] | None, kernel: Tensor, rows: int
) -> Tensor | None:
    """Fill in Θ between ``xs1`` and ``xs2``, holding the factors of 2 ``rows`` examples at a time.

    Returns None, and a kernel of zeros, where examples come that the plan does not hold for.
    """
    if rows > BLOCK:
        rows -= rows % BLOCK
    trace_outputs = kernel.ndim == 2
    first = _split(xs1, rows)
    second = first if xs2 is None else _split(xs2, rows)
    try:
        for i, some in enumerate(first):
            left = factors(plan, some, trace_outputs)
            for j in range(i if xs2 is None else 0, len(second)):
                same = xs2 is None and i == j
                right = left if same else factors(plan, second[j], trace_outputs)
                if [f.form() for f in left] != [g.form() for g in right]:
                    raise NotStructuredError
                add_products(kernel, left, right, (i * rows, j * rows), same)
    except (NotStructuredError, RuntimeError):
        kernel.zero_()
        return None
    return kernel if xs2 is not None else mirrored(kernel, min(rows, BLOCK))


def _split(xs: tuple[Tensor, ...], rows: int) -> list[tuple[Tensor, ...]]:
    return list(zip(*(x.split(rows) for x in xs), strict=True))


def kept_bytes(plan: Plan, xs: tuple[Tensor, ...], trace_outputs: bool) -> int:
    """Bytes that the factors of one example occupy."""
    shapes = _shapes(plan, xs)
    kept = [f for _, delta, patch in shapes for f in _cheaper(delta, patch, trace_outputs)]
    return sum(factor.size() for factor in kept)


def factors(plan: Plan, xs: tuple[Tensor, ...], trace_outputs: bool) -> list[Factor]:
    """Return the factors of all leaves, computed in sweeps of bounded memory."""
    worked = sum(
        2 * (call.input.nbytes + call.output.nbytes) + delta.nbytes + patch.nbytes
        for call, delta, patch in _shapes(plan, xs)
    )
    sweep = max(1, SWEEP_BYTES // worked)
    parts = [_sweep(plan, some, trace_outputs) for some in _split(xs, sweep)]
    return [joined(pieces) for pieces in zip(*parts, strict=True)]


def _shapes(plan: Plan, xs: tuple[Tensor, ...]) -> list[tuple[Call, Tensor, Tensor]]:
    """Return every leaf's call on one example, with its x̃ and zeros for ω."""
    out, calls = recorded(plan, tuple(x[:1] for x in xs))
    shapes = []
    for call in calls:
        delta = call.output.new_zeros(len(call.output), out.shape[1], *call.output.shape[1:])
        shapes.append((call, *_parted(call, delta, 1)))
    return shapes


def _sweep(
    plan: Plan,
    xs: tuple[Tensor, ...],
    trace_outputs: bool,
    truth: tuple[Tensor, ...] | None = None,
) -> list[Factor]:
    """Return the factors of some examples, checked against ``truth``: by default autograd's."""
    out, calls = recorded(plan, xs)
    zs = [call.output for call in calls]
    weights = _random(out)
    with torch.enable_grad():
        columns, combined = out.sum(0).unbind(), (out * weights).sum()
    # Examples do not mix, so one backward pass serves a whole column of outputs.
    deltas = [
        torch.autograd.grad(c, zs, retain_graph=True, materialize_grads=True) for c in columns
    ]
    if truth is None:
        truth = torch.autograd.grad(combined, plan.weights(), materialize_grads=True)
    found, gradient, n = [], list[Tensor](), len(out)
    for call, *by_output in zip(calls, *deltas, strict=True):
        delta, patch = _parted(call, torch.stack(by_output, dim=1), n)
        kept = _cheaper(delta, patch, trace_outputs)
        gradient += _combination(call.layer, kept, weights)
        found += kept
    _insist(gradient, truth)
    return found


def _combined(out: Tensor) -> Tensor:
    return (out * _random(out)).sum(1, keepdim=True)


def _random(out: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(out.shape, generator=generator, dtype=out.dtype).to(out.device)


def _parted(call: Call, delta: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return ω (n, C, g, o, p) and x̃ (n, g, k, p); rows of one example count as positions."""
    delta, patch = outer(call.layer, call.input, delta)
    if len(patch) == n:
        return delta, patch
    folded = (t.unflatten(0, (n, -1)).movedim(1, -2).flatten(-2) for t in (delta, patch))
    return next(folded), next(folded)


def _cheaper(delta: Tensor, patch: Tensor, trace_outputs: bool) -> list[Factor]:
    """Keep positions apart, or sum over them: whichever makes a pair of examples cheaper."""
    (_, c, g, o, p), k = delta.shape, patch.shape[2]
    pairs = c if trace_outputs else c * c
    apart, summed = p * p * (k + c * o), pairs * o * k
    if p == 1:
        apart = k + pairs * (o + PASS)
    elif not trace_outputs:
        apart += pairs * o * p
    if apart < summed or not patch.is_floating_point():
        return [Factor(delta[:, :, group], patch[:, group]) for group in range(g)]
    whole = delta.transpose(1, 2).flatten(2, 3) @ patch.mT  # (n, g, c o, k)
    whole = whole.unflatten(2, (c, o)).transpose(1, 2)
    return [Factor(whole.reshape(len(delta), c, -1, 1), None)]


def _combination(layer: nn.Module, kept: list[Factor], weights: Tensor) -> list[Tensor]:
    """Return Σ_ic ``weights``[i, c] · ∂f_c(x_i) by every trainable weight of the layer."""
    trained = trained_by(layer)
    if type(layer) is nn.Embedding:
        return [kept[0].table(weights, len(trained[0]))]
    if kept[0].patch is None:
        whole = torch.tensordot(weights, kept[0].delta, dims=2)
    else:
        whole = torch.stack([f.combined(weights) for f in kept])  # (g, o, k)
    if len(trained) == 1:
        return [whole.reshape(trained[0].shape)]
    whole = whole.reshape(trained[1].numel(), -1)  # the bias comes last
    parts = (whole[:, :-1], whole[:, -1])
    return [part.reshape(p.shape) for part, p in zip(parts, trained, strict=True)]


def _insist(gradient: list[Tensor], truth: tuple[Tensor, ...]) -> None:
    """Raise unless the two gradients are the same but for rounding."""
    gap = sum((a - b).square().sum() for a, b in zip(gradient, truth, strict=True))
    size = sum(b.square().sum() for b in truth)
    limit = TOLERANCE**2 * torch.finfo(truth[0].dtype).eps
    if not gap <= limit * size:  # nor if it is not a number
        raise NotStructuredError
