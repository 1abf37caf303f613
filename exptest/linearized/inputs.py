"""What a network is given: one tensor with an example per row, or several of one length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

Inputs = Tensor | tuple[Tensor, ...]
COARSE = (torch.float16, torch.bfloat16)


def examples(name: str, x: Any) -> Inputs:
    """Return ``x`` if it is one finite tensor of examples, or a tuple of them of one length.

    Raises:
        TypeError: no tensor, or complex numbers.
        ValueError: empty, without a batch dimension, of several lengths, or non-finite.
    """
    if not isinstance(x, tuple):
        return _one(name, x, dimensions=2)
    if not x:
        raise ValueError(f"{name} must hold at least one tensor, got an empty tuple.")
    found = tuple(_one(f"{name}[{i}]", part, dimensions=1) for i, part in enumerate(x))
    lengths = [len(part) for part in found]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"{name} must hold tensors with one row per example each, got {lengths} rows."
        )
    return found


def _one(name: str, x: Any, dimensions: int) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, got {type(x).__name__}; try torch.as_tensor({name})."
        )
    refuse_complex(name, x)
    needed = dimensions if x.is_floating_point() else 1
    if x.ndim < needed or x.numel() == 0:
        raise ValueError(
            f"{name} must hold at least one example, one per row, got shape {tuple(x.shape)}; "
            f"a single feature needs {name}[:, None]."
        )
    if not x.isfinite().all():
        bad = int((~x.isfinite()).sum())
        raise ValueError(f"{name} hold {bad} non-finite values; remove or impute them first.")
    return x


def refuse_complex(name: str, values: Any) -> None:
    """Raise TypeError if ``values`` is a complex tensor: kernels and curvatures here are real."""
    if isinstance(values, Tensor) and values.is_complex():
        raise TypeError(
            f"{name} must be real, got {values.dtype}, whose gradients have no kernel here; "
            "try torch.view_as_real and real layers."
        )


def refuse_coarse(name: str, values: Tensor) -> None:
    """Raise TypeError if ``values`` are in half precision."""
    if values.dtype in COARSE:
        raise TypeError(
            f"{values.dtype} is too coarse for derivatives to be summed up, got {name}; try "
            "model.float(), inputs.float(), and no autocast."
        )


def parts(x: Inputs) -> tuple[Tensor, ...]:
    """Return the tensors, one or several."""
    return (x,) if isinstance(x, Tensor) else x


def length(x: Inputs) -> int:
    """Return the number of examples."""
    return len(parts(x)[0])


def some(x: Inputs, start: int, stop: int) -> Inputs:
    """Return some of the examples."""
    return x[start:stop] if isinstance(x, Tensor) else tuple(part[start:stop] for part in x)


def joined(first: Inputs, second: Inputs, count: int) -> Inputs:
    """Return up to ``count`` examples of each, the first ones first."""
    pairs = zip(parts(some(first, 0, count)), parts(some(second, 0, count)), strict=True)
    both = tuple(torch.cat(pair) for pair in pairs)
    return both[0] if isinstance(first, Tensor) else both


def split(x: Inputs, rows: int) -> Iterator[Inputs]:
    """Go through the examples, ``rows`` at a time."""
    for start in range(0, length(x), rows):
        yield some(x, start, start + rows)


def converted(x: Inputs, dtype: torch.dtype) -> Inputs:
    """Return the inputs in another precision; whole numbers and masks stay what they are."""
    if isinstance(x, Tensor):
        return x.to(dtype) if x.is_floating_point() else x
    return tuple(part.to(dtype) if part.is_floating_point() else part for part in x)


def described(x: Inputs) -> str:
    """Return shapes and dtypes in words."""
    return " and ".join(f"{tuple(part.shape)}, {part.dtype}" for part in parts(x))
