"""One watched run: `Training`, plus what the panel needs to know between two steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.optim import SGD, Adam

from exptest._judge import Judgement, judge, judge_paper
from exptest.data import Dataset
from exptest.linearized import LossModel, expected_sgd_loss
from exptest.record import Decision, Record
from exptest.statistics.phases import seen_twice
from exptest.training import Batches, Training, default_max_lr
from exptest.tuner import Tuner
from exptest.widgets.tasks import Task, tasks

OPTIMIZERS: dict[str, tuple[type[SGD | Adam], dict[str, Any]]] = {
    "SGD": (SGD, {}),
    "SGD, momentum 0.9": (SGD, {"momentum": 0.9}),
    "Adam": (Adam, {}),
}
FEWEST = 8
HORIZON = 2000


@dataclass(frozen=True)
class Settings:
    """What a run depends on; the same settings give the same run, bit for bit.

    Attributes:
        task: a name in `tasks()`.
        width, depth: of the network's hidden layers.
        batch_size: examples per step, 0 for all of them.
        alpha, beta, method: ExpTest's.
        optimizer: a name in ``OPTIMIZERS``.
        start: where the search begins, in multiples of the largest rate that is stable for a
            linear model on the same inputs.
        seed: of weights and batches.
    """

    task: str = "digits: network"
    width: int = 128
    depth: int = 1
    batch_size: int = 32
    alpha: float = 0.05
    beta: float = 0.33
    method: str = "calibrated"
    optimizer: str = "SGD"
    start: float = 1.0
    seed: int = 0


class WatchedRun:
    """A run of ExpTest on one task, a step at a time: exactly what `fit` does.

    Attributes:
        losses, decisions: so far.
        predictions: ``(first step, curve)`` wherever `LossModel` (full batch) or
            `expected_sgd_loss` (mini-batches) knows what the loss will be.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.task: Task = tasks()[settings.task]
        self.data: Dataset = self.task.load()
        torch.manual_seed(settings.seed)
        model = self.task.build(settings)
        kind, options = OPTIMIZERS[settings.optimizer]
        batch = settings.batch_size or None
        pair = (self.data.inputs, self.data.targets)
        batches = Batches(pair, batch_size=batch, seed=settings.seed, device=torch.device("cpu"))
        bound = default_max_lr(batches, self.task.loss_fn(), settings.method)
        self.training = Training(
            model,
            pair,
            loss_fn=self.task.loss_fn(),
            optimizer=kind(model.parameters(), lr=1.0, **options),
            batch_size=batch,
            max_lr=settings.start * bound,
            evaluate=self.task.metrics(self.data),
            seed=settings.seed,
            alpha=settings.alpha,
            beta=settings.beta,
            method=settings.method,
        )
        self.losses: list[float] = []
        self.decisions: list[Decision] = []
        self.predictions: list[tuple[int, Float[np.ndarray, " t"]]] = []
        self._provisional: tuple[int, int, Judgement | None] = (-1, 0, None)
        self._predict()

    @property
    def tuner(self) -> Tuner:
        """The tuner: phase, rate, window."""
        assert self.training.exptest is not None
        return self.training.exptest.tuner

    @property
    def judged(self) -> int:
        """Steps up to the last decision: what comes later no decision has seen."""
        return self.decisions[-1].step + 1 if self.decisions else 0

    @property
    def looks(self) -> int:
        """How often the current window was too short to tell, and has grown."""
        ends = [k for k, d in enumerate(self.decisions, 1) if d.verdict != "undecided"]
        return len(self.decisions) - max(ends, default=0)

    @property
    def start(self) -> int:
        """First step of the current window."""
        return self.decisions[-1].start if self.looks else self.judged

    @property
    def measured(self) -> float | None:
        """The latest value of the task's metric; None before the first."""
        latest = self.training.latest
        return None if latest is None else latest[self.task.metric]

    def step(self) -> Decision | None:
        """Make one step of training."""
        step = self.training.step()
        self.losses.append(step.loss.item())
        if step.decision is not None:
            self.decisions.append(step.decision)
            if step.decision.rejected:
                self._predict()
        return step.decision

    def provisional(self) -> Judgement | None:
        """Judge the window as far as it has come; None while it holds too little.

        Lengths grow by a twentieth, always the same ones: what the test knows of a length is
        computed once.
        """
        start, n = self.start, len(self.losses) - self.start
        if n < FEWEST:
            return None
        length = int(FEWEST * 1.05 ** int(np.log(n / FEWEST) / np.log(1.05)))
        if self._provisional[:2] != (self.judged, length):
            window = np.array(self.losses[start : start + length])
            judged = self._judge(window) if np.isfinite(window).all() else None
            self._provisional = (self.judged, length, judged)
        return self._provisional[2]

    def _judge(self, losses: Float[np.ndarray, " n"]) -> Judgement | None:
        """What the tuner would decide if the window ended with these losses."""
        tuner, looks = self.tuner, self.looks
        if tuner.window is None:
            return None
        if tuner.method == "paper":
            return judge_paper(losses, tuner.phase, tuner.alpha)
        period = seen_twice(tuner.period, len(losses))
        return judge(losses, tuner.phase, tuner.window >> looks, tuner.levels, period)

    def record(self) -> Record:
        """Everything so far, frozen."""
        return self._record(len(self.losses))

    def settled(self) -> Record:
        """Everything up to the last decision, frozen."""
        return self._record(self.judged)

    def _record(self, steps: int) -> Record:
        return Record(
            losses=np.array(self.losses[:steps]),
            decisions=tuple(d for d in self.decisions if d.step < steps),
            max_lr=self.tuner.max_lr,
            alpha=self.settings.alpha,
            beta=self.settings.beta,
            method=self.settings.method,
        )

    def code(self) -> str:
        """Return Python that makes the same run, to paste into a cell."""
        s, n = asdict(self.settings), max(len(self.losses), 1)
        batch = s["batch_size"] or None
        loader = self.task.load_code.partition("(")[0]
        kind, options = OPTIMIZERS[s["optimizer"]]
        more = "".join(f", {name}={value}" for name, value in options.items())
        return f"""\
import torch
from torch import nn

from exptest import fit
from exptest.data import {loader}
from exptest.models import mlp, small_cnn, softmax_regression

torch.set_num_threads({torch.get_num_threads()})
data = {self.task.load_code}
torch.manual_seed({s["seed"]})
model = {self.task.build_code(self.settings)}
history = fit(
    model,
    (data.inputs, data.targets),
    loss_fn=nn.{self.task.loss}(),
    optimizer=torch.optim.{kind.__name__}(model.parameters(), lr=1.0{more}),
    batch_size={batch},
    steps={n},
    max_lr={self.tuner.max_lr!r},  # {s["start"]:g} × the largest stable rate of a linear model
    alpha={s["alpha"]},
    beta={s["beta"]},
    method={s["method"]!r},
    seed={s["seed"]},
)
print(history)
"""

    def _predict(self) -> None:
        """From here on, at this rate: the curve of a linear model under plain SGD."""
        if not self.task.linear or self.settings.optimizer != "SGD":
            return
        (weight,) = self.training.model.parameters()
        w, lr = weight.detach().double().T, self.tuner.lr
        x, y = self.data.inputs.double(), self.data.targets.double()
        if not self.settings.batch_size or self.settings.batch_size >= len(x):
            curve = LossModel.from_linear(x, y, w, loss="mse").gradient_descent(lr, HORIZON)
        else:
            curve = expected_sgd_loss(
                x, y, w, lr=lr, steps=HORIZON, loss="mse", replacement=False,
                batch_size=self.settings.batch_size,
            )  # fmt: skip
        self.predictions.append((len(self.losses), curve))
