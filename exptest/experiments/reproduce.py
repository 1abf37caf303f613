"""The paper's numbers, measured again: trials of an experiment beside the authors' results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exptest.data import load_california_housing, load_mnist
from exptest.experiments import california, mnist
from exptest.experiments.run import PEERS, Method, Trial, largest_rate

if TYPE_CHECKING:
    import pandas as pd

FACTORS = {"mnist": (1e-3, 1e-2, 1e-1, 1, 10), "california": (1e-4, 1e-3, 1e-2, 1e-1, 1)}
METRICS = {"mnist": "test accuracy (%)", "california": "test MSE"}
BATCH_SIZES = (32, 512, 2048)


@dataclass(frozen=True)
class Row:
    """The trials of one setting beside what the authors published of it.

    Attributes:
        label: the setting in words.
        metric: what is measured.
        trials: the seeded runs.
        authors: (mean, population std) as published; None where this table has none.
    """

    label: str
    metric: str
    trials: tuple[Trial, ...]
    authors: tuple[float, float] | None

    @property
    def mean(self) -> float:
        return float(np.mean([t.test_metric for t in self.trials]))

    @property
    def std(self) -> float:
        """Population standard deviation, as in the paper's tables."""
        return float(np.std([t.test_metric for t in self.trials]))

    @property
    def train_loss(self) -> float:
        return float(np.mean([t.train_loss for t in self.trials]))

    def to_dict(self) -> dict[str, Any]:
        return {
            "setting": self.label,
            "metric": self.metric,
            "mean": self.mean,
            "std": self.std,
            "train_loss": self.train_loss,
            "authors": self.authors,
            "trials": [t.to_dict() for t in self.trials],
        }


def methods(name: str, *, peers: bool, mode: str) -> list[Method]:
    """Return ExpTest and, with ``peers``, every optimizer of the paper over its rates."""
    chosen = [Method(mode=mode)]
    if peers:
        grid = [Method(peer, factor) for peer in PEERS for factor in FACTORS[name]]
        chosen += [m for m in grid if m.name != "adadelta"] + [Method("adadelta")]
    return chosen


def reproduce_mnist(
    *,
    trials: int = 5,
    path: Any = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    peers: bool = False,
    mode: str = "paper",
    report: Callable[[str, Trial], None] = lambda label, trial: None,
) -> list[Row]:
    """Run the MNIST experiment; ``report`` hears of every finished trial."""
    data = load_mnist(path)
    max_lr = largest_rate(data)
    rows = []
    for method in methods("mnist", peers=peers, mode=mode):
        for size in batch_sizes if method.name == "exptest" else batch_sizes[:1]:
            label = f"{method}, B = {size}"
            done = []
            for seed in range(trials):
                config = mnist.Config(batch_size=size, seed=seed, method=method)
                done.append(mnist.run(config, data, max_lr=max_lr))
                report(label, done[-1])
            published = mnist.AUTHORS.get(size) if method.name == "exptest" else None
            authors = published[:2] if published else None
            rows.append(Row(label, METRICS["mnist"], tuple(done), authors))
    return rows


def reproduce_california(
    *,
    trials: int = 5,
    path: Any = None,
    peers: bool = False,
    mode: str = "paper",
    report: Callable[[str, Trial], None] = lambda label, trial: None,
) -> list[Row]:
    """Run the California experiment; ``report`` hears of every finished trial."""
    data = load_california_housing(path)
    max_lr = largest_rate(data)
    rows = []
    for method in methods("california", peers=peers, mode=mode):
        done = []
        for seed in range(trials):
            config = california.Config(seed=seed, method=method)
            done.append(california.run(config, data, max_lr=max_lr))
            report(str(method), done[-1])
        authors = california.AUTHORS if method.name == "exptest" else None
        rows.append(Row(str(method), METRICS["california"], tuple(done), authors))
    return rows


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the table that `exptest reproduce` prints."""
    import pandas as pd

    def pm(mean: float, std: float) -> str:
        return f"{mean:.4g} ± {std:.2g}"

    return pd.DataFrame(
        {
            "setting": [r.label for r in rows],
            "metric": [r.metric for r in rows],
            "trials": [len(r.trials) for r in rows],
            "here": [pm(r.mean, r.std) for r in rows],
            "authors": [pm(*r.authors) if r.authors else "" for r in rows],
            "train loss": [f"{r.train_loss:.3g}" for r in rows],
        }
    )
