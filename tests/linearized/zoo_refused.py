"""Networks of which no kernel exists, or none in this precision: to be refused."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.linearized.zoo_truth import Architecture, Flow, Inputs, real


def coupled(m: Flow, x: Tensor) -> Tensor:
    """Each output is moved by 0.1 % of the batch's mean."""
    out = m.net(x)
    return out + 1e-3 * out.mean(0)


def coupled_by_attention(m: Flow, x: Tensor) -> Tensor:
    """The batch is taken for the sequence: (n, features) without a batch dimension."""
    mixed, _ = m.attention(x, x, x)
    return m.last(mixed)


def coupled_through_time(m: Flow, x: Tensor) -> Tensor:
    """batch_first forgotten."""
    return m.last(m.cell(x)[0][:, -1])


def contrasted(m: Flow, x: Tensor) -> Tensor:
    z = m.net(x)
    return z / (1e-6 + z.square().mean(0, keepdim=True)).sqrt()


def random(m: Flow, x: Tensor) -> Tensor:
    h = m.net(x)
    return h + 0.001 * torch.randn_like(h)


def functional_dropout(m: Flow, x: Tensor) -> Tensor:
    return m.last(nn.functional.dropout(torch.tanh(m.first(x)), 0.5))


class Turned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 3, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.weight.dtype) @ self.weight).abs()


class Spectral(nn.Module):
    """A Fourier layer: complex weights inside a real network."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.weight = nn.Parameter(torch.randn(4, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(self.first(x)) * self.weight, n=6)[:, :3]


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def coarse(dtype: torch.dtype) -> Callable[[int], Inputs]:
    return lambda n: (torch.randn(n, 6).to(dtype),)


def noisy(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), layer, nn.Linear(5, 3))


REFUSED = {
    name: Architecture(make, real(*shape), refusal="due", coupled=True)
    for name, shape, make in [
        ("coupled to the batch by 0.1 %", (6,), lambda: Flow(coupled, net=net())),
        ("normalized by the batch, by hand", (6,), lambda: Flow(contrasted, net=net())),
        ("attention over the batch", (4,), lambda: Flow(
            coupled_by_attention, attention=nn.MultiheadAttention(4, 2), last=nn.Linear(4, 2))),
        ("LSTM along the batch", (4, 3), lambda: Flow(
            coupled_through_time, cell=nn.LSTM(3, 3), last=nn.Linear(3, 2))),
        ("BatchNorm without statistics", (6,), lambda: noisy(
            nn.BatchNorm1d(5, track_running_stats=False))),
    ]
} | {
    name: Architecture(make, real(*shape), refusal="due")
    for name, shape, make in [
        ("random by 0.1 %", (6,), lambda: Flow(random, net=net())),
        ("dropout by function", (6,), lambda: Flow(
            functional_dropout, first=nn.Linear(6, 5), last=nn.Linear(5, 3))),
        ("complex weights", (6,), Turned),
        ("complex weights beside real ones", (6,), Spectral),
        ("outputs rounded to classes", (6,), lambda: Flow(
            lambda m, x: m.net(x).argmax(1), net=net())),
        ("outputs detached", (6,), lambda: Flow(lambda m, x: m.net(x).detach(), net=net())),
        ("outputs as numpy", (6,), lambda: Flow(
            lambda m, x: m.net(x).detach().numpy(), net=net())),
        ("nothing to train", (6,), lambda: net().requires_grad_(False)),
        ("one output for the whole batch", (6,), lambda: Flow(
            lambda m, x: m.net(x).mean(), net=net())),
    ]
} | {
    f"{name} in training": Architecture(make, real(*shape), refusal="due", training=True)
    for name, shape, make in [
        ("Dropout", (6,), lambda: noisy(nn.Dropout(0.1))),
        ("RReLU", (6,), lambda: noisy(nn.RReLU())),
        ("BatchNorm1d", (6,), lambda: noisy(nn.BatchNorm1d(5))),
        ("GRU with dropout", (4, 3), lambda: Flow(
            lambda m, x: m.last(m.cell(x)[0][:, -1]),
            cell=nn.GRU(3, 3, 2, dropout=0.1, batch_first=True), last=nn.Linear(3, 2))),
        ("attention with dropout", (3, 4), lambda: Flow(
            lambda m, x: m.last(m.attention(x, x, x)[0].mean(1)),
            attention=nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True),
            last=nn.Linear(4, 2))),
    ]
} | {
    f"MLP in {dtype}".replace("torch.", ""): Architecture(
        lambda dtype=dtype: net().to(dtype), coarse(dtype), refusal="said", precise=False
    )
    for dtype in (torch.bfloat16, torch.float16)
}  # fmt: skip
