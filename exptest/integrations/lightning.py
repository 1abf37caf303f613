"""ExpTest in a Lightning Trainer."""

from __future__ import annotations

import math
from typing import Any

from exptest.integrations.settings import Settings
from exptest.optim import ExpTest
from exptest.record import Record

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning import Callback
    except ModuleNotFoundError as error:
        raise ImportError(
            "exptest.integrations.lightning needs Lightning: pip install -e '.[lightning]'."
        ) from error


class ExpTestCallback(Callback):
    """Choose the learning rate of the module's optimizer.

    The optimizer's own rate is replaced; ``configure_optimizers`` returns it without a scheduler.
    A ``training_step`` that returns None is a missing loss: skipped and counted. Checkpoints hold
    ExpTest's state. `LearningRateMonitor` and ``self.log`` see the rate that each step uses.

    Args:
        max_lr: where the search begins, see `exptest.linearized.max_learning_rate`.
        settings: as for `exptest.ExpTest`, except ``model``; ``schedule`` is a function from the
            optimizer to a torch scheduler, by whose factor the rate is multiplied.

    Raises:
        TypeError, ValueError: a setting is out of range. When training begins: the module
            optimizes manually, has a scheduler, or goes on from a checkpoint without ExpTest.
    """

    def __init__(self, max_lr: float, **settings: Any) -> None:
        super().__init__()
        self._settings = Settings({"max_lr": max_lr, **settings})
        self._exptest: ExpTest | None = None
        self._saved: dict[str, Any] | None = None

    @property
    def exptest(self) -> ExpTest:
        """The ExpTest of the last fit."""
        if self._exptest is None:
            raise RuntimeError("nothing has been trained yet; call trainer.fit(...) first.")
        return self._exptest

    @property
    def record(self) -> Record:
        """All losses and decisions of the last fit."""
        return self.exptest.record

    # -- what Lightning calls --------------------------------------------------------------

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Before a checkpoint's optimizer is loaded: take over its rates."""
        if not pl_module.automatic_optimization:
            raise ValueError(
                "ExpTestCallback sees no loss under manual optimization; use exptest.ExpTest in "
                "training_step: exptest.step(loss) after optimizer.step()."
            )
        if trainer.lr_scheduler_configs:
            names = ", ".join(type(c.scheduler).__name__ for c in trainer.lr_scheduler_configs)
            raise ValueError(
                f"configure_optimizers returns a scheduler, {names}, and ExpTestCallback owns the "
                "rate; return the optimizer alone, or hand the schedule over: "
                "ExpTestCallback(max_lr, schedule=lambda optimizer: ...)."
            )
        self._exptest = self._settings.make(trainer.optimizers[0], pl_module)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """After a checkpoint's optimizer is loaded: go on from its ExpTest."""
        saved, self._saved = self._saved, None
        if saved is not None:
            self.exptest.load_state_dict(saved)
        elif trainer.ckpt_path:
            raise ValueError(
                f"the checkpoint {trainer.ckpt_path} was saved without ExpTestCallback; load its "
                "weights alone and begin anew: Module.load_from_checkpoint(...)."
            )

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Lightning has divided the loss by the number of batches accumulated."""
        loss = (outputs or {}).get("loss", math.nan)
        self.exptest.step(loss * trainer.accumulate_grad_batches)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: ExpTest's state."""
        return {} if self._exptest is None else self._exptest.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep it until there is an optimizer."""
        self._saved = state_dict
