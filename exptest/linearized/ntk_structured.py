"""The empirical NTK of a stack of layers, from outer products, without its Jacobian.

For a layer z = W a the gradient of output c on example i is Σ_p δ_icp a_ipᵀ, where p runs over the
positions at which W is applied (one for a dense layer). Hence

    Θ_layer[i, c, j, d] = Σ_pq (δ_icp · δ_jdq)(a_ip · a_jq),

a product of two small Gram matrices where the Jacobian has as many columns as W has entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import unfold

from exptest.linearized.wide import ScaledLinear

DENSE = (nn.Linear, ScaledLinear)
# Layers without weights that treat every example by itself.
ALONE = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish,
    nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.ZeroPad2d,
)  # fmt: skip
SWEEP_BYTES = 2**27  # working memory of one sweep over examples
BLOCK = 64  # rows of a block of the kernel; small blocks waste less of a symmetric one


@dataclass(frozen=True)
class Factor:
    """One layer's gradients on n examples: ``delta ⊗ patch``, or summed already if patch is None.

    Attributes:
        delta: of each output by the layer's output; or by its weights.
        patch: what the weights multiply at each position, and a 1 for the bias.
    """

    delta: Float[Tensor, "n c o p"]
    patch: Float[Tensor, "n k p"] | None

    def rows(self, start: int, stop: int) -> Factor:
        """Return the factor of some of the examples."""
        patch = None if self.patch is None else self.patch[start:stop]
        return Factor(self.delta[start:stop], patch)


def layers_of(model: nn.Module) -> list[nn.Module] | None:
    """Return the layers of a plain stack, or None where only the general path is right."""
    layers = _flat(model)
    weights = [id(p) for layer in layers for p in layer.parameters()]
    plain = all(_supported(layer) for layer in layers) and len(set(weights)) == len(weights)
    return layers if plain else None


def structured_ntk(
    layers: list[nn.Module], x1: Tensor, x2: Tensor | None, kernel: Tensor, rows: int
) -> Tensor:
    """Fill in Θ between ``x1`` and ``x2``, holding the factors of 2 ``rows`` examples at a time."""
    if rows > BLOCK:
        rows -= rows % BLOCK
    trace_outputs = kernel.ndim == 2
    first = x1.split(rows)
    second = first if x2 is None else x2.split(rows)
    for i, some in enumerate(first):
        left = factors(layers, some, trace_outputs)
        for j in range(i if x2 is None else 0, len(second)):
            same = x2 is None and i == j
            right = left if same else factors(layers, second[j], trace_outputs)
            _add_products(kernel, left, right, (i * rows, j * rows), same)
    return kernel if x2 is not None else mirrored(kernel, min(rows, BLOCK))


def kept_bytes(layers: list[nn.Module], x: Tensor, trace_outputs: bool) -> int:
    """Bytes that the factors of one example occupy."""
    kept = factors(layers, x[:1], trace_outputs)
    numbers = sum(f.delta.numel() + (0 if f.patch is None else f.patch.numel()) for f in kept)
    return numbers * x.element_size()


def factors(layers: list[nn.Module], x: Tensor, trace_outputs: bool) -> list[Factor]:
    """Return every layer's factor, computed in sweeps of bounded memory."""
    out, owners, inputs, zs = probe(layers, x)
    numbers = sum(
        2 * h.numel() + (1 + out.shape[1]) * z.numel() for h, z in zip(inputs, zs, strict=True)
    )
    patches = sum(_patches(w, h).numel() for w, h in zip(owners, inputs, strict=True))
    sweep = max(1, SWEEP_BYTES // (x.element_size() * (numbers + patches)))
    parts = [_sweep(layers, some, trace_outputs) for some in x.split(sweep)]
    return [_joined(pieces) for pieces in zip(*parts, strict=True)]


def probe(layers: list[nn.Module], x: Tensor) -> tuple[Tensor, list[nn.Module], list, list]:
    """Run the stack on one example, to learn its shapes."""
    return _run(layers, x[:1])


def _flat(model: nn.Module) -> list[nn.Module]:
    if type(model) is not nn.Sequential or _hooked(model):
        return [model]
    return [layer for child in model for layer in _flat(child)]


def _hooked(module: nn.Module) -> bool:
    return any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks))


