"""The kernel of one layer from the two factors of its gradients, block by block.

A factor holds ω ⊗ x̃ at every position p at which the weights are applied. Summed over positions,

    Θ_layer[i, c, j, d] = Σ_pq (ω_icp · ω_jdq)(x̃_ip · x̃_jq),

a product of two small Gram matrices where the Jacobian has as many columns as there are weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

BLOCK = 32  # rows of a block of the kernel; small blocks waste less of a symmetric one


@dataclass(frozen=True)
class Factor:
    """One layer's gradients on n examples: ``delta ⊗ patch``, or summed already if patch is None.

    Attributes:
        delta: of each output by the layer's output; or by its weights.
        patch: what the weights multiply at each position, and a 1 for the bias; whole numbers
            stand for one-hot vectors.
    """

    delta: Float[Tensor, "n c o p"]
    patch: Shaped[Tensor, "n k p"] | None

    def rows(self, start: int, stop: int) -> Factor:
        """Return the factor of some of the examples."""
        patch = None if self.patch is None else self.patch[start:stop]
        return Factor(self.delta[start:stop], patch)

    def form(self) -> tuple[torch.Size, bool]:
        """Return what two factors must have in common to be multiplied."""
        return self.delta.shape[1:], self.patch is None

    def size(self) -> int:
        """Return the bytes that it occupies."""
        return self.delta.nbytes + (0 if self.patch is None else self.patch.nbytes)

    def combined(self, weights: Float[Tensor, "n c"]) -> Float[Tensor, "o k"]:
        """Return the gradient of a combination of outputs, Σ_icp weights_ic ω_icp x̃_ipᵀ."""
        assert self.patch is not None
        mixed = torch.einsum("nc,ncop->onp", weights, self.delta)
        return mixed.flatten(1) @ self.patch.mT.flatten(0, 1)

    def table(self, weights: Float[Tensor, "n c"], rows: int) -> Float[Tensor, "rows o"]:
        """Return the same, transposed, where whole numbers stand for one-hot vectors."""
        assert self.patch is not None
        mixed = torch.einsum("nc,ncop->npo", weights, self.delta).flatten(0, 1)
        return mixed.new_zeros(rows, mixed.shape[1]).index_add_(0, self.patch.flatten(), mixed)


def joined(pieces: Sequence[Factor]) -> Factor:
    """Return the factor of the examples of all pieces, in their order."""
    if len(pieces) == 1:
        return pieces[0]
    patches = [f.patch for f in pieces if f.patch is not None]
    return Factor(torch.cat([f.delta for f in pieces]), torch.cat(patches) if patches else None)


def add_products(
    kernel: Tensor, left: list[Factor], right: list[Factor], corner: tuple[int, int], same: bool
) -> None:
    """Write the sum over layers at ``corner``; of a diagonal block only what lies right of it."""
    n, m = len(left[0].delta), len(right[0].delta)
    for start in range(0, n, BLOCK):
        stop, skip = min(start + BLOCK, n), start if same else 0
        block = block_of(kernel, corner[0] + start, stop - start, corner[1] + skip, m - skip)
        for f, g in zip(left, right, strict=True):
            _add_product(block, f.rows(start, stop), g.rows(skip, m))


def _add_product(block: Tensor, f: Factor, g: Factor) -> None:
    """Add one layer's kernel between two sets of examples."""
    (n, c, _, p), m = f.delta.shape, len(g.delta)
    if f.patch is not None and g.patch is not None and p > 1:
        for row, delta, patch in zip(block, f.delta, f.patch, strict=True):
            row += _at_positions(delta, patch, g, trace_outputs=block.ndim == 2)
        return
    if block.ndim == 2:
        gram = f.delta.flatten(1) @ g.delta.flatten(1).mT
    else:
        gram = (f.delta.reshape(n * c, -1) @ g.delta.reshape(m * c, -1).mT).view(n, c, m, c)
    if f.patch is None or g.patch is None:
        block += gram
        return
    near = _near(f.patch[:, :, 0].mT, g.patch[:, :, 0].mT, gram.dtype)
    block.addcmul_(gram, near if block.ndim == 2 else near[:, None, :, None])


def _near(
    left: Shaped[Tensor, "k p"], right: Shaped[Tensor, "*m k q"], dtype: torch.dtype
) -> Float[Tensor, "*m p q"]:
    """Return x̃_p · x̃_q; of one-hot vectors it is 1 where they are the same."""
    if left.is_floating_point():
        return left.mT @ right
    return (left.mT == right).to(dtype)


def _at_positions(
    delta: Float[Tensor, "c o p"], patch: Shaped[Tensor, "k p"], g: Factor, *, trace_outputs: bool
) -> Tensor:
    """One example's row of a layer's kernel, its positions kept apart."""
    assert g.patch is not None
    near = _near(patch, g.patch, delta.dtype)  # (m, p, q): x̃_p · x̃_q
    if trace_outputs:
        gram = delta.flatten(0, 1).mT @ g.delta.flatten(1, 2)
        return (near * gram).sum((1, 2))
    moved = delta.flatten(0, 1) @ near  # (m, c o, q)
    m, c = len(near), len(delta)
    return (moved.reshape(m, c, -1) @ g.delta.reshape(m, c, -1).mT).transpose(0, 1)


def block_of(kernel: Tensor, row: int, height: int, column: int, width: int) -> Tensor:
    """Return a view of the kernel between two runs of examples."""
    rows, columns = slice(row, row + height), slice(column, column + width)
    return kernel[rows, columns] if kernel.ndim == 2 else kernel[rows, :, columns]


def mirrored(kernel: Tensor, step: int) -> Tensor:
    """Fill in what lies below the diagonal, ``step`` rows at a time."""
    outputs = 1 if kernel.ndim == 2 else kernel.shape[1]
    flat, size = kernel.view(len(kernel) * outputs, -1), step * outputs
    for start in range(size, len(flat), size):
        above = flat[:start, start : start + size].contiguous()  # twice as fast to transpose
        flat[start : start + size, :start] = above.mT
    return kernel
