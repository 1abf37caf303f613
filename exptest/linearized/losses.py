"""A loss as a function of the outputs: its curvature, and whether it is a mean or a sum."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from exptest.linearized.inputs import refuse_complex

LossFn = Callable[[Tensor, Tensor], Tensor]


def loss_value(loss_fn: LossFn, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss, one finite number.

    Raises:
        TypeError: a complex loss.
        ValueError: the loss refuses these shapes, or returns anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Using a target size")  # torch would broadcast
            value = loss_fn(outputs, targets)
    except (RuntimeError, ValueError, IndexError, UserWarning) as error:
        raise ValueError(
            f"loss_fn refuses outputs of shape {tuple(outputs.shape)} and targets of shape "
            f"{tuple(targets.shape)}, {targets.dtype}: {error}"
        ) from error
    refuse_complex("the loss", value)
    if not isinstance(value, Tensor) or value.ndim != 0:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss_fn must return one number, got {got}; use reduction='mean'.")
    if not value.isfinite():
        raise ValueError(f"the loss is {value.item()}; look for non-finite targets.")
    return value


def loss_curvature(loss_fn: LossFn, outputs: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Return (∂²L/∂f²) v at the outputs f.

    Raises:
        ValueError: a loss that torch cannot differentiate twice.
    """
    f = outputs.detach().requires_grad_()
    try:
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(loss_fn(f, y), f, create_graph=True)
            if not slope.requires_grad:  # a loss that is linear in the outputs
                return torch.zeros_like(v)
            return torch.autograd.grad((slope * v).sum(), f, materialize_grads=True)[0]
    except RuntimeError as error:
        raise ValueError(f"loss_fn cannot be differentiated twice: {error}") from error


def largest_output_curvature(loss_fn: LossFn, outputs: Tensor, y: Tensor, averages: bool) -> float:
    """Return κ_f, the largest eigenvalue of ∂²ℓ_i/∂f² over the examples at these outputs."""
    flat = outputs.reshape(len(outputs), -1)
    columns = []
    for c in range(flat.shape[1]):
        v = torch.zeros_like(flat)
        v[:, c] = 1.0
        column = loss_curvature(loss_fn, outputs, y, v.view_as(outputs))
        columns.append(column.reshape(len(flat), -1))
    blocks = torch.stack(columns, dim=2) * (len(outputs) if averages else 1)
    return float(torch.linalg.eigvalsh((blocks + blocks.mT) / 2)[:, -1].max())


def averages_examples(loss_fn: LossFn, outputs: Tensor, targets: Tensor) -> bool:
    """Return whether the loss is a mean over examples: doubling the data leaves it as it is.

    Raises:
        ValueError: neither a mean nor a sum, or not a number.
    """
    pairs = [(torch.cat([outputs] * k), torch.cat([targets] * k)) for k in (1, 2)]
    once, twice = (loss_value(loss_fn, f, y) for f, y in pairs)
    if once == 0.0:  # where nothing is lost the curvature still tells a mean from a sum
        once, twice = (loss_curvature(loss_fn, f, y, torch.ones_like(f)).sum() for f, y in pairs)
    if torch.isclose(twice, once, rtol=1e-3, atol=0.0):
        return True
    if torch.isclose(twice, 2 * once, rtol=1e-3, atol=0.0):
        return False
    raise ValueError(
        "loss_fn must be a mean or a sum over examples; doubling the data changed it from "
        f"{once.item():.6g} to {twice.item():.6g}."
    )


def refuse_weighted_batches(
    loss_fn: LossFn, outputs: Tensor, targets: Tensor, rows: int, averages: bool
) -> None:
    """Raise unless the losses of batches of ``rows`` examples add up to the loss of all.

    Raises:
        ValueError: they do not, as with class weights or ignored targets.
    """
    n, whole = len(outputs), loss_fn(outputs, targets)
    batches = zip(outputs.split(rows), targets.split(rows), strict=True)
    parts = torch.stack([loss_fn(f, y) * (len(f) / n if averages else 1.0) for f, y in batches])
    if not (parts.sum() - whole).abs() <= 1e-3 * parts.abs().sum():
        raise ValueError(
            f"the losses of batches of {rows} do not add up to the loss of all examples "
            f"({parts.sum().item():.6g} against {whole.item():.6g}), as with class weights or "
            "ignored targets; try batch_size=None."
        )
