"""`Training`, one step at a time; `fit`, all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from tqdm.auto import tqdm

from exptest import _checks
from exptest.optim import ExpTest
from exptest.record import Decision, Record
from exptest.training.batches import Batches
from exptest.training.history import History
from exptest.training.start import default_max_lr
from exptest.training.triple import check_parts, check_triple
from exptest.training.undisturbed import RandomState, evaluating, seed_everything, undisturbed

Metric = Callable[[nn.Module], float]


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
        check_parts(model, loss_fn, optimizer)
        if lr is not None and (max_lr is not None or settings):
            raise ValueError(
                f"lr={lr} fixes the rate, so ExpTest's settings have no use; leave lr away to "
                "let ExpTest choose."
            )
        where = _usable(device) if device is not None else next(model.parameters()).device
        self.batches = Batches(data, batch_size=batch_size, seed=seed, device=where)
        self.evaluate = _metrics(evaluate)
        self.evaluate_every = (
            (100 if self.batches.full else self.batches.per_epoch)
            if evaluate_every is None
            else _checks.at_least("evaluate_every", evaluate_every, 1, 100)
        )
        self.model, self.loss_fn = model, loss_fn
        self.optimizer = optimizer if optimizer is not None else SGD(model.parameters(), lr=1.0)
        self.first_window: int | None = None
        self._stream, random_state = self._first_batch(seed, where)
        if lr is not None:
            start = _checks.positive("lr", lr, 0.1)
        elif max_lr is not None:
            start = _checks.positive("max_lr", max_lr, 0.1)
        else:
            start = default_max_lr(self.batches, loss_fn, settings.get("method", "calibrated"))
        if lr is None:
            settings.setdefault("path_correction", not self.batches.full)
            settings.setdefault("period", self.batches.per_epoch or 1)
            trial = ExpTest(_stand_in(self.optimizer), max_lr=start, **settings).tuner
            trial.observe(self._first_loss)
            self.first_window = trial.window

        model.to(where)
        random_state.restore()
        self.exptest: ExpTest | None = None
        if lr is None:
            self.exptest = ExpTest(self.optimizer, max_lr=start, model=model, **settings)
        for group in self.optimizer.param_groups if lr is not None else ():
            group["lr"] = start
        self._start_lr = start
        self._fixed_losses: list[Tensor] = []
        self._evaluations: list[dict[str, float]] = []
        self.steps = 0

    def _first_batch(
        self, seed: int, where: torch.device
    ) -> tuple[Iterator[tuple[Tensor, Tensor]], RandomState]:
        """Check the triple; return the stream from its first batch on, and the random state there.

        The batch that was checked is the one that the first step uses: a shuffled DataLoader
        is not asked twice.
        """
        before = RandomState(where, self.batches.generators)
        with undisturbed(self.model, self.loss_fn, state=before):
            seed_everything(seed)
            stream = iter(self.batches)
            batch = next(stream)
            drawn = RandomState(where, self.batches.generators)
            self._first_loss = check_triple(
                self.model,
                self.loss_fn,
                batch,
                all_targets=self.batches.all_targets,
                optimizer=self.optimizer,
                device=where,
            )
        return chain([batch], stream), drawn

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
            with evaluating(self.model), torch.no_grad():
                row = {name: float(metric(self.model)) for name, metric in self.evaluate.items()}
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
            every epoch; full batch, every 100 steps) and at the end. A unit in brackets at the
            end of a name, as in ``"accuracy (%)"``, is printed behind the value.
        seed: of torch, numpy, random and the shuffling.
        device: where to train; default where the model is.
        **settings: as for `exptest.ExpTest` (alpha, beta, method, restart, ...); ``period`` is the
            steps of an epoch if not given.

    Warns:
        UserWarning: before training, that not even the first window will be full.

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
    _announce(training.first_window, total)
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


def _announce(window: int | None, total: int) -> None:
    """Say before training that nothing will be decided."""
    if window is not None and window > total:
        warnings.warn(
            f"nothing will be decided: the first window holds {window} losses, training has "
            f"{total} steps; train longer, raise max_lr, or raise loss_floor if the loss has a "
            "constant part.",
            stacklevel=3,
        )


def _usable(device: torch.device | str) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}; "
            "try device='cpu'."
        ) from error


def _metrics(evaluate: Mapping[str, Metric] | None) -> dict[str, Metric]:
    metrics = dict(evaluate or {})
    for name, metric in metrics.items():
        if not callable(metric):
            raise TypeError(
                f"evaluate[{name!r}] must be a function of the model, got {type(metric).__name__}."
            )
    return metrics


def _stand_in(optimizer: Optimizer) -> Optimizer:
    """An optimizer with the same rates and nothing to train, to try settings on."""
    weights = [torch.zeros((), requires_grad=True) for _ in optimizer.param_groups]
    pairs = zip(weights, optimizer.param_groups, strict=True)
    return SGD([{"params": [w], "lr": float(group["lr"])} for w, group in pairs], lr=1.0)
