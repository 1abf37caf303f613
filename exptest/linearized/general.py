"""Θ = J Jᵀ from the Jacobian of all examples, a block of its columns at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from exptest.linearized.inputs import Inputs, length, split
from exptest.linearized.jacobians import Jacobians
from exptest.linearized.networks import call
from exptest.linearized.ntk_products import mirrored

STRIPE = 256  # rows of a symmetric product computed at a time, to its right end only
STACKED = 3  # copies of a Jacobian that reverse mode holds while it is stacked (measured)
MOVING = 16  # of the largest activation, per output, on the way back (measured on a ResNet-18)

Piece = tuple[str, int, int]  # columns start to stop of one parameter


@dataclass(frozen=True)
class Room:
    """What there is to spend, and what each thing costs, in bytes.

    Attributes:
        spare: for all of it.
        column: one column of the Jacobian of all examples, of both sets.
        entry: one column of one example's.
        graph: what one example's forward and backward pass hold beside the Jacobian.
        rows: examples to differentiate at a time; what fits if None.
    """

    spare: float
    column: int
    entry: int
    graph: int
    rows: int | None

    def width(self, largest: int) -> int:
        """Columns of a block, so that the examples differentiated at a time fit beside it.

        Raises:
            ValueError: not even one does.
        """
        rows = self.rows or 1
        left = self.spare - rows * (self.graph + STACKED * self.entry * largest)
        width = int(left / (self.column + STACKED * self.entry * rows))
        if width < 1:
            needed = self.graph + STACKED * self.entry * largest + self.column
            raise ValueError(
                f"the gradients of one example take {needed / 1e9:.3g} GB, and "
                f"{self.spare / 1e9:.3g} GB of memory_gb are left beside the kernel; try a larger "
                "memory_gb, or a smaller batch_size."
            )
        return width

    def examples(self, width: int, touched: int) -> int:
        """Examples to differentiate at a time beside a block of so many columns."""
        left = self.spare - self.column * width
        return self.rows or max(1, int(left / (self.graph + STACKED * self.entry * touched)))


def general_ntk(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None,
    kernel: Tensor,
    *,
    outputs: int,
    spare: float,
    rows: int | None,
) -> Tensor:
    """Fill in Θ = J₁J₂ᵀ; every example is differentiated by every parameter once.

    Raises:
        ValueError: one example takes more than ``spare`` bytes.
    """
    jacobians = Jacobians(model)
    sizes = {name: w.numel() for name, w in jacobians.weights.items()}
    number = outputs * kernel.element_size()
    sets = [x1] if x2 is None else [x1, x2]
    together = sum(length(x) for x in sets)
    graph = graph_bytes(model, next(split(x1, 1)), outputs)
    room = Room(spare, together * number, number, graph, rows)
    flat = kernel if kernel.ndim == 2 else kernel.view(kernel.shape[0] * outputs, -1)
    for block in blocks(sizes, room.width(max(sizes.values()))):
        few = room.examples(
            sum(stop - start for _, start, stop in block), sum(sizes[name] for name, *_ in block)
        )
        left, *right = [columns(jacobians, x, block, outputs, few, kernel) for x in sets]
        _add_product(flat, left, right[0] if right else None)
        del left, right
    if x2 is None:
        mirrored(flat, STRIPE)
    return kernel


def blocks(sizes: dict[str, int], width: int) -> list[list[Piece]]:
    """Return the parameters in order, in runs of at most ``width`` columns.

    Only a parameter that is wider by itself is cut, and its Jacobian computed once per piece.

    >>> blocks({"a": 2, "b": 3, "c": 9}, 5)
    [[('a', 0, 2), ('b', 0, 3)], [('c', 0, 5)], [('c', 5, 9)]]
    """
    found: list[list[Piece]] = []
    left = 0
    for name, size in sizes.items():
        for start in range(0, size, width):
            stop = min(start + width, size)
            if size > width or stop - start > left:
                found.append([])
                left = width
            found[-1].append((name, start, stop))
            left = 0 if size > width else left - (stop - start)
    return found


def columns(
    jacobians: Jacobians, x: Inputs, block: list[Piece], outputs: int, rows: int, like: Tensor
) -> Float[Tensor, "n c width"]:
    """Return the block's columns of the Jacobian of all examples."""
    names = tuple(name for name, *_ in block)
    width = sum(stop - start for _, start, stop in block)
    found = like.new_empty(length(x), outputs, width)
    for i, few in enumerate(split(x, rows)):
        parts = jacobians.of(few, names)
        at = 0
        for name, start, stop in block:
            here = found[i * rows : i * rows + rows, :, at : at + stop - start]
            here.copy_(parts.pop(name)[:, :, start:stop])
            at += stop - start
    return found


def _add_product(flat: Tensor, left: Tensor, right: Tensor | None) -> None:
    """Add J₁J₂ᵀ; of a symmetric product only what lies right of the diagonal's stripes."""
    n, m = flat.shape
    left = left.reshape(n, -1)
    if right is not None:
        flat.addmm_(left, right.reshape(m, -1).mT)
        return
    for start in range(0, n, STRIPE):
        stop = min(start + STRIPE, n)
        flat[start:stop, start:].addmm_(left[start:stop], left[start:].mT)


def graph_bytes(model: nn.Module, example: Inputs, outputs: int) -> int:
    """Bytes that differentiating one example holds: what is saved, and a row per output moving.

    A model that uses torch.func itself cannot be watched: it is taken to save as much as it weighs.
    """
    saved: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def seen(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(seen, lambda t: t):
            call(model, example)
    except RuntimeError:
        saved = {i: p.nbytes for i, p in enumerate(model.parameters())}
    return sum(saved.values()) + MOVING * outputs * max(saved.values(), default=0)
