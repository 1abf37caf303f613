"""`Training`, one step at a time; `fit`, all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer
from tqdm.auto import tqdm

from exptest import _checks
from exptest.linearized import max_learning_rate
from exptest.optim import ExpTest
from exptest.record import Decision, Record
from exptest.training.batches import Batches
from exptest.training.history import History

Metric = Callable[[nn.Module], float]

LOSS_NAMES: dict[Any, str] = {
    nn.MSELoss: "mse",
    nn.CrossEntropyLoss: "cross_entropy",
    nn.BCEWithLogitsLoss: "logistic",
    functional.mse_loss: "mse",
    functional.cross_entropy: "cross_entropy",
    functional.binary_cross_entropy_with_logits: "logistic",
}


@dataclass(frozen=True)
class Step:
    """One training step: its index, loss, the rate it was made with, and what was decided."""

    index: int
    loss: Tensor
    lr: float
    decision: Decision | None


class Training:
    """A training run that is driven from outside, one `step` at a time.

    Arguments and errors are those of `fit`.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        *,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer | None = None,
        batch_size: int | None = None,
        max_lr: float | None = None,
        lr: float | None = None,
        evaluate: Mapping[str, Metric] | None = None,
        evaluate_every: int | None = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        **settings: Any,
    ) -> None:
        parameters = list(model.parameters())
        if not parameters:
            raise ValueError("the model has no parameters; there is nothing to train.")
        if not callable(loss_fn):
            raise TypeError(f"loss_fn must be a function, got {type(loss_fn).__name__}.")
        where = torch.device(device) if device is not None else parameters[0].device
        self.batches = Batches(data, batch_size=batch_size, seed=seed, device=where)
        if lr is not None and (max_lr is not None or settings):
            raise ValueError(
                f"lr={lr} fixes the rate, so ExpTest's settings have no use; leave lr away to "
                "let ExpTest choose."
            )
        self.evaluate = dict(evaluate or {})
        self.evaluate_every = (
            (100 if self.batches.full else self.batches.per_epoch)
            if evaluate_every is None
            else _checks.at_least("evaluate_every", evaluate_every, 1, 100)
        )
        if lr is not None:
            start = _checks.positive("lr", lr, 0.1)
        elif max_lr is not None:
            start = _checks.positive("max_lr", max_lr, 0.1)
        else:
            start = default_max_lr(self.batches, loss_fn, settings.get("method", "calibrated"))

        model.to(where)
        _seed_everything(seed)
        self.model, self.loss_fn = model, loss_fn
        self.optimizer = optimizer if optimizer is not None else SGD(model.parameters(), lr=1.0)
        self.exptest: ExpTest | None = None
        if lr is None:
            settings.setdefault("path_correction", not self.batches.full)
            self.exptest = ExpTest(self.optimizer, max_lr=start, model=model, **settings)
        for group in self.optimizer.param_groups if lr is not None else ():
            group["lr"] = start
        self._start_lr = start
        self._stream = iter(self.batches)
        self._fixed_losses: list[Tensor] = []
        self._evaluations: list[dict[str, float]] = []
        self.steps = 0

    @property
    def lr(self) -> float:
        """The rate that the next step will use."""
        return self.exptest.tuner.lr if self.exptest else self._start_lr

    def step(self) -> Step:
        """Make one step."""
        self.model.train()
        inputs, targets = next(self._stream)
        rate = self.lr
        self.optimizer.zero_grad()
        loss = self.loss_fn(self.model(inputs), targets)
        loss.backward()
        self.optimizer.step()
        decision = None
        if self.exptest is not None:
            decision = self.exptest.step(loss)
        else:
            self._fixed_losses.append(loss.detach())
        self.steps += 1
        if self.evaluate and self.steps % self.evaluate_every == 0:
            self.measure()
        return Step(self.steps - 1, loss.detach(), rate, decision)

    def measure(self) -> dict[str, float]:
        """Evaluate every metric now and keep the result."""
        if not self._evaluations or self._evaluations[-1]["step"] != self.steps:
            was_training = self.model.training
            self.model.eval()
            with torch.no_grad():
                row = {name: float(metric(self.model)) for name, metric in self.evaluate.items()}
            self.model.train(was_training)
            self._evaluations.append({"step": self.steps, **row})
        return self._evaluations[-1]

    @property
    def latest(self) -> dict[str, float] | None:
        """The last evaluation: ``step`` and the metrics; None before the first."""
        return self._evaluations[-1] if self._evaluations else None

    def history(self, *, interrupted: bool = False) -> History:
        """Return what has been done so far."""
        return History(
            record=self.exptest.record if self.exptest else self._fixed_record(),
            evaluations=tuple(self._evaluations),
            steps_per_epoch=self.batches.per_epoch,
            interrupted=interrupted,
        )

    def _fixed_record(self) -> Record:
        stacked = torch.stack(self._fixed_losses) if self._fixed_losses else torch.empty(0)
        return Record(
            losses=stacked.double().cpu().numpy(),
            decisions=(),
            max_lr=self._start_lr,
            alpha=float("nan"),
            beta=float("nan"),
            method="fixed rate",
        )


