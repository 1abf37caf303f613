"""The kernel of a ResNet-18 within stated memory, beside torch.func's recipe, in one run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn

from exptest.bench.contestants import measured, recipe
from exptest.linearized import empirical_ntk


class Residual(nn.Module):
    """Two normalized convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            down = nn.Conv2d(before, after, 1, stride, bias=False)
            self.shortcut = nn.Sequential(down, nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(shortcut + convolutions)."""
        h = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(h)) + self.shortcut(x))


def resnet18() -> nn.Module:
    """Return He et al.'s ResNet-18 for 32 × 32 images: 11 173 962 weights, 10 outputs."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)]
    layers.append(nn.ReLU())
    before = 64
    for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Residual(before, after, stride), Residual(after, after, 1)]
        before = after
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(*layers, *head).eval()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--examples", type=int, default=32, help="examples of the kernels (32)")
    parser.add_argument(
        "--memory-gb", type=float, default=4.0, help="what the kernel may take, stated (4)"
    )
    parser.add_argument(
        "--beside",
        type=int,
        default=4,
        help="examples of the comparison; the recipe's two Jacobians take 0.9 GB each (4)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure each in a process of its own; print seconds, peak memory and the ratio of times."""
    n, few, limit = arguments.examples, arguments.beside, arguments.memory_gb
    rows = [
        _row("traced", n, limit),
        _row("full", n, limit),
        _row("full", few, limit),
        _row("recipe", few, limit),
    ]
    table = pd.DataFrame(rows)
    print(table.drop(columns="value").to_string(index=False, float_format=lambda v: f"{v:.3g}"))
    ours, theirs = rows[2], rows[3]
    print(f"n = {few}: the recipe takes {theirs['seconds'] / ours['seconds']:.2f} times as long")
    return 0


def contestant(kind: str, examples: int, memory_gb: float) -> Callable[[], Tensor]:
    """Return what computes the traced or the full kernel, or the full one by the recipe."""
    torch.manual_seed(0)
    network = resnet18()
    x = torch.randn(examples, 3, 32, 32)
    if kind == "recipe":
        return recipe(network, x)
    return lambda: empirical_ntk(
        network, x, trace_outputs=kind == "traced", memory_gb=memory_gb, method="general"
    )


def _row(kind: str, examples: int, memory_gb: float) -> dict:
    command = [sys.executable, "-m", "exptest.bench.resnet", kind, str(examples), str(memory_gb)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    stated = {} if kind == "recipe" else {"stated_gb": memory_gb}
    return {"kernel": kind, "n": examples} | stated | json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    kind, examples, memory_gb = sys.argv[1:]
    print(json.dumps(measured(contestant(kind, int(examples), float(memory_gb)), repeats=1)))
