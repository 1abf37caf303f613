"""The tables of chapter 8: ``python -m tests.statistics.races``, three minutes of one core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import stdtr

from exptest.statistics.paired import LOOKS
from tests.statistics.test_paired_arms import Digits

ALPHA = 0.05
K = np.arange(1, len(LOOKS) + 1)
SPLITS = {
    "α at every look": np.full(5, ALPHA),
    "α/K": np.full(5, ALPHA / 5),
    "∝ 1/k": ALPHA / K / np.sum(1 / K),
    "α/(k(k + 1))": ALPHA / (K * (K + 1)),
    "∝ k": ALPHA * K / K.sum(),
}


def races(d: np.ndarray, levels: np.ndarray, looks: tuple[int, ...] = LOOKS) -> tuple[float, ...]:
    """Shares in which a race names the first and the second arm, and batches used, of rows d."""
    m = np.array(looks)
    mean = np.cumsum(d, 1)[:, m - 1] / m
    squares = np.cumsum(d * d, 1)[:, m - 1] - m * mean**2
    t = mean * np.sqrt(m * (m - 1) / np.maximum(squares, 1e-300))
    decided = stdtr(m - 1.0, -np.abs(t)) < levels
    last = np.where(decided.any(1), decided.argmax(1), len(m) - 1)
    sign = (np.sign(t) * decided)[np.arange(len(d)), last]
    return float((sign > 0).mean()), float((sign < 0).mean()), float(m[last].mean())


def simulated(
    draw: Callable[[np.random.Generator], np.ndarray], levels: np.ndarray, repeats: int = 40, **rest
) -> str:
    rng = np.random.default_rng(0)
    found = np.mean([races(draw(rng), levels, **rest) for _ in range(repeats)], axis=0)
    return "first {:.3f}, second {:.3f}, batches {:.1f}".format(*found)


def splits() -> None:
    for effect in (0.0, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0):
        for name, levels in SPLITS.items():
            found = simulated(lambda rng, e=effect: rng.normal(e, 1, (10_000, 48)), levels)
            print(f"δ/σ_d = {effect:<5}{name:<18}{found}")
    for looks in ((3, 6), (3, 6, 12, 24, 48, 96)):
        draw = lambda rng, m=looks[-1]: rng.normal(size=(5_000, m))  # noqa: E731
        print(f"every look {looks}: {simulated(draw, np.array([ALPHA]), looks=looks)}")
    heavy = simulated(lambda rng: rng.standard_t(3, (10_000, 48)), SPLITS["α/K"])
    print(f"Student's with 3 degrees of freedom: {heavy}")


def of_examples(digits: Digits, start: torch.nn.Module, rates: tuple[float, ...], steps: int):
    """The losses of all examples in every arm, in rows."""
    batches = digits.draw(steps)
    rows = [digits.trained(start, lr, batches) for lr in rates]
    with torch.no_grad():
        losses = [
            torch.nn.functional.cross_entropy(
                arm(digits.inputs), digits.targets, reduction="none"
            ).numpy()
            for arm in rows
        ]
    return losses


def gains() -> None:
    drawn = np.random.default_rng(0).integers(0, 1437, (4000, 32))
    for low, high in ((0.001, 0.003), (0.01, 0.03), (0.03, 0.1)):
        digits = Digits(0)
        first, second = (
            losses[drawn].mean(1) for losses in of_examples(digits, digits.model, (low, high), 2)
        )
        d, alone = second - first, first.var() + second.var()
        print(
            f"η = {low}: gain {alone / d.var():.0f}, "
            f"paired {d.mean() / d.std():.2f}, unpaired {d.mean() / np.sqrt(alone):.3f}"
        )


def skewed() -> None:
    for seed in range(5):
        digits = Digits(seed)
        start = digits.trained(digits.model, 0.1, digits.draw(90))
        for rates in ((0.1, 0.3), (0.3, 1.0)):
            first, second = of_examples(digits, start, rates, 8)
            d = second - first - (second - first).mean()
            for size in (1, 8, 32, 128):
                draw = lambda rng, d=d, b=size: d[rng.integers(0, len(d), (250, 48, b))].mean(2)  # noqa: E731
                found = simulated(draw, SPLITS["α/K"], repeats=20)
                print(f"seed {seed}, η = {rates}, batches of {size}: {found}")


if __name__ == "__main__":
    splits()
    gains()
    skewed()
