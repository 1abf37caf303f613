"""What is asked of a network before it is differentiated, and what must not happen to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import LossModel, curvature_spectrum, empirical_ntk, linearize
from tests.linearized.reference import dense_ggn, dense_hessian, literal_ntk

MSE = nn.MSELoss()


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def targets(n: int) -> Tensor:
    return torch.zeros(n, 2, dtype=torch.float64)


USES: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "structured kernel": empirical_ntk,
    "general kernel": lambda model, x: empirical_ntk(model, x, method="general"),
    "loss model": lambda model, x: LossModel.from_network(model, x, targets(len(x))),
    "Gauss-Newton": lambda model, x: curvature_spectrum(model, MSE, x, targets(len(x))),
    "Hessian": lambda model, x: curvature_spectrum(
        model, MSE, x, targets(len(x)), curvature="hessian"
    ),
    "linearization": lambda model, x: linearize(model)(x),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_first_layer_that_works_in_place_leaves_the_callers_inputs_alone(use: Callable) -> None:
    model, x = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)).double(), inputs(4, 3)
    before = x.clone()
    use(model, x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_it_works_under_no_grad(use: Callable) -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), inputs(4, 3)
    expected = use(model, x)
    with torch.no_grad():
        found = use(model, x)
    assert str(found) == str(expected.detach() if isinstance(expected, Tensor) else expected)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(x).mean(1))


@pytest.mark.parametrize("training", [True, False])
def test_attention_is_differentiated_in_every_direction(training: bool) -> None:
    """torch's fused kernels know neither forward mode nor second derivatives."""
    model, x = Attention().double().train(training), inputs(5, 3, 4)
    exact = literal_ntk(model, x, x)
    assert torch.allclose(empirical_ntk(model, x), exact, rtol=1e-10, atol=1e-12)
    ggn = torch.linalg.eigvalsh(dense_ggn(model, MSE, x, targets(5)))[-1].item()
    assert curvature_spectrum(model, MSE, x, targets(5)).eigenvalues[0] == pytest.approx(ggn)
    assert curvature_spectrum(model, MSE, x, targets(5), curvature="hessian").residuals[0] < 1e-8
    assert torch.backends.mha.get_fastpath_enabled()


class Unused(nn.Module):
    """Its second layer takes no part."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.used(x))


def test_weights_that_take_no_part_curve_nothing() -> None:
    model, x = Unused().double(), inputs(6, 3)
    used = nn.Sequential(model.used, nn.Tanh())
    assert torch.allclose(empirical_ntk(model, x), empirical_ntk(used, x), rtol=1e-12)
    largest = torch.linalg.eigvalsh(dense_hessian(used, MSE, x, targets(6)))[-1].item()
    found = curvature_spectrum(model, MSE, x, targets(6), curvature="hessian")
    assert found.eigenvalues[0] == pytest.approx(largest, rel=1e-9)


class Centred(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        z = self.layer(x)
        return z - z.mean(0)


class Noisy(Centred):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.layer(x), 0.5, training=True)


@pytest.mark.parametrize("model", [Centred(), Noisy()], ids=["mean of the batch", "dropout"])
@pytest.mark.parametrize("use", ["structured kernel", "loss model", "Gauss-Newton", "Hessian"])
def test_examples_that_see_each_other_and_chance_are_refused(model: nn.Module, use: str) -> None:
    with pytest.raises(ValueError, match=r"changes by .* with the examples beside it or from call"):
        USES[use](model.double(), inputs(6, 3))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.BatchNorm1d(1), "BatchNorm1d at '1' normalizes by its batch"),
        (nn.InstanceNorm1d(1, track_running_stats=True), "InstanceNorm1d at '1' updates its buf"),
        (nn.AlphaDropout(0.5), "AlphaDropout at '1' is random in training mode"),
        (
            nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
            r"_SpectralNorm at '1.parametrizations.weight.0' updates its buffers at every call",
        ),
    ],
)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_training_mode_is_refused_where_it_is_no_function(
    use: Callable, layer: nn.Module, message: str
) -> None:
    model = nn.Sequential(nn.Unflatten(1, (1, 3)), layer, nn.Flatten(), nn.Linear(3, 2)).double()
    with pytest.raises(ValueError, match=message):
        use(model.train(), inputs(4, 3))
    assert use(model.eval(), inputs(4, 3)) is not None