def _supported(layer: nn.Module) -> bool:
    if _hooked(layer):
        return False
    if type(layer) is nn.Conv2d:
        known_padding = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return layer.groups == 1 and known_padding
    if type(layer) is nn.Flatten:
        return layer.start_dim >= 1
    if type(layer) is nn.Unflatten:
        return isinstance(layer.dim, int) and layer.dim >= 1
    return type(layer) in DENSE + ALONE


def _run(layers: list[nn.Module], x: Tensor) -> tuple[Tensor, list[nn.Module], list, list]:
    """Return the output and, of every trainable layer, itself, its input and its output."""
    owners, inputs, zs = [], [], []
    with torch.enable_grad():
        for layer in layers:
            if any(p.requires_grad for p in layer.parameters()):
                owners.append(layer)
                inputs.append(x.detach())
                x = layer(x)
                zs.append(x)
            else:
                # An in-place activation would overwrite the output that it is differentiated by.
                x = layer(x.clone() if getattr(layer, "inplace", False) else x)
        return x.reshape(len(x), -1), owners, inputs, zs


def _sweep(layers: list[nn.Module], x: Tensor, trace_outputs: bool) -> list[Factor]:
    out, owners, inputs, zs = _run(layers, x)
    with torch.enable_grad():  # the caller may be under no_grad
        columns = out.sum(0).unbind()
    # Examples do not mix, so one backward pass serves a whole column of outputs.
    deltas = [torch.autograd.grad(column, zs, retain_graph=True) for column in columns]
    found = []
    for layer, h, *by_output in zip(owners, inputs, *deltas, strict=True):
        delta, patch = _positions(layer, torch.stack(by_output, dim=1)), _patches(layer, h)
        found.append(_cheaper(delta, patch, trace_outputs))
    return found


def _positions(layer: nn.Module, delta: Float[Tensor, "n c *shape"]) -> Float[Tensor, "n c o p"]:
    if type(layer) is nn.Conv2d:
        return delta.flatten(3)
    return delta.reshape(*delta.shape[:2], -1, delta.shape[-1]).transpose(2, 3)


def _patches(layer: nn.Module, h: Tensor) -> Float[Tensor, "n k p"]:
    """What the trainable weights of ``layer`` multiply at each position."""
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        patch = unfold(h, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    else:
        patch = h.reshape(len(h), -1, h.shape[-1]).transpose(1, 2) * getattr(layer, "scale", 1.0)
    ones = patch.new_ones(len(h), 1, patch.shape[2])
    multiplied = {"weight": patch, "bias": ones}
    named = layer.named_parameters()
    return torch.cat([multiplied[name] for name, p in named if p.requires_grad], dim=1)


def _cheaper(delta: Tensor, patch: Tensor, trace_outputs: bool) -> Factor:
    """Keep positions apart, or sum over them: whichever makes a pair of examples cheaper."""
    (_, c, o, p), k = delta.shape, patch.shape[1]
    if p == 1:
        return Factor(delta, patch)
    if trace_outputs:
        apart, summed = p * p * (k + c * o), c * o * k
    else:
        apart, summed = p * p * (k + c * o) + c * c * o * p, c * c * o * k
    if apart < summed:
        return Factor(delta, patch)
    return Factor((delta.flatten(1, 2) @ patch.mT).reshape(len(delta), c, -1, 1), None)


def _joined(pieces: tuple[Factor, ...]) -> Factor:
    if len(pieces) == 1:
        return pieces[0]
    patches = [f.patch for f in pieces if f.patch is not None]
    return Factor(torch.cat([f.delta for f in pieces]), torch.cat(patches) if patches else None)


def _add_products(
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
    near = f.patch.flatten(1) @ g.patch.flatten(1).mT
    block.addcmul_(gram, near if block.ndim == 2 else near[:, None, :, None])


def _at_positions(
    delta: Float[Tensor, "c o p"], patch: Float[Tensor, "k p"], g: Factor, *, trace_outputs: bool
) -> Tensor:
    """One example's row of a layer's kernel, its positions kept apart."""
    assert g.patch is not None
    near = patch.mT @ g.patch  # (m, p, q): a_p · a_q
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
    flipped = kernel.mT if kernel.ndim == 2 else kernel.permute(2, 3, 0, 1)
    for start in range(step, len(kernel), step):
        rows = slice(start, start + step)
        if kernel.ndim == 2:
            kernel[rows, :start] = flipped[rows, :start]
        else:
            kernel[rows, :, :start] = flipped[rows, :, :start]
    return kernel
