"""The empirical NTK: both paths against a literal one, whatever the layers and the batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import LossModel, empirical_ntk, linearize, wide_network
from tests.linearized.reference import literal_ntk


def frozen_bias() -> nn.Module:
    model = nn.Sequential(nn.Linear(64, 7), nn.Tanh(), nn.Linear(7, 3))
    model[0].bias.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    return model


STACKS = {
    "mlp": lambda: nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 3)),
    "frozen": frozen_bias,
    "nested": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(64, 9, bias=False), nn.GELU()), nn.Linear(9, 2)
    ),
    "wide": lambda: wide_network(64, 16, 2, depth=2),
    "cnn": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 40, 3, stride=2, bias=False),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(40, 3),
    ),
    "positions kept apart": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.AvgPool2d(2),
        nn.Conv2d(1, 24, 3),
        nn.Tanh(),
        nn.Conv2d(24, 32, 1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(128, 2),
    ),
    "tokens": lambda: nn.Sequential(
        nn.Unflatten(1, (8, 8)), nn.Linear(8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(40, 2)
    ),
}


def inputs(n: int) -> Tensor:
    return torch.randn(n, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def relative(kernel: Tensor, other: Tensor) -> float:
    return ((kernel - other).abs().max() / other.abs().max()).item()


@pytest.mark.claim("C1.3")
@pytest.mark.parametrize("batch_size", [None, 3, 5])
@pytest.mark.parametrize("name", STACKS)
def test_the_structured_path_is_the_literal_kernel(name: str, batch_size: int | None) -> None:
    model = STACKS[name]().double().eval()
    x1, x2 = inputs(11), inputs(4)
    options = {"batch_size": batch_size, "method": "structured"}
    exact = literal_ntk(model, x1, x2)
    assert relative(empirical_ntk(model, x1, x2, **options), exact) < 1e-12
    assert relative(empirical_ntk(model, x1, **options), literal_ntk(model, x1, x1)) < 1e-12
    traced = torch.einsum("icjc->ij", exact)
    assert relative(empirical_ntk(model, x1, x2, trace_outputs=True, **options), traced) < 1e-12


@pytest.mark.claim("C1.2")
@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("name", ["mlp", "frozen", "cnn"])
def test_the_general_path_is_the_literal_kernel(name: str, batch_size: int | None) -> None:
    model = STACKS[name]().double().eval()
    x1, x2 = inputs(7), inputs(4)
    options = {"batch_size": batch_size, "method": "general"}
    exact = literal_ntk(model, x1, x2)
    assert relative(empirical_ntk(model, x1, x2, **options), exact) < 1e-12
    assert relative(empirical_ntk(model, x1, **options), literal_ntk(model, x1, x1)) < 1e-12
    traced = torch.einsum("icjc->ij", literal_ntk(model, x1, x1))
    assert relative(empirical_ntk(model, x1, trace_outputs=True, **options), traced) < 1e-12


def test_a_rule_that_torch_lacks_is_worked_around_without_a_word() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(64, 5))
    model, x = nn.Sequential(layer, nn.Tanh(), nn.Linear(5, 2)).double(), inputs(4)
    assert relative(empirical_ntk(model, x), literal_ntk(model, x, x)) < 1e-12


def test_more_examples_than_a_block_agree_with_the_general_path() -> None:
    model = STACKS["mlp"]().double()
    x = inputs(150)
    for trace_outputs in (False, True):
        fast, slow = (
            empirical_ntk(
                model, x, trace_outputs=trace_outputs, method=method, batch_size=batch_size
            )
            for method, batch_size in (("structured", 100), ("general", 40))
        )
        assert relative(fast, slow) < 1e-10


@pytest.mark.claim("C1.2")
def test_the_kernel_is_symmetric_and_positive() -> None:
    kernel = empirical_ntk(STACKS["cnn"]().double().eval(), inputs(9))
    flat = kernel.reshape(27, 27)
    assert torch.allclose(flat, flat.T, rtol=1e-13, atol=0)
    assert torch.linalg.eigvalsh(flat).min() > -1e-12 * flat.abs().max()


@pytest.mark.claim("C1.7")
def test_no_more_modes_than_weights_move_and_the_rest_stays() -> None:
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Tanh(), nn.Linear(2, 2)).double()
    x, y = (torch.randn(15, k, dtype=torch.float64) for k in (3, 2))
    modes, linear = LossModel.from_network(model, x, y), linearize(model)
    assert (len(modes.eigenvalues), modes.cut.modes) == (12, 18)  # 12 weights, 30 outputs
    rank = torch.linalg.matrix_rank(empirical_ntk(model, x).reshape(30, 30), hermitian=True)
    assert rank == 12
    with torch.no_grad():
        for weight in linear.parameters():
            weight += torch.randn_like(weight)
    moved = (linear(x) - model(x)).detach().flatten().numpy()
    assert np.linalg.norm(moved) > 1
    rest = moved - modes.basis @ (modes.basis.T @ moved)
    assert np.linalg.norm(rest) < 1e-12 * np.linalg.norm(moved)
    few = LossModel.from_network(model, x[:2], y[:2])
    assert len(few.eigenvalues) == 4  # fewer outputs than weights: each can be moved alone


def test_a_model_with_one_output_per_example_may_drop_its_last_axis() -> None:
    model = nn.Sequential(nn.Linear(64, 1), nn.Flatten(0)).double()
    assert empirical_ntk(model, inputs(3)).shape == (3, 1, 3, 1)


def test_the_model_and_the_precision_asked_for() -> None:
    model = STACKS["mlp"]()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert empirical_ntk(model, inputs(3), dtype=torch.float64).dtype == torch.float64
    after = model.state_dict()
    assert all(v.dtype == torch.float32 and torch.equal(v, before[k]) for k, v in after.items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"x1": [[1.0]]}, TypeError, "x1 must be a torch.Tensor, got list"),
        (
            {"x1": torch.ones(3, 64).long()},
            TypeError,
            "inputs must be floating point .* torch.int64",
        ),
        (
            {"x1": torch.ones(3)},
            ValueError,
            r"x1 must hold at least one example.* got shape \(3,\)",
        ),
        ({"x1": torch.ones(0, 64)}, ValueError, "x1 must hold at least one example"),
        ({"x1": torch.full((2, 64), torch.nan)}, ValueError, "x1 hold 128 non-finite values"),
        ({"x1": torch.ones(3, 5)}, ValueError, r"the model refuses inputs of shape \(3, 5\)"),
        ({"x2": torch.ones(3, 5)}, ValueError, r"examples of one shape, got \(64,\) and \(5,\)"),
        ({"x2": torch.ones(3, 64).double()}, TypeError, "x1 and x2 must have one dtype"),
        ({"batch_size": 0}, ValueError, "batch_size must be a whole number of at least 1"),
        ({"method": "fast"}, ValueError, "method must be one of 'auto'"),
        (
            {"memory_gb": 1e-7},
            ValueError,
            r"kernel of 4 × 4 examples and 3 outputs takes .* try trace_outputs=True",
        ),
        (
            {"memory_gb": 1e-5, "method": "general"},
            ValueError,
            r"gradients of one example take .* of memory_gb are left .* a larger memory_gb",
        ),
    ],
)
@pytest.mark.usefixtures("as_users_do")
def test_bad_input_is_named(call: dict[str, Any], error: type[Exception], message: str) -> None:
    model = STACKS["mlp"]()
    with pytest.raises(error, match=message):
        empirical_ntk(model, **({"x1": torch.randn(4, 64)} | call))


class Rounded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).argmax(1, keepdim=True).float()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(64, 4), nn.BatchNorm1d(4)), "BatchNorm1d at '1' normalizes by"),
        (nn.Sequential(nn.Linear(64, 4), nn.Dropout(0.5)), "Dropout at '1' is random in training"),
        (nn.Sequential(nn.Tanh()), "model has no trainable parameters"),
        (Rounded(), "the model's output cannot be differentiated"),
        (nn.Sequential(nn.Linear(64, 4), nn.Unflatten(1, (2, 2))), "end it with nn.Flatten"),
    ],
)
def test_models_without_a_kernel_are_named(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        empirical_ntk(model, torch.randn(4, 64))


def test_a_model_that_overflows_is_named() -> None:
    model = STACKS["mlp"]()
    with torch.no_grad():
        model[0].weight.fill_(torch.inf)
    with pytest.raises(ValueError, match=r"parameter '0.weight' holds non-finite values"):
        empirical_ntk(model, torch.randn(4, 64))
