"""The layers whose gradient in their own weights is a sum of outer products, each kind once.

For a layer z = W x̃ (a 1 in x̃ for the bias), W applied at positions p and in groups g (one for a
dense layer), the gradient of output c on example i is G_icg = Σ_p ω_icgp x̃_igpᵀ with ω = ∂f_c/∂z.
Convolutions have patches for x̃; normalization scales every feature by itself: as many groups as
features, of x̃ = (x̂, 1).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    pad,
    rms_norm,
    unfold,
)

from exptest.linearized.wide import ScaledLinear

Patch = Shaped[Tensor, "n g k p"]
CONVOLUTIONS: dict[type, int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE: dict[type, int] = {nn.InstanceNorm1d: 1, nn.InstanceNorm2d: 2, nn.InstanceNorm3d: 3}
KNOWN = (
    nn.Linear, ScaledLinear, *CONVOLUTIONS, *BATCH, *INSTANCE, nn.LayerNorm, nn.RMSNorm,
    nn.GroupNorm, nn.Embedding, nn.PReLU,
)  # fmt: skip


def trained_by(layer: nn.Module) -> list[nn.Parameter]:
    """Return the trainable weights that the module itself holds, a weight before its bias."""
    held = sorted(layer._parameters.items(), reverse=True)
    return [p for _, p in held if p is not None and p.requires_grad]


def known(layer: nn.Module) -> bool:
    """Say whether `outer` knows the layer, and nothing on the instance changes what it does."""
    if type(layer) not in KNOWN or not {"weight", "bias"}.issuperset(layer._parameters):
        return False
    if any(callable(value) for value in vars(layer).values()):  # a patched forward
        return False
    if isinstance(layer, nn.Embedding):
        return layer.max_norm is None and not layer.scale_grad_by_freq and not layer.sparse
    if type(layer) in BATCH:
        return not layer.training and layer.running_mean is not None
    return True


def outer(
    layer: Any, h: Tensor, delta: Float[Tensor, "n c *shape"]
) -> tuple[Float[Tensor, "n c g o p"], Patch]:
    """Return ω and x̃: the gradient in the layer's weights is Σ_p ω x̃ᵀ, group by group.

    Args:
        layer: one that is `known`.
        h: its input.
        delta: gradients of every output by the layer's output.
    """
    kind = type(layer)
    if kind in CONVOLUTIONS:
        grouped = delta.flatten(3).unflatten(2, (layer.groups, -1))
        return grouped, _with_ones(layer, _windows(layer, h))
    if kind is nn.Embedding:
        delta = delta.reshape(*delta.shape[:2], -1, delta.shape[-1]).mT
        tokens = h.reshape(len(h), 1, 1, -1)
        if layer.padding_idx is not None:
            delta = delta * (tokens != layer.padding_idx)
        return delta.unsqueeze(2), tokens
    if kind in NORMALIZED or kind is nn.PReLU:
        return _by_feature(layer, h, delta)
    patch = h.reshape(len(h), 1, -1, h.shape[-1]).mT * getattr(layer, "scale", 1.0)
    delta = delta.reshape(*delta.shape[:2], 1, -1, delta.shape[-1]).mT
    return delta, _with_ones(layer, patch)


def _with_ones(layer: nn.Module, patch: Patch) -> Float[Tensor, "n g trained p"]:
    """Append what the bias is multiplied by; leave out what is frozen."""
    ones = patch.new_ones(*patch.shape[:2], 1, patch.shape[3])
    parts = [
        part
        for name, part in (("weight", patch), ("bias", ones))
        if (p := layer._parameters.get(name)) is not None and p.requires_grad
    ]
    return torch.cat(parts, dim=2)


# -- convolutions ------------------------------------------------------------------------------


def _windows(layer: Any, h: Tensor) -> Patch:
    """Return the patch under the kernel at every position, group by group."""
    dimensions = CONVOLUTIONS[type(layer)]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    margins = layer._reversed_padding_repeated_twice  # torch's own, "same" included
    if any(margins):
        h = pad(h, margins, mode=mode)
    if dimensions == 2:
        windows = unfold(h, layer.kernel_size, layer.dilation, 0, layer.stride)
        return windows.unflatten(1, (layer.groups, -1))
    for axis in range(dimensions):
        size, step = layer.kernel_size[axis], layer.dilation[axis]
        h = h.unfold(2 + axis, (size - 1) * step + 1, layer.stride[axis])[..., ::step]
    positions, places = h.shape[2 : 2 + dimensions], h.shape[2 + dimensions :]
    axes = (0, 1, *range(2 + dimensions, h.ndim), *range(2, 2 + dimensions))
    k = h.shape[1] // layer.groups * prod(places)
    return h.permute(axes).reshape(len(h), layer.groups, k, prod(positions))


# -- layers that scale every feature by itself ---------------------------------------------------


def _batch(layer: Any, h: Tensor) -> Tensor:
    return batch_norm(h, layer.running_mean, layer.running_var, eps=layer.eps)


def _instance(layer: Any, h: Tensor) -> Tensor:
    alone = layer.training or layer.running_mean is None
    return instance_norm(
        h, layer.running_mean, layer.running_var, use_input_stats=alone, momentum=0.0, eps=layer.eps
    )


NORMALIZED: dict[type, Callable[[Any, Tensor], Tensor]] = {
    **dict.fromkeys(BATCH, _batch),
    **dict.fromkeys(INSTANCE, _instance),
    nn.LayerNorm: lambda layer, h: layer_norm(h, layer.normalized_shape, eps=layer.eps),
    nn.RMSNorm: lambda layer, h: rms_norm(h, layer.normalized_shape, eps=layer.eps),
    nn.GroupNorm: lambda layer, h: group_norm(h, layer.num_groups, eps=layer.eps),
}


def _by_feature(
    layer: Any, h: Tensor, delta: Tensor
) -> tuple[Float[Tensor, "n c f 1 p"], Float[Tensor, "n f k p"]]:
    """Return ω and (x̂, 1) of every feature; PReLU multiplies its weight by min(x, 0)."""
    moved = h.clamp(max=0.0) if type(layer) is nn.PReLU else NORMALIZED[type(layer)](layer, h)
    features = layer.weight.numel()
    if type(layer) in (nn.LayerNorm, nn.RMSNorm):  # features last
        patch = moved.reshape(len(h), 1, -1, features).permute(0, 3, 1, 2)
        delta = delta.reshape(*delta.shape[:2], 1, -1, features).permute(0, 1, 4, 2, 3)
    else:  # features first
        patch = moved.reshape(len(h), features, 1, -1)
        delta = delta.reshape(*delta.shape[:2], features, 1, -1)
    return delta, _with_ones(layer, patch)
