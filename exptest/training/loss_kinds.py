"""torch's losses by what they ask of targets, and what to try when they refuse."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES: tuple[Any, ...] = (
    nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss,
    functional.cross_entropy, functional.nll_loss, functional.multi_margin_loss,
)  # fmt: skip
ELEMENTS: tuple[Any, ...] = (
    nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.BCEWithLogitsLoss,
    nn.PoissonNLLLoss, nn.KLDivLoss, nn.SoftMarginLoss, nn.HingeEmbeddingLoss,
    nn.MultiLabelSoftMarginLoss,
    functional.mse_loss, functional.l1_loss, functional.smooth_l1_loss, functional.huber_loss,
    functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits,
    functional.poisson_nll_loss, functional.kl_div, functional.soft_margin_loss,
    functional.hinge_embedding_loss, functional.multilabel_soft_margin_loss,
)  # fmt: skip
PROBABILITIES: tuple[Any, ...] = (
    nn.BCELoss, nn.BCEWithLogitsLoss,
    functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits,
)  # fmt: skip


def is_one_of(loss_fn: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether ``loss_fn`` is one of these functions, or an instance of one of these classes."""
    return any(isinstance(loss_fn, k) if isinstance(k, type) else loss_fn is k for k in kinds)


def check_shapes(loss_fn: Any, outputs: Any, targets: Any) -> None:
    """Raise where an elementwise loss would broadcast outputs and targets.

    Raises:
        ValueError: their shapes differ.
    """
    if not (is_one_of(loss_fn, ELEMENTS) and _both_tensors(outputs, targets)):
        return
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs and targets must have one shape, got {tuple(outputs.shape)} and "
            f"{tuple(targets.shape)}, which torch would broadcast or refuse; "
            f"try {hint(loss_fn, outputs, targets)}."
        )


def check_range(loss_fn: Any, outputs: Any, targets: Any) -> None:
    """Raise for labels that no output stands for, and for (log-)probabilities that are none.

    Asked before the loss is: torch takes some without a word, and an accelerator stops for good.

    Args:
        outputs: of one batch; they tell the number of classes.
        targets: of one batch, or all.

    Raises:
        ValueError: out of range.
    """
    if not _both_tensors(outputs, targets):
        return
    if is_one_of(loss_fn, CLASSES) and not targets.is_floating_point() and outputs.ndim > 0:
        classes = outputs.shape[0 if outputs.ndim == 1 else 1]
        counted = targets[targets != getattr(loss_fn, "ignore_index", -100)]
        hint = f"labels from 0 and at least {int(targets.max()) + 1} outputs"
        if classes == 1:
            hint = "nn.BCEWithLogitsLoss() and float targets, for one output"
        _check_between("class labels", counted, 0, classes - 1, hint)
    if is_one_of(loss_fn, (nn.NLLLoss, functional.nll_loss)) and bool((outputs > 0).any()):
        raise ValueError(
            f"outputs must be log-probabilities for {loss_fn!r}, got up to "
            f"{outputs.max().item():g}; try nn.CrossEntropyLoss(), which takes any."
        )
    if is_one_of(loss_fn, PROBABILITIES):
        _check_between("targets", targets, 0, 1, "nn.CrossEntropyLoss() for more classes than two")


def _both_tensors(outputs: Any, targets: Any) -> bool:
    return isinstance(outputs, Tensor) and isinstance(targets, Tensor)


def _check_between(name: str, values: Tensor, low: int, high: int, hint: str) -> None:
    if values.numel() and not bool(((values >= low) & (values <= high)).all()):
        raise ValueError(
            f"{name} must lie between {low} and {high}, got {values.min().item():g} to "
            f"{values.max().item():g}; try {hint}."
        )


@torch.no_grad()
def pairs_all_with_all(loss_fn: Any, outputs: Any, targets: Any) -> bool:
    """Whether broadcasting makes the loss compare every output with every target.

    Then it does not matter which target belongs to which output: (n,) against (n, 1) in
    ``((outputs - targets) ** 2).mean()``. Asked with random outputs, as the model's own may all
    be equal; only where shapes differ although there are as many targets as outputs.
    """
    if not _both_tensors(outputs, targets):
        return False
    if outputs.shape == targets.shape or outputs.numel() != targets.numel():
        return False
    others = targets.flatten().roll(1).reshape(targets.shape)
    if bool((others == targets).all()):
        return False
    precision = torch.promote_types(outputs.dtype, torch.float32)
    noise = torch.rand(outputs.shape, device=outputs.device, dtype=precision)
    try:
        paired, shifted = loss_fn(noise, targets), loss_fn(noise, others)
    except (RuntimeError, ValueError, IndexError, TypeError):
        return False  # such outputs mean nothing to this loss
    return bool(torch.isclose(paired, shifted, rtol=1e-5, atol=0.0))


def hint(loss_fn: Any, outputs: Any, targets: Any) -> str:
    """Return what to try when ``loss_fn`` refuses these outputs and targets."""
    if isinstance(outputs, tuple | list):
        return "loss_fn=lambda outputs, targets: loss(outputs[0], targets)"
    if isinstance(outputs, dict):
        return f"loss_fn=lambda outputs, targets: loss(outputs[{next(iter(outputs), '')!r}], ...)"
    if not _both_tensors(outputs, targets):
        return "loss_fn(model(inputs), targets) by hand"
    if is_one_of(loss_fn, CLASSES):
        return _class_hint(outputs, targets)
    if outputs.shape != targets.shape and outputs.numel() == targets.numel():
        return f"targets.reshape({', '.join(map(str, (-1, *outputs.shape[1:])))})"
    if outputs.shape != targets.shape:
        return f"a model with {_outputs_per_example(targets)} outputs, or another loss"
    if outputs.dtype != targets.dtype:
        return f"targets.to({outputs.dtype})"
    if is_one_of(loss_fn, (nn.BCELoss, functional.binary_cross_entropy)):
        return "nn.BCEWithLogitsLoss(), which takes any outputs"
    return "loss_fn(model(inputs), targets) by hand"


def _class_hint(outputs: Tensor, targets: Tensor) -> str:
    if outputs.ndim > 1 and targets.shape == outputs.shape and not targets.is_floating_point():
        return "targets.argmax(1), the labels"
    if targets.ndim == 2 and targets.shape[1] == 1:
        return "targets.squeeze(1).long()"
    if targets.dtype != torch.int64:
        return "targets.long(), the labels"
    return "outputs (n, classes) and targets (n,)"


def _outputs_per_example(targets: Tensor) -> int:
    return targets[0].numel() if targets.ndim else 1
