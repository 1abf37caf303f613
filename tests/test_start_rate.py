"""Where the search begins: 2 over the largest curvature that a loss with its options can have."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.nn import functional

from exptest.linearized import max_learning_rate
from exptest.training import Batches, default_max_lr

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64) * 2 + 1
LABELS = (torch.arange(60) % 10 == 0).long() + (torch.arange(60) % 7 == 0).long()
SOFT = torch.softmax(torch.randn(60, 3, generator=torch.Generator().manual_seed(8)).double(), 1)
RARE = (torch.arange(60) % 9 == 0).double()
MANY = torch.stack([RARE, 1 - RARE, (torch.arange(60) % 2).double()], 1)
WEIGHT = torch.tensor([1.0, 20.0, 50.0], dtype=torch.float64)


def start(loss_fn: Any, targets: Tensor, method: str = "calibrated") -> float:
    batches = Batches((X, targets), batch_size=None, seed=0, device=torch.device("cpu"))
    return default_max_lr(batches, loss_fn, method)


def curvature(loss_fn: Any, targets: Tensor, biases: list[float]) -> float:
    """The largest eigenvalue of the Hessian in weights and bias, at logits that are ``biases``."""
    k = len(biases)

    def loss(flat: Tensor) -> Tensor:
        outputs = X @ flat[: 3 * k].reshape(3, k) + flat[3 * k :]
        return loss_fn(outputs.reshape(targets.shape) if k == 1 else outputs, targets)

    at = torch.cat([torch.zeros(3 * k), torch.tensor(biases)]).double()
    return float(torch.linalg.eigvalsh(hessian(loss, at))[-1])


@pytest.mark.parametrize(
    ("loss_fn", "targets"),
    [
        (nn.CrossEntropyLoss(), LABELS),
        (nn.CrossEntropyLoss(label_smoothing=0.3), LABELS),
        (nn.CrossEntropyLoss(weight=WEIGHT), LABELS),
        (nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.3), LABELS),
        (nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=1), LABELS),
        (nn.CrossEntropyLoss(ignore_index=2, label_smoothing=0.1), LABELS),
        (nn.CrossEntropyLoss(weight=WEIGHT), SOFT),
        (nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.3), SOFT),
        (functional.cross_entropy, torch.where(LABELS == 1, -100, LABELS)),
    ],
)
def test_cross_entropy_starts_at_two_over_its_largest_curvature(
    loss_fn: Any, targets: Tensor
) -> None:
    worst = curvature(loss_fn, targets, [0.0, 0.0, -60.0])  # two classes at ½, the third nowhere
    assert start(loss_fn, targets) * worst == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize(
    ("loss_fn", "targets"),
    [
        (nn.BCEWithLogitsLoss(), RARE),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(50.0)), RARE),
        (nn.BCEWithLogitsLoss(weight=1 + RARE, pos_weight=torch.tensor([9.0])), RARE),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(0.02)), RARE[:, None]),
        (nn.BCEWithLogitsLoss(), MANY),
        (nn.BCEWithLogitsLoss(weight=torch.tensor([3.0, 3.0, 3.0])), MANY),
        (nn.MSELoss(), MANY),
        (nn.MSELoss(), RARE),
    ],
)
def test_logistic_and_mse_start_at_two_over_their_largest_curvature(
    loss_fn: Any, targets: Tensor
) -> None:
    worst = curvature(loss_fn, targets, [0.0] * targets[0].numel())
    assert start(loss_fn, targets) * worst == pytest.approx(2.0, rel=1e-6)


def test_every_number_of_a_target_is_an_output_and_whole_numbers_have_no_bound() -> None:
    assert start(nn.MSELoss(), MANY[:, :, None]) == start(nn.MSELoss(), MANY)
    tokens = Batches((LABELS, RARE), batch_size=None, seed=0, device=torch.device("cpu"))
    with pytest.raises(ValueError, match="inputs are not held as a floating-point tensor"):
        default_max_lr(tokens, nn.MSELoss(), "calibrated")


def test_weights_that_differ_between_outputs_start_at_a_stable_rate() -> None:
    loss_fn = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([50.0, 1.0, 7.0]))
    product = start(loss_fn, MANY) * curvature(loss_fn, MANY, [0.0] * 3)
    assert 0.5 < product <= 2.0


def test_the_paper_has_one_bound_and_no_weights() -> None:
    expected = max_learning_rate(X, loss="half_mse")
    assert start(nn.CrossEntropyLoss(label_smoothing=0.1), LABELS, "paper") == expected
    assert start(nn.L1Loss(), RARE, "paper") == expected
    with pytest.raises(ValueError, match="which the paper does not have"):
        start(nn.CrossEntropyLoss(weight=WEIGHT), LABELS, "paper")
    with pytest.raises(ValueError, match="what its weights multiply is not known"):
        start(nn.NLLLoss(weight=WEIGHT), LABELS, "paper")


class Subclass(nn.MSELoss):
    pass


@pytest.mark.parametrize("method", ["calibrated", "paper"])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_loss_that_is_no_mean_is_refused(method: str, reduction: str) -> None:
    with pytest.raises(ValueError, match=rf"MSELoss\(\) with reduction='{reduction}'; try max_lr="):
        start(nn.MSELoss(reduction=reduction), RARE, method)


@pytest.mark.parametrize(
    ("loss_fn", "targets"),
    [
        (partial(functional.mse_loss), RARE),
        (lambda o, y: functional.mse_loss(o, y), RARE),
        (Subclass(), RARE),
        (nn.L1Loss(), RARE),
        (nn.CrossEntropyLoss(weight=WEIGHT[:2]), LABELS),
        (nn.CrossEntropyLoss(weight=WEIGHT), LABELS.reshape(30, 2).repeat(2, 1)),
        (nn.CrossEntropyLoss(), torch.full((60,), -100)),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(7)), MANY),
        (nn.BCEWithLogitsLoss(weight=torch.ones(4, 1)), RARE[:, None]),
    ],
)
def test_what_is_not_known_is_refused(loss_fn: Any, targets: Tensor) -> None:
    with pytest.raises(ValueError, match=r"max_lr cannot be derived for .*try max_lr=\.\.\."):
        start(loss_fn, targets)
