"""Every optimizer that torch has, and some that others make, each with a model to train."""

from __future__ import annotations

import importlib
import inspect
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

OTHERS = {
    "prodigyopt": ["Prodigy"],
    "schedulefree": ["SGDScheduleFree", "AdamWScheduleFree", "RAdamScheduleFree"],
    "dadaptation": ["DAdaptAdam", "DAdaptSGD", "DAdaptAdaGrad", "DAdaptLion", "DAdaptAdan"],
}
# What a class needs besides its parameters and lr, under a name of its own.
VARIANTS: dict[str, dict[str, Any]] = {
    "SGD momentum": {"momentum": 0.9},
    "SGD nesterov": {"momentum": 0.9, "nesterov": True},
    "SGD decay": {"weight_decay": 0.01},
    "SGD foreach": {"foreach": True},
    "Adam amsgrad": {"amsgrad": True},
    "RMSprop centered": {"centered": True, "momentum": 0.9},
    "ASGD": {"t0": 20.0},
    "LBFGS": {"max_iter": 4},
    "RAdamScheduleFree": {"silent_sgd_phase": False},
}
RATES = {"Adadelta": 1.0, "SGD": 0.05, "ASGD": 0.05, "LBFGS": 0.1, "Prodigy": 1.0}


def torch_names() -> list[str]:
    found = [
        name
        for name, thing in vars(torch.optim).items()
        if inspect.isclass(thing) and issubclass(thing, Optimizer) and thing is not Optimizer
    ]
    return sorted({*found, *VARIANTS} - {"RAdamScheduleFree"})


def other_names() -> list[str]:
    return [f"{module}.{name}" for module, names in OTHERS.items() for name in names]


@dataclass
class Base:
    """An optimizer class, how it is built, and what it trains."""

    name: str
    kind: type[Optimizer]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """A rate at which it trains; those that find their own are given 1."""
        word = self.kind.__name__
        return 1.0 if word.startswith("DAdapt") else RATES.get(word, 0.01)

    @property
    def one_rate(self) -> bool:
        """Whether all groups must have the same rate, or there is one group only."""
        word = self.kind.__name__
        return word.startswith("DAdapt") or word in {"LBFGS", "Prodigy"}

    def model(self) -> nn.Module:
        if self.kind is torch.optim.SparseAdam:
            return nn.Sequential(nn.Embedding(12, 3, sparse=True), Sum()).double()
        bias = self.kind.__name__ != "Muon"  # matrices only
        return nn.Sequential(
            nn.Linear(4, 6, bias=bias), nn.Tanh(), nn.Linear(6, 1, bias=bias)
        ).double()

    def optimizer(self, groups: list[dict[str, Any]], rate: float) -> Optimizer:
        made = self.kind(groups, lr=rate, **self.options)  # type: ignore[call-arg]
        if hasattr(made, "train"):
            made.train()  # schedule-free: it has two modes
        return made


def base(name: str) -> Base:
    """Return the base of that name: "SGD nesterov", "prodigyopt.Prodigy"."""
    if "." not in name:
        return Base(name, getattr(torch.optim, name.split()[0]), VARIANTS.get(name, {}))
    module, word = name.split(".")
    return Base(name, getattr(importlib.import_module(module), word), VARIANTS.get(word, {}))


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum((-2, -1))[:, None]


class Training:
    """A model, its optimizer, and updates on batches that are numbered."""

    def __init__(
        self, base: Base, *, rate: float, ratios: tuple[float, ...] = (1.0,), seed: int = 0
    ) -> None:
        torch.manual_seed(seed)
        self.base, self.model = base, base.model()
        parameters = [*self.model.parameters()]
        shares = [parameters[i :: len(ratios)] for i in range(len(ratios))]
        groups = [
            {"params": share, "lr": rate * ratio} if len(ratios) > 1 else {"params": share}
            for share, ratio in zip(shares, ratios, strict=True)
        ]
        self.optimizer = base.optimizer(groups, rate)

    def loss(self, number: int) -> Tensor:
        draw = torch.Generator().manual_seed(number)
        if self.base.kind is torch.optim.SparseAdam:
            rows = torch.randint(12, (8, 3), generator=draw)
            return (self.model(rows) - rows.double().mean(1, keepdim=True)).square().mean()
        inputs = torch.randn(8, 4, generator=draw, dtype=torch.float64)
        return (self.model(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    def update(self, number: int) -> Tensor:
        """Make one update on batch ``number``; return the loss before it."""

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.loss(number)
            loss.backward()
            return loss

        if self.base.kind is torch.optim.LBFGS:
            return self.optimizer.step(closure)  # type: ignore[return-value]
        loss = closure()
        self.optimizer.step()
        return loss

    def weights(self) -> list[Tensor]:
        return [t.detach().clone() for t in self.model.state_dict().values()]


def through_a_file(*parts: Any) -> Callable[[Any], None]:
    """Save the states of ``parts``; return what loads them into others."""
    file = io.BytesIO()
    torch.save([part.state_dict() for part in parts], file)

    def load(*others: Any) -> None:
        file.seek(0)
        for other, state in zip(others, torch.load(file, weights_only=True), strict=True):
            other.load_state_dict(state)

    return load
