"""An output that depends on its neighbours is refused, however little; an honest one never."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import critical_learning_rate, empirical_ntk, linearize
from exptest.linearized.company import refuse_company


class Coupled(nn.Module):
    """Adds a share of the batch's mean to a network."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.inner, self.share = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)), share

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x)
        return h + self.share * h.mean(0)


USES: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "kernel": empirical_ntk,
    "expansion": lambda model, x: linearize(model)(x),
    "curvature": lambda model, x: critical_learning_rate(
        model, nn.MSELoss(), x, torch.zeros(len(x), 3, dtype=x.dtype)
    ),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(
    ("share", "dtype"),
    [(1e-3, torch.float32), (1e-3, torch.float64), (1e-5, torch.float32), (1e-8, torch.float64)],
)
def test_a_share_of_the_batch_mean_is_refused(
    share: float, dtype: torch.dtype, use: Callable
) -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"changes by .* with the examples beside it"):
        use(Coupled(share).to(dtype), torch.randn(6, 6, dtype=dtype))


def test_a_small_output_beside_a_large_one_has_its_own_measure() -> None:
    class Uneven(Coupled):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([1e3 * self.inner(x)[:, :1], super().forward(x)[:, 1:]], dim=1)

    torch.manual_seed(0)
    model, x = Uneven(1e-7).double(), torch.randn(6, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"changes by .* with the examples beside it"):
        refuse_company(model, x)


def deep(kind: str) -> tuple[nn.Module, Tensor]:
    """A network deep enough for its rounding to depend on the size of the batch."""
    if kind == "convolutions":
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1)]
        for _ in range(12):
            layers += [nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)]
        return nn.Sequential(*layers, *head).eval(), torch.randn(8, 3, 12, 12)
    if kind == "wide":
        hidden = [layer for _ in range(20) for layer in (nn.Linear(300, 300), nn.GELU())]
        return nn.Sequential(*hidden, nn.Linear(300, 4)), torch.randn(8, 300)
    if kind == "attention":
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        stack = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        return nn.Sequential(stack, nn.Flatten(), nn.Linear(320, 4)), torch.randn(8, 10, 32)
    cancelling = nn.Sequential(nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 2))
    with torch.no_grad():  # a small difference of large numbers
        cancelling[2].bias.fill_(-1e3 * 50)
        cancelling[0].bias.fill_(3.0)
        cancelling[2].weight.fill_(1e3)
    return cancelling, torch.randn(8, 50)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["convolutions", "wide", "attention", "cancelling"])
def test_rounding_is_no_company(kind: str, seed: int, dtype: torch.dtype) -> None:
    torch.manual_seed(seed)
    model, x = deep(kind)
    assert refuse_company(model.to(dtype), x.to(dtype)) in (2, 4)
