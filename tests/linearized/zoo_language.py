"""Networks that read token ids: embeddings and language models."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.linearized.zoo_truth import Architecture, Flow, Inputs, tokens


def tagger(m: Flow, ids: Tensor) -> Tensor:
    return m.last(m.cell(m.embedding(ids))[0]).flatten(1)


def embedded(embedding: nn.Module, *more: nn.Module) -> nn.Module:
    return nn.Sequential(embedding, *more)


def bag(mode: str) -> nn.Module:
    return nn.Sequential(nn.EmbeddingBag(7, 4, mode=mode), nn.Tanh(), nn.Linear(4, 3))


class Block(nn.Module):
    """GPT's: causal attention and an MLP, each behind a norm and beside a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(4), nn.LayerNorm(4)
        self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 4)
        self.mlp = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm1(x)).unflatten(2, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*heads.unbind(0), is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class LanguageModel(nn.Module):
    """Token ids in, the logits of the next token at every position out."""

    def __init__(self, vocabulary: int = 6, length: int = 5, tied: bool = False) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, 4), nn.Embedding(length, 4)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, vocabulary, bias=False)
        if tied:
            self.head.weight = self.wte.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Wrapped(LanguageModel):
    """As Hugging Face returns it."""

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        return {"hidden": ids, "logits": super().forward(ids)[:, -1]}


MAKERS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Inputs]]] = {
    "LSTM tagger of tokens": (
        lambda: Flow(
            tagger, embedding=nn.Embedding(6, 3), cell=nn.LSTM(3, 2, batch_first=True),
            last=nn.Linear(2, 2),
        ),
        tokens(6, 3),
    ),
    "Embedding": (
        lambda: embedded(nn.Embedding(7, 3), nn.Flatten(), nn.Tanh(), nn.Linear(12, 3)),
        tokens(7, 4),
    ),
    "Embedding, mean of words": (
        lambda: Flow(
            lambda m, ids: m.last(m.words(ids).mean(1)),
            words=nn.Embedding(7, 4), last=nn.Linear(4, 3),
        ),
        tokens(7, 4),
    ),
    "Embedding with sparse gradients": (
        lambda: embedded(nn.Embedding(4, 3, sparse=True), nn.Flatten(), nn.Linear(12, 3)),
        tokens(4, 4),
    ),
    "EmbeddingBag, sum": (lambda: bag("sum"), tokens(7, 4)),
    "EmbeddingBag, mean": (lambda: bag("mean"), tokens(7, 4)),
    "EmbeddingBag, max": (lambda: bag("max"), tokens(7, 4)),
}  # fmt: skip
LANGUAGE = {name: Architecture(make, inputs) for name, (make, inputs) in MAKERS.items()}
LANGUAGE |= {
    "language model, last position": Architecture(  # as many positions as examples
        LanguageModel, tokens(6, 4), output=lambda logits: logits[:, -1]
    ),
    "language model, tied": Architecture(
        lambda: LanguageModel(tied=True), tokens(6, 5), output=lambda logits: logits[:, -1]
    ),
    "language model, every position": Architecture(
        LanguageModel, tokens(6, 3), output=lambda logits: logits.flatten(1)
    ),
    # The padding's row gets no gradient, and an output that depends on it.
    "Embedding with padding": Architecture(
        lambda: embedded(nn.Embedding(4, 3, padding_idx=0), nn.Flatten(), nn.Linear(12, 3)),
        tokens(4, 4),
        honest=False,
    ),
    "Embedding by frequency": Architecture(
        lambda: embedded(
            nn.Embedding(4, 3, scale_grad_by_freq=True), nn.Flatten(), nn.Linear(12, 3)
        ),
        tokens(4, 4),
        refusal="allowed",
        honest=False,
    ),
    "language model, dict": Architecture(Wrapped, tokens(6, 5), output="logits"),
}
