"""What every file of this wing asks of a network before it differentiates it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from exptest.linearized.inputs import (
    Inputs,
    described,
    length,
    parts,
    refuse_coarse,
    refuse_complex,
)

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
        TypeError: not a module, or weights that are complex or in half precision.
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
        refuse_coarse(f"parameter {name!r}", weight)
        if not weight.isfinite().all():
            raise ValueError(f"parameter {name!r} holds non-finite values; reset the model first.")
    return weights


def refuse_mixing(model: nn.Module) -> None:
    """Refuse modules that, as they stand, are random, change as they run, or mix examples.

    Raises:
        ValueError: batch normalization, dropout or running statistics in training mode, or an
            embedding that shrinks its weights.
    """
    for name, module in model.named_modules():
        kind, place = type(module).__name__, repr(name) if name else "the model itself"
        if isinstance(module, nn.modules.batchnorm._NormBase) and _uses_batch(module):
            raise ValueError(
                f"{kind} at {place} normalizes by its batch, so no output is a function of its "
                f"own example; call model.eval() first, on a module that tracks running statistics."
            )
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.max_norm is not None:
            raise ValueError(
                f"{kind} at {place} shrinks its weights as it looks them up (max_norm), so it is "
                f"no function of them; set max_norm=None."
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


def call(model: nn.Module, x: Inputs) -> Any:
    """Return what the model returns; inputs that a first layer overwrites are not the caller's."""
    with _plain_attention():
        return model(*(part.clone() for part in parts(x)))


def outputs_of(model: nn.Module, x: Inputs) -> Float[Tensor, "n c"]:
    """Return the model's outputs, one row per example; shape (n,) counts as one output.

    Raises:
        TypeError: complex outputs, or as `any_outputs_of`.
        ValueError: as `any_outputs_of`, or outputs that are no rows.
    """
    out = any_outputs_of(model, x)
    if out.ndim > 2:
        raise _no_rows(length(x), tuple(out.shape))
    return out.reshape(len(out), -1)


def any_outputs_of(model: nn.Module, x: Inputs) -> Float[Tensor, "n ..."]:
    """Return the model's outputs, of any shape (n, ...).

    Raises:
        TypeError: complex outputs, or whole numbers for a model of floating-point inputs.
        ValueError: the model refuses the input's shape, returns anything but one tensor of as many
            examples, non-finite outputs, or outputs that no trainable parameter reaches.
    """
    with torch.enable_grad():
        try:
            out = call(model, x)
        except (RuntimeError, IndexError) as error:
            if not any(part.is_floating_point() for part in parts(x)) and _runs_on_floats(model, x):
                raise TypeError(
                    f"inputs must be floating point for this model, got {described(x)}; "
                    "try .float()."
                ) from error
            raise ValueError(
                f"the model refuses inputs of shape {described(x)}: {error}"
            ) from error
    if not isinstance(out, Tensor):
        raise ValueError(
            f"model must return one tensor, got {type(out).__name__}; pass output=, a key, an "
            "index or a function of what it returns."
        )
    refuse_complex("the model's outputs", out)
    if out.ndim == 0 or len(out) != length(x):
        raise _no_rows(length(x), tuple(out.shape))
    if not out.requires_grad:
        raise ValueError(
            "the model's output cannot be differentiated by any trainable parameter; look for "
            ".detach(), argmax, rounding or torch.no_grad() in its forward."
        )
    if not out.isfinite().all():
        raise ValueError("the model's outputs are not finite; reset the model or scale the inputs.")
    return out


def _runs_on_floats(model: nn.Module, x: Inputs) -> bool:
    dtype = next(model.parameters()).dtype
    try:
        call(model, tuple(part.to(dtype) for part in parts(x)))
    except (RuntimeError, IndexError):
        return False
    return True


def _no_rows(n: int, got: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"model must return one row of outputs per example, shape ({n}, C), got {got}; end it with "
        "nn.Flatten(), or pass output=lambda out: out.flatten(1)."
    )


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


def function_of_weights(model: nn.Module) -> Callable[[dict[str, Tensor], Inputs], Any]:
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

    def network(weights: dict[str, Tensor], x: Inputs) -> Any:
        placed = {place: weights[name] for place, name in places.items()}
        inputs = tuple(part.clone() for part in parts(x))
        with _plain_attention():
            return functional_call(model, placed, inputs, tie_weights=False)

    return network