def fit(
    model: nn.Module,
    data: Any,
    *,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    epochs: int | None = None,
    steps: int | None = None,
    progress: bool = True,
    callback: Callable[[Step], None] | None = None,
    **settings: Any,
) -> History:
    """Train ``model`` without a learning rate and return the history.

    Args:
        model: any module; it is trained in place.
        data: ``(inputs, targets)``, first dimension n, or a DataLoader of such pairs.
        loss_fn: ``loss_fn(outputs, targets)``, a scalar with mean reduction, loss units.
        epochs, steps: how long; exactly one of them.
        progress: show a tqdm bar (terminal or notebook).
        callback: called with every `Step`.
        optimizer: default plain SGD; its own rates only set the ratios between groups.
        batch_size: examples per step; None: full batch (no path correction then).
        max_lr: where the search begins; default from the inputs by `default_max_lr`.
        lr: a fixed rate instead of ExpTest, to compare with.
        evaluate: name → ``metric(model)``, measured every ``evaluate_every`` steps (default:
            every epoch; full batch, every 100 steps) and at the end.
        seed: of torch, numpy, random and the shuffling.
        device: where to train; default where the model is.
        **settings: as for `exptest.ExpTest` (alpha, beta, method, restart, ...).

    Returns:
        The history. KeyboardInterrupt ends training and returns what was done so far.

    Raises:
        ValueError, TypeError: bad input; nothing has been touched then.

    Least squares on two orthogonal columns:

    >>> x = torch.eye(2).repeat(8, 1)
    >>> model = nn.Linear(2, 1, bias=False)
    >>> history = fit(model, (x, x.sum(1, keepdim=True)), loss_fn=nn.MSELoss(), steps=60,
    ...               progress=False)
    >>> bool(history.losses[-1] < 1e-3 * history.losses[0])
    True
    """
    if (epochs is None) == (steps is None):
        raise ValueError(f"pass either epochs or steps, got epochs={epochs} and steps={steps}.")
    length = _checks.at_least("steps or epochs", epochs if steps is None else steps, 1, 10)
    training = Training(model, data, loss_fn=loss_fn, **settings)
    total = length if epochs is None else length * training.batches.per_epoch
    interrupted = False
    with tqdm(total=total, disable=not progress, unit="step", mininterval=0.25) as bar:
        try:
            for step in _driven(training, total):
                bar.update()
                if step.decision is not None:
                    bar.set_postfix_str(f"η = {training.lr:.4g}", refresh=False)
                if callback is not None:
                    callback(step)
        except KeyboardInterrupt:
            interrupted = True
    if training.evaluate:
        training.measure()
    return training.history(interrupted=interrupted)


def _driven(training: Training, total: int) -> Iterator[Step]:
    for _ in range(total):
        yield training.step()


def default_max_lr(batches: Batches, loss_fn: Any, method: str) -> float:
    """Return the largest stable rate of the linear model on these inputs, under this loss.

    Calibrated: the bound of the loss that is minimized, bias column included; MSE's mean over
    outputs divides its Hessian, so their number multiplies the bound. Paper: ½MSE's bound for
    every loss, without a bias.
    """
    inputs = batches.inputs
    if inputs is None or not inputs.is_floating_point():
        raise ValueError(
            "max_lr cannot be derived: the inputs are not held as a floating-point tensor; "
            "try max_lr=max_learning_rate(inputs, loss=...) on a sample of them."
        )
    name = LOSS_NAMES.get(type(loss_fn)) or LOSS_NAMES.get(loss_fn)
    if method == "paper":
        return max_learning_rate(inputs.flatten(1), loss="half_mse")
    if name is None or getattr(loss_fn, "reduction", "mean") != "mean":
        raise ValueError(
            f"max_lr cannot be derived for loss {loss_fn!r}; try max_lr=... or one of "
            f"{', '.join(f'nn.{kind.__name__}()' for kind in LOSS_NAMES)}."
        )
    outputs = batches.outputs if name == "mse" else 1
    return outputs * max_learning_rate(inputs.flatten(1), loss=name, bias=True)


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - users' own code may draw from it
    torch.manual_seed(seed)
