"""Sequences and sets: embeddings, recurrence, attention, language models, graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.linearized.zoo_truth import Architecture, Flow, Inputs, real, together

SEQUENCE = real(4, 3)  # four steps of three features


def recurrent(cell: nn.Module, width: int) -> nn.Module:
    return Flow(lambda m, x: m.last(m.cell(x)[0][:, -1]), cell=cell, last=nn.Linear(width, 2))


def time_first(cell: nn.Module, width: int) -> nn.Module:
    return Flow(
        lambda m, x: m.last(m.cell(x.transpose(0, 1))[0][-1]), cell=cell, last=nn.Linear(width, 2)
    )


def from_hidden(m: Flow, x: Tensor) -> Tensor:
    _, (hidden, _) = m.cell(x)
    return m.last(hidden[-1])


def unrolled(m: Flow, x: Tensor) -> Tensor:
    h = x.new_zeros(len(x), 3)
    for step in x.unbind(1):
        h = m.cell(step, h)
    return m.last(h)


def unrolled_lstm(m: Flow, x: Tensor) -> Tensor:
    state = (x.new_zeros(len(x), 3), x.new_zeros(len(x), 3))
    for step in x.unbind(1):
        state = m.cell(step, state)
    return m.last(state[0])


def self_attention(m: Flow, x: Tensor) -> Tensor:
    mixed, _ = m.attention(x, x, x, need_weights=m.need)
    return m.last(mixed.mean(1))


def attention(need: bool, **options: object) -> nn.Module:
    model = Flow(
        self_attention,
        attention=nn.MultiheadAttention(4, 2, batch_first=True, **options),
        last=nn.Linear(4, 2),
    )
    model.need = need
    return model


def by_hand(m: Flow, x: Tensor) -> Tensor:
    q, k, v = m.qkv(x).unflatten(2, (3, 4)).unbind(2)
    weights = torch.softmax(torch.einsum("nic,njc->nij", q, k) / 2, dim=-1)
    return m.last(torch.einsum("nij,njc->nic", weights, v).mean(1))


def masked(m: Flow, x: Tensor, mask: Tensor) -> Tensor:
    mixed, _ = m.attention(x, x, x, key_padding_mask=mask)
    return m.last(mixed[:, 0])


def masks(n: int) -> Inputs:
    return (torch.arange(4) > torch.arange(n)[:, None] % 3 + 1,)


def encoder(first: bool, layers: int = 1) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        4, 2, 6, dropout=0.1, batch_first=True, norm_first=first, activation="gelu"
    )
    stack = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    return Flow(lambda m, x: m.last(m.stack(x).mean(1)), stack=stack, last=nn.Linear(4, 2))


def decoded(m: Flow, x: Tensor, memory: Tensor) -> Tensor:
    mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
    return m.last(m.layer(x, memory, tgt_mask=mask, tgt_is_causal=True)[:, -1])


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 2, stride=2)
        self.token, self.places = (
            nn.Parameter(torch.zeros(1, 1, 4)),
            nn.Parameter(torch.zeros(1, 5, 4)),
        )
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, norm_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patches(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(len(x), -1, -1), h], dim=1) + self.places
        return self.head(self.layer(h)[:, 0])


def mixer(m: Flow, x: Tensor) -> Tensor:
    x = x + m.tokens(m.norm1(x).transpose(1, 2)).transpose(1, 2)
    x = x + m.channels(m.norm2(x))
    return m.last(x.mean(1))


def graph(m: Flow, x: Tensor) -> Tensor:
    return m.second(m.adjacency @ torch.relu(m.first(m.adjacency @ x))).mean(1)


def rings() -> Tensor:
    return (torch.eye(4) + torch.eye(4).roll(1, 0) + torch.eye(4).roll(-1, 0)) / 3


def graph_attention(m: Flow, x: Tensor) -> Tensor:
    h = m.first(x)
    scores = nn.functional.leaky_relu(m.source(h) + m.target(h).transpose(1, 2), 0.2)
    weights = torch.softmax(scores.masked_fill(m.adjacency == 0, -torch.inf), dim=-1)
    return m.last(nn.functional.elu(weights @ h)).mean(1)


CELLS: dict[str, tuple[Callable[..., nn.Module], int, Callable[[], nn.Module]]] = {
    "RNN": (recurrent, 3, lambda: nn.RNN(3, 3, batch_first=True)),
    "RNN of ReLU": (recurrent, 3, lambda: nn.RNN(3, 3, nonlinearity="relu", batch_first=True)),
    "GRU": (recurrent, 3, lambda: nn.GRU(3, 3, batch_first=True)),
    "GRU, time first": (time_first, 3, lambda: nn.GRU(3, 3)),
    "LSTM": (recurrent, 3, lambda: nn.LSTM(3, 3, batch_first=True)),
    "LSTM, time first": (time_first, 3, lambda: nn.LSTM(3, 3)),
    "LSTM, two layers": (recurrent, 3, lambda: nn.LSTM(3, 3, 2, batch_first=True)),
    "LSTM, projected": (recurrent, 2, lambda: nn.LSTM(3, 3, proj_size=2, batch_first=True)),
    "LSTM both ways": (recurrent, 6, lambda: nn.LSTM(3, 3, batch_first=True, bidirectional=True)),
    "GRU, two layers both ways": (
        recurrent,
        4,
        lambda: nn.GRU(3, 2, 2, batch_first=True, bidirectional=True),
    ),
}
MAKERS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Inputs]]] = {
    "LSTM's last hidden state": (
        lambda: Flow(from_hidden, cell=nn.LSTM(3, 3, batch_first=True), last=nn.Linear(3, 2)),
        SEQUENCE,
    ),
    "GRUCell unrolled": (
        lambda: Flow(unrolled, cell=nn.GRUCell(3, 3), last=nn.Linear(3, 2)), SEQUENCE),
    "RNNCell unrolled": (
        lambda: Flow(unrolled, cell=nn.RNNCell(3, 3), last=nn.Linear(3, 2)), SEQUENCE),
    "LSTMCell unrolled": (
        lambda: Flow(unrolled_lstm, cell=nn.LSTMCell(3, 3), last=nn.Linear(3, 2)), SEQUENCE),
    "attention": (lambda: attention(False), real(3, 4)),
    "attention with weights": (lambda: attention(True), real(3, 4)),
    "attention, biased keys": (lambda: attention(False, add_bias_kv=True), real(3, 4)),
    "attention by einsum": (
        lambda: Flow(by_hand, qkv=nn.Linear(4, 12), last=nn.Linear(4, 2)), real(3, 4)),
    "attention, padding mask": (
        lambda: Flow(
            masked, attention=nn.MultiheadAttention(4, 2, batch_first=True), last=nn.Linear(4, 2)
        ),
        together(real(4, 4), masks),
    ),
    "TransformerEncoderLayer, norm last": (lambda: encoder(False), real(3, 4)),
    "TransformerEncoderLayer, norm first": (lambda: encoder(True), real(3, 4)),
    "TransformerEncoder, two layers": (lambda: encoder(False, 2), real(3, 4)),
    "TransformerDecoderLayer": (
        lambda: Flow(
            decoded, layer=nn.TransformerDecoderLayer(4, 2, 6, batch_first=True),
            last=nn.Linear(4, 2),
        ),
        together(real(3, 4), real(2, 4)),
    ),
    "ViT": (ViT, real(1, 4, 4)),
    "MLP-Mixer": (
        lambda: Flow(
            mixer, norm1=nn.LayerNorm(3), norm2=nn.LayerNorm(3), last=nn.Linear(3, 2),
            tokens=nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4)),
            channels=nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 3)),
        ),
        SEQUENCE,
    ),
    "DeepSets": (
        lambda: Flow(
            lambda m, x: m.rho(m.phi(x).sum(1)),
            phi=nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4)),
            rho=nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)),
        ),
        SEQUENCE,
    ),
    "graph convolution": (
        lambda: Flow(graph, first=nn.Linear(3, 4), second=nn.Linear(4, 2), adjacency=rings()),
        SEQUENCE,
    ),
    "graph attention": (
        lambda: Flow(
            graph_attention, first=nn.Linear(3, 4), source=nn.Linear(4, 1),
            target=nn.Linear(4, 1), last=nn.Linear(4, 2), adjacency=rings(),
        ),
        SEQUENCE,
    ),
}  # fmt: skip
SEQUENCES = {
    name: Architecture(lambda how=how, width=width, make=make: how(make(), width), SEQUENCE)
    for name, (how, width, make) in CELLS.items()
} | {name: Architecture(make, inputs) for name, (make, inputs) in MAKERS.items()}
