"""ExpTest in the Trainer of Hugging Face's transformers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from exptest.integrations.settings import Settings
from exptest.optim import ExpTest
from exptest.optim.owners import owners
from exptest.record import Record

try:
    from transformers import Trainer, TrainerCallback
except ModuleNotFoundError as error:
    raise ImportError(
        "exptest.integrations.transformers needs transformers and accelerate: "
        "pip install -e '.[transformers]'."
    ) from error


class ExpTestCallback(TrainerCallback):
    """Choose the learning rate of a Trainer.

    The Trainer's scheduler ("linear") is replaced by one that does nothing, reports ExpTest's
    rates and takes ExpTest's state into the checkpoints; ``learning_rate`` of `TrainingArguments`
    only sets the ratios of the groups. The loss of an update is the sum of what
    ``training_step`` differentiated: the mean over its batches, or over its tokens where the
    Trainer averages over those. Evaluation does not count. The Trainer itself resumes only with
    torch 2.6 or later.

    Args:
        max_lr: where the search begins, see `exptest.linearized.max_learning_rate`.
        settings: as for `exptest.ExpTest`, except ``model``; ``schedule`` is a function from the
            optimizer to a torch scheduler, by whose factor the rate is multiplied.

    Raises:
        TypeError, ValueError: a setting is out of range. When training begins: the Trainer has
            been told of another schedule, lets DeepSpeed step, or goes on from a checkpoint
            without ExpTest.
    """

    def __init__(self, max_lr: float, **settings: Any) -> None:
        self._settings = Settings({"max_lr": max_lr, **settings})
        self._exptest: ExpTest | None = None
        self._loss: Tensor | None = None
        self._stop_listening: Callable[[], None] = lambda: None

    @property
    def exptest(self) -> ExpTest:
        """The ExpTest of the last training."""
        if self._exptest is None:
            raise RuntimeError("nothing has been trained yet; call trainer.train() first.")
        return self._exptest

    @property
    def record(self) -> Record:
        """All losses and decisions of the last training."""
        return self.exptest.record

    # -- what the Trainer calls ------------------------------------------------------------

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: nn.Module,
        optimizer: Optimizer,
        lr_scheduler: Any,
        **kwargs: Any,
    ) -> None:
        """Take over the rates and the scheduler's place; go on from a checkpoint's ExpTest."""
        trainer = _trainer(state)
        _check(trainer, args, state)
        saved = vars(lr_scheduler).pop(STATE, None)
        if state.global_step and saved is None:
            raise ValueError(
                f"the checkpoint of step {state.global_step} was saved without ExpTestCallback; "
                "load its weights alone and begin anew: from_pretrained(checkpoint)."
            )
        self._exptest = self._settings.make(optimizer, model)
        if saved is not None:
            self._exptest.load_state_dict(saved)
        scheduler = Replaced(lr_scheduler, self._exptest)
        trainer.lr_scheduler = trainer.callback_handler.lr_scheduler = scheduler
        self._listen(trainer)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Before the gradients are cleared: the loss of this update is complete."""
        loss, self._loss = self._loss, None
        assert loss is not None
        kwargs["lr_scheduler"].note()
        self.exptest.step(loss)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave the Trainer's methods as they were."""
        self._stop_listening()

    def _listen(self, trainer: Trainer) -> None:
        """The Trainer hands its callbacks no loss: take it from ``training_step``."""
        self._stop_listening()  # of a training that an exception ended
        self._loss = None
        train = trainer.training_step

        @functools.wraps(train)
        def training_step(*args: Any, **kwargs: Any) -> Tensor:
            loss = train(*args, **kwargs)
            self._loss = loss if self._loss is None else self._loss + loss
            return loss

        trainer.training_step = training_step
        self._stop_listening = functools.partial(setattr, trainer, "training_step", train)


STATE = "exptest"


class Replaced:
    """In the place of the Trainer's scheduler: it does nothing and says what ExpTest does.

    Args:
        scheduler: the Trainer's, whose kind the Trainer will load the state into.
        exptest: who owns the rates.
    """

    def __init__(self, scheduler: Any, exptest: ExpTest) -> None:
        self._scheduler, self._exptest = scheduler, exptest
        self.note()

    def note(self) -> None:
        """Remember the rates: an update has used them."""
        self._used = self._exptest.get_last_lr()

    def step(self) -> None:
        """Do nothing."""

    def get_last_lr(self) -> list[float]:
        """Return the rates of the last update, whenever the Trainer asks."""
        return self._used

    def state_dict(self) -> dict[str, Any]:
        """Return the replaced scheduler's state and, within it, ExpTest's."""
        return {**self._scheduler.state_dict(), STATE: self._exptest.state_dict()}


def _trainer(state: Any) -> Trainer:
    """The Trainer hands its callbacks everything but itself; the interpreter knows it."""
    (trainer,) = (t for t in owners([state], Trainer) if vars(t).get("state") is state)
    return trainer


def _check(trainer: Trainer, args: Any, state: Any) -> None:
    """Raise ValueError if somebody else was told to own the rate or to step."""
    kind, warmup = args.lr_scheduler_type, args.get_warmup_steps(state.max_steps)
    found = None
    if not trainer._created_lr_scheduler:
        found = f"a scheduler, {type(trainer.lr_scheduler).__name__}"
    elif kind not in ("linear", "constant"):
        found = f"lr_scheduler_type={str(getattr(kind, 'value', kind))!r}"
    elif warmup:
        found = f"warmup_steps={warmup}"
    if found:
        raise ValueError(
            f"the Trainer has {found}, and ExpTestCallback owns the rate; leave it away, or hand "
            "the schedule over: ExpTestCallback(max_lr, schedule=lambda optimizer: ...)."
        )
    if trainer.is_deepspeed_enabled:
        raise ValueError(
            "DeepSpeed steps its optimizer by itself, where ExpTest cannot see it; train without "
            "DeepSpeed."
        )
