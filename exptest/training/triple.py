"""Do model, data and loss fit together? Asked of the first batch, before anything is touched."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from exptest.training import loss_kinds

LossFn = Callable[[Any, Any], Tensor]


def check_parts(model: Any, loss_fn: Any, optimizer: Any) -> None:
    """Raise if model, loss or optimizer cannot be what they should be, whatever the data."""
    _check_model(model)
    if isinstance(loss_fn, type):
        raise TypeError(
            f"loss_fn is the class {loss_fn.__name__} itself; try an instance of it: "
            f"loss_fn={loss_fn.__name__}()."
        )
    if not callable(loss_fn):
        raise TypeError(
            f"loss_fn must be a function, got {type(loss_fn).__name__}; try nn.MSELoss()."
        )
    if optimizer is not None:
        _check_optimizer(model, optimizer)


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model must be a torch.nn.Module, got {what}; try nn.Linear(3, 1).")
    parameters = dict(model.named_parameters())
    if not parameters:
        raise ValueError("the model has no parameters; there is nothing to train.")
    if unborn := [name for name, p in parameters.items() if is_lazy(p) or p.is_meta]:
        raise ValueError(
            f"{_some(unborn)} of the model holds no numbers yet (a lazy module, or the meta "
            "device); try model(inputs[:1]) first."
        )
    if not any(p.requires_grad for p in parameters.values()):
        raise ValueError(
            f"the model is frozen: none of its {len(parameters)} parameters requires a gradient; "
            "try requires_grad_(True) on the layers to train."
        )


def _check_optimizer(model: nn.Module, optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}; "
            "try torch.optim.SGD(model.parameters(), lr=1.0)."
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    missing = [name for name, p in trainable.items() if id(p) not in held]
    if len(missing) == len(trainable):
        raise ValueError(
            f"the optimizer holds {len(held)} parameters and none of the model's "
            f"{len(trainable)} trainable ones, so it belongs to another model; try making it "
            "from this model's parameters()."
        )
    if missing:
        warnings.warn(
            f"{_some(missing)} of the model requires a gradient but is in no group of the "
            "optimizer and stays as it is; if that is wished, requires_grad_(False) says so "
            "and saves its gradients.",
            stacklevel=4,
        )


def check_triple(
    model: nn.Module,
    loss_fn: LossFn,
    batch: tuple[Any, Any],
    *,
    all_targets: Tensor | None = None,
    optimizer: Optimizer,
    device: torch.device,
) -> float:
    """Make one forward and backward pass in training mode and raise where it goes wrong.

    Weights, buffers, gradients, modes and random numbers change: call it inside `undisturbed`.

    Args:
        model: wherever it is; a copy of it is tried if it is not yet on ``device``.
        loss_fn: ``loss_fn(outputs, targets)``.
        batch: inputs and targets on ``device``.
        all_targets: those of every batch, if they are held as a tensor.
        optimizer: the loss must depend on one of its parameters.
        device: where training will happen.

    Returns:
        The loss of that batch, loss units.

    Raises:
        ValueError, TypeError: what does not fit, what arrived, what to try.
    """
    inputs, targets = batch
    tried = model
    if any(t.device != device for t in (*model.parameters(), *model.buffers())):
        tried = copy.deepcopy(model).to(device)
    tried.train()
    # One rank's check must not wait for the others' gradients.
    with getattr(tried, "no_sync", nullcontext)():
        outputs = _outputs(tried, inputs)
        loss_kinds.check_shapes(loss_fn, outputs, targets)
        loss_kinds.check_range(loss_fn, outputs, targets if all_targets is None else all_targets)
        loss = _loss(loss_fn, outputs, targets)
        if not bool(loss.isfinite()):
            raise ValueError(_not_finite(tried, inputs, outputs, targets, loss))
        try:
            loss.backward()
        except RuntimeError as error:
            raise _refusal(loss_fn, outputs, targets, error) from error
    _check_gradients(model, tried, optimizer)
    return float(loss.detach())


def _outputs(model: nn.Module, inputs: Any) -> Any:
    try:
        outputs = model(inputs)
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ValueError(
            f"the model refuses the first batch of inputs, {describe(inputs)}: "
            f"{_first_line(error)}; try {_model_hint(model, inputs)}."
        ) from error
    if outputs is None:
        raise TypeError("the model returns None; does its forward() end with a return?")
    return outputs


def _model_hint(model: nn.Module, inputs: Any) -> str:
    weights = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if not isinstance(inputs, Tensor) or weights is None:
        return "model(inputs) by hand"
    if inputs.is_floating_point() and inputs.dtype != weights:
        return f"inputs.to({weights}), as the weights are, or model.to({inputs.dtype})"
    if any(isinstance(m, nn.Embedding) for m in model.modules()):
        return "inputs.long(): an Embedding takes integers from 0 below its num_embeddings"
    if not inputs.is_floating_point():
        return f"inputs.to({weights})"
    if inputs.ndim > 2 and any(isinstance(m, nn.Linear) for m in model.modules()):
        return "nn.Flatten() as the first layer, or another shape of the inputs"
    return "model(inputs[:2]) by hand"


def _loss(loss_fn: LossFn, outputs: Any, targets: Any) -> Tensor:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Using a target size")  # torch would broadcast
            loss = loss_fn(outputs, targets)
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError, UserWarning) as error:
        raise _refusal(loss_fn, outputs, targets, error) from error
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"loss_fn must return a tensor, got {type(loss).__name__}; numbers taken out of torch "
            "(.item(), float(), numpy) no longer depend on the weights."
        )
    if loss.numel() != 1:
        raise ValueError(
            f"loss_fn must return one number, got shape {tuple(loss.shape)}; try "
            "reduction='mean', or .mean()."
        )
    if loss.is_complex():
        raise TypeError(f"loss_fn must return a real number, got {loss.dtype}; try .abs().")
    if loss_kinds.pairs_all_with_all(loss_fn, outputs, targets):
        raise ValueError(
            f"loss_fn compares every output with every target: outputs are {describe(outputs)}, "
            f"targets {describe(targets)}, and broadcasting makes a table of them; try "
            f"targets.reshape({', '.join(map(str, (-1, *outputs.shape[1:])))})."
        )
    if not loss.requires_grad:
        raise ValueError(
            "the loss does not depend on the weights: it has no gradient; look for detach(), "
            "torch.no_grad(), argmax or a new tensor in the model or loss_fn."
        )
    return loss


def _refusal(loss_fn: LossFn, outputs: Any, targets: Any, error: Exception) -> ValueError:
    return ValueError(
        f"loss_fn refuses outputs {describe(outputs)} and targets {describe(targets)}: "
        f"{_first_line(error)}; try {loss_kinds.hint(loss_fn, outputs, targets)}."
    )


def _not_finite(model: nn.Module, inputs: Any, outputs: Any, targets: Any, loss: Tensor) -> str:
    weights = [name for name, p in model.named_parameters() if not _finite(p)]
    if not _finite(inputs):
        cause = "the inputs hold values that are not; remove or impute them"
    elif weights:
        cause = f"so is {_some(weights)} of the model; try a fresh initialization"
    elif not _finite(outputs):
        cause = "inputs and weights are finite, the outputs are not; try inputs scaled to order 1"
    elif not _finite(targets):
        cause = "the targets hold values that are not finite; remove or impute them"
    else:
        cause = "the outputs are finite, so loss_fn itself overflows or takes log(0)"
    return f"the first loss is {loss.item()}: {cause}."


def _check_gradients(model: nn.Module, tried: nn.Module, optimizer: Optimizer) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    pairs = zip(model.named_parameters(), tried.parameters(), strict=True)
    gradients = {n: q.grad for (n, p), q in pairs if id(p) in held and q.grad is not None}
    if not gradients:
        raise ValueError(
            "the loss does not depend on any weight that the optimizer holds; look for detach() "
            "or torch.no_grad() in the model, or give the optimizer the layers that are used."
        )
    if bad := [name for name, gradient in gradients.items() if not _finite(gradient)]:
        raise ValueError(
            f"the first loss is finite, but its gradient with respect to {_some(bad)} is not; look "
            "for sqrt, norm or log at 0 in the model or loss_fn."
        )


def _finite(value: Any) -> bool:
    if not isinstance(value, Tensor):
        return True
    value = value.detach()
    return bool((value.coalesce().values() if value.is_sparse else value).isfinite().all())


def describe(value: Any) -> str:
    """Return what ``value`` is, in a few words."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, tuple | list) and value:
        return f"a {type(value).__name__} of {len(value)} ({describe(value[0])}, …)"
    if isinstance(value, dict):
        return f"a {type(value).__name__} with {', '.join(map(repr, list(value)[:5]))}"
    return f"a {type(value).__name__}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:300]
