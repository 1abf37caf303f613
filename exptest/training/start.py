"""Where the search for a rate begins, if nobody says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from exptest.linearized import max_learning_rate
from exptest.training.batches import Batches

LOSS_NAMES: dict[Any, str] = {
    nn.MSELoss: "mse",
    nn.CrossEntropyLoss: "cross_entropy",
    nn.BCEWithLogitsLoss: "logistic",
    functional.mse_loss: "mse",
    functional.cross_entropy: "cross_entropy",
    functional.binary_cross_entropy_with_logits: "logistic",
}


def default_max_lr(batches: Batches, loss_fn: Any, method: str) -> float:
    """Return the largest stable rate of the linear model on these inputs, under this loss.

    Calibrated: the bound of the loss that is minimized, bias column included. Where MSE or BCE
    average over k outputs, each has a block of the Hessian of its own with 1/k in front, so k
    multiplies the bound. Options of the loss only multiply an example's block by a factor s ≥ 0
    (`_cross_entropy_factors`, `_logistic_factors`), so that X with rows √sᵢ xᵢ has the bound.
    Paper: ½MSE's bound for every loss, without a bias and without such options.

    Args:
        batches: hold inputs, and targets where the loss weighs examples, as tensors.
        loss_fn: one of torch's three losses with mean reduction; for the paper, any.
        method: ``"calibrated"`` or ``"paper"``.

    Returns:
        η_max, weights per gradient.

    Raises:
        ValueError: the bound is not known for this loss, these options or these data.
    """
    inputs = batches.inputs
    if inputs is None or not inputs.is_floating_point():
        raise ValueError(
            "max_lr cannot be derived: the inputs are not held as a floating-point tensor; "
            "try max_lr=max_learning_rate(inputs, loss=...) on a sample of them."
        )
    name = next((LOSS_NAMES[k] for k in LOSS_NAMES if type(loss_fn) is k or loss_fn is k), None)
    reduction = getattr(loss_fn, "reduction", "mean")
    if (name is None and method != "paper") or reduction != "mean":
        raise ValueError(
            f"max_lr cannot be derived for loss {loss_fn!r}"
            f"{'' if reduction == 'mean' else f' with reduction={reduction!r}'}; try max_lr=... or "
            "one of nn.MSELoss(), nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss()."
        )
    factors = _factors(name, loss_fn, batches.targets)
    if method == "paper":
        if factors is not None and not torch.allclose(factors, torch.ones_like(factors)):
            raise ValueError(
                f"max_lr cannot be derived for {loss_fn!r} with weights or ignored targets, which "
                "the paper does not have; try max_lr=... or method='calibrated'."
            )
        return max_learning_rate(inputs.flatten(1), loss="half_mse")
    assert name is not None
    rows = inputs.flatten(1)
    if factors is None:
        bound = max_learning_rate(rows, loss=name, bias=True)
    else:
        with_bias = torch.cat([rows, rows.new_ones(len(rows), 1)], 1).double()
        bound = max_learning_rate(factors.sqrt()[:, None] * with_bias, loss=name)
    return bound if name == "cross_entropy" else batches.outputs * bound


def _factors(name: str | None, loss_fn: Any, targets: Tensor | None) -> Tensor | None:
    """Return s, shape (n,): what the loss's options multiply each example's curvature by."""
    options = [getattr(loss_fn, option, None) for option in ("weight", "pos_weight")]
    ignores = name == "cross_entropy" and (
        targets is not None and bool((targets == getattr(loss_fn, "ignore_index", -100)).any())
    )
    if all(option is None for option in options) and not ignores:
        return None  # label smoothing too: the Hessian in the logits is the same for all targets
    try:
        if targets is None:
            raise ValueError("the targets are not held as a tensor")
        if name is None:
            raise ValueError("what its weights multiply is not known")
        how = _cross_entropy_factors if name == "cross_entropy" else _logistic_factors
        return how(loss_fn, targets)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            f"max_lr cannot be derived for {loss_fn!r} with weights or ignored targets on these "
            f"targets ({error}); try max_lr=..., or the loss without them."
        ) from error


def _cross_entropy_factors(loss_fn: Any, targets: Tensor) -> Tensor:
    """Return s for softmax cross entropy, shape (n,).

    −log p_c has the Hessian diag p − ppᵀ in the logits whatever c is, so Σ_c w_c q_c (−log p_c)
    has it Σ_c w_c q_c times. Labels: q_c = (1 − ε)[c = y] + ε/C, and torch divides by Σᵢ w_{yᵢ}
    over the targets that are not ignored; probabilities: q smoothed likewise, divided by n.
    """
    smoothing = getattr(loss_fn, "label_smoothing", 0.0)
    weight = getattr(loss_fn, "weight", None)
    if targets.is_floating_point():
        q = targets.double() * (1 - smoothing) + smoothing / targets.shape[1]
        return (q if weight is None else q * weight.to(targets.device).double()).sum(1)
    if targets.ndim != 1:
        raise ValueError(f"they have shape {tuple(targets.shape)}")
    counted = targets != getattr(loss_fn, "ignore_index", -100)
    w = torch.ones(len(targets), dtype=torch.float64, device=targets.device)
    everywhere = w
    if weight is not None:
        weight = weight.to(targets.device).double()
        w = weight[torch.where(counted, targets, 0)]
        everywhere = weight.mean().expand_as(w)
    if not bool(counted.any()):
        raise ValueError("all of them are ignored")
    s = ((1 - smoothing) * w + smoothing * everywhere) * counted
    return s * len(targets) / (w * counted).sum()


def _logistic_factors(loss_fn: Any, targets: Tensor) -> Tensor:
    """Return s for binary cross entropy, shape (n,): the largest over an example's outputs.

    −v (p y log σ(z) + (1 − y) log(1 − σ(z))) has the second derivative v (1 + (p − 1) y) σ(1 − σ)
    in z, for weight v and pos_weight p. With one output, or where s is the same for all, the
    bound that follows is attained at σ = ½, else it is sufficient.
    """
    y = targets.double()
    s = torch.ones_like(y)
    if loss_fn.pos_weight is not None:
        s = 1 + (loss_fn.pos_weight.to(y) - 1) * y
    if loss_fn.weight is not None:
        s = s * loss_fn.weight.to(y)
    if s.shape != y.shape:
        raise ValueError(f"weights of shape {tuple(s.shape)} for targets {tuple(y.shape)}")
    return s.flatten(1).amax(1) if s.ndim > 1 else s
