"""What every file of this wing asks of a network before it differentiates it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

COMPANY = 8  # examples tried alone and together
RANDOM = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
)


def trainable(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that require gradients, detached, by name.

    Raises:
        TypeError: not a module, or complex weights.
        ValueError: nothing to train, or non-finite weights.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    weights = {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}
    if not weights:
        raise ValueError(
            "model has no trainable parameters; set requires_grad=True on those to differentiate."
        )
    for name, weight in weights.items():
        refuse_complex(f"parameter {name!r}", weight)
        if not weight.isfinite().all():
            raise ValueError(f"parameter {name!r} holds non-finite values; reset the model first.")
    return weights


def refuse_complex(name: str, values: Any) -> None:
    """Raise TypeError if ``values`` is a complex tensor: kernels and curvatures here are real."""
    if isinstance(values, Tensor) and values.is_complex():
        raise TypeError(
            f"{name} must be real, got {values.dtype}, whose gradients have no kernel here; "
            "try torch.view_as_real and real layers."
        )


def refuse_mixing(model: nn.Module) -> None:
    """Refuse modules that, as they stand, are random, change as they run, or mix examples.

    Raises:
        ValueError: batch normalization, dropout or running statistics in training mode.
    """
    for name, module in model.named_modules():
        kind, place = type(module).__name__, repr(name) if name else "the model itself"
        if isinstance(module, nn.modules.batchnorm._NormBase) and _uses_batch(module):
            raise ValueError(
                f"{kind} at {place} normalizes by its batch, so no output is a function of its "
                f"own example; call model.eval() first, on a module that tracks running statistics."
            )
        if module.training and _keeps_statistics(module):
            raise ValueError(
                f"{kind} at {place} updates its buffers at every call in training mode; call "
                f"model.eval() first."
            )
        noisy = isinstance(module, RANDOM) and getattr(module, "p", 1.0) > 0.0
        if noisy and module.training:
            raise ValueError(
                f"{kind} at {place} is random in training mode; call model.eval() first."
            )


def _uses_batch(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return False
    return module.training or getattr(module, "running_mean", None) is None


def _keeps_statistics(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return bool(module.track_running_stats)
    return isinstance(module, nn.utils.parametrizations._SpectralNorm)


def examples(name: str, x: Any) -> Tensor:
    """Return ``x`` if it is a finite floating-point tensor of at least one example.

    Raises:
        TypeError: not a tensor, or not real floating point.
        ValueError: empty, without a batch dimension, or non-finite.
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, got {type(x).__name__}; try torch.as_tensor({name})."
        )
    refuse_complex(name, x)
    if not x.is_floating_point():
        raise TypeError(
            f"{name} must be floating point to be differentiated through, got {x.dtype}; "
            f"try {name}.float()."
        )
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(
            f"{name} must hold at least one example, one per row, got shape {tuple(x.shape)}; "
            f"a single feature needs {name}[:, None]."
        )
    if not x.isfinite().all():
        bad = int((~x.isfinite()).sum())
        raise ValueError(f"{name} hold {bad} non-finite values; remove or impute them first.")
    return x


def outputs_of(model: nn.Module, x: Tensor) -> Float[Tensor, "n c"]:
    """Return the model's outputs, one row per example; shape (n,) counts as one output.

    Raises:
        TypeError: complex outputs.
        ValueError: the model refuses the input's shape, returns another shape than (n, C),
            non-finite outputs, or outputs that no trainable parameter reaches.
    """
    with torch.enable_grad():
        try:
            out = model(x.clone())  # a first layer that works in place must not reach the caller's
        except RuntimeError as error:
            raise ValueError(
                f"the model refuses inputs of shape {tuple(x.shape)}, {x.dtype}: {error}"
            ) from error
    if not isinstance(out, Tensor) or out.ndim not in (1, 2) or len(out) != len(x):
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f"model must return one row of outputs per example, shape ({len(x)}, C), got {got}; "
            f"end it with nn.Flatten()."
        )
    refuse_complex("the model's outputs", out)
    if not out.requires_grad:
        raise ValueError(
            "the model's output cannot be differentiated by any trainable parameter; look for "
            ".detach(), argmax, rounding or torch.no_grad() in its forward."
        )
    if not out.isfinite().all():
        raise ValueError("the model's outputs are not finite; reset the model or scale the inputs.")
    return out.reshape(len(x), -1)


def refuse_company(model: nn.Module, x: Tensor) -> int:
    """Return the number of outputs C of a model whose output on an example is that example's own.

    Raises:
        ValueError: as `outputs_of`, or an output that depends on the examples beside it or on
            chance.
    """
    some = x[:COMPANY]
    beside = outputs_of(model, some).detach()
    alone = torch.cat([outputs_of(model, one).detach() for one in some.split(1)])
    gap, size = (beside - alone).abs().max(), alone.abs().max()
    if gap > 0.01 * size + torch.finfo(alone.dtype).eps ** 0.5:
        raise ValueError(
            f"the model's output on an example changes by {gap.item():.2g} with the examples "
            f"beside it or from call to call; look for batch statistics or dropout in its forward."
        )
    return alone.shape[1]


def push_forward(
    function: Callable[[dict[str, Tensor]], Tensor],
    at: dict[str, Tensor],
    along: dict[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """Return the function of the weights and its derivative along a direction (one jvp)."""
    _load_forward_mode()
    outputs, change, *_ = jvp(function, (at,), (along,))
    return outputs, change


@contextmanager
def silenced(message: str) -> Iterator[None]:
    """Without torch's warnings that begin so, of any class: they are its business, not a user's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message)
        yield


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention from products and softmax: torch cannot differentiate its fused kernels twice."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@cache
def _load_forward_mode() -> None:
    """Make torch load its forward-mode rules, for which it calls its own deprecated compiler."""
    with silenced(r"`torch\.jit\.script` is"):
        jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


def function_of_weights(model: nn.Module) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    """Return (θ, x) ↦ f(x; θ) for the trainable weights θ, shared ones included."""
    names = {id(p): name for name, p in model.named_parameters()}
    # Every place of a weight once: where one module is registered twice, torch's own tying would
    # leave the substituted weights behind.
    places = {
        f"{module_name}.{name}".removeprefix("."): names[id(p)]
        for module_name, module in model.named_modules()
        for name, p in module.named_parameters(recurse=False, remove_duplicate=False)
        if p.requires_grad
    }

    def call(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        placed = {place: weights[name] for place, name in places.items()}
        with _plain_attention():
            return functional_call(model, placed, (x.clone(),), tie_weights=False)

    return call
