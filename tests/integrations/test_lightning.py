"""A Lightning run is the plain loop, its loggers see the rates, its checkpoints hold ExpTest."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.integrations.loops import (
    OPTIMIZERS,
    PER_EPOCH,
    SETTINGS,
    assert_same,
    batches,
    documented,
    loss_fn,
    network,
    plain,
    weights,
)

lightning = pytest.importorskip("lightning.pytorch")
from exptest.integrations.lightning import ExpTestCallback  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # what torch calls Lightning's usage
    # Lightning's advice about workers, validation loaders and loaders that cannot resume
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
]
EPOCHS = 20


class Module(lightning.LightningModule):
    def __init__(self, optimizer: str = "momentum", dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.net, self.kind = network(dtype), optimizer

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        x, y = batch
        self.log("rate", self.optimizers().param_groups[0]["lr"], on_step=True)
        return loss_fn(self.net(x), y)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        loss_fn(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return OPTIMIZERS[self.kind](self.parameters())


def trainer(folder: Path, *callbacks: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "callbacks": list(callbacks),
        "default_root_dir": folder,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "logger": False,
        "log_every_n_steps": 1,
        "max_epochs": EPOCHS,
    }
    return lightning.Trainer(**(defaults | options))


def fit(folder: Path, kind: str = "momentum", *callbacks: Any, **options: Any) -> Any:
    callback, module = ExpTestCallback(**SETTINGS), Module(kind)
    trainer(folder, callback, *callbacks, **options).fit(module, batches())
    return callback, module


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_fit_ends_with_the_weights_of_the_plain_loop(
    kind: str, accumulate: int, tmp_path: Path
) -> None:
    callback, module = fit(tmp_path, kind, accumulate_grad_batches=accumulate)
    assert_same(callback.record, module.net, plain(EPOCHS, optimizer=kind, accumulate=accumulate))


def test_of_three_batches_the_mean_is_taken_although_lightning_divides_the_last_too(
    tmp_path: Path,
) -> None:
    callback, module = fit(tmp_path, "adam", accumulate_grad_batches=3)
    expected = plain(EPOCHS, optimizer="adam", accumulate=3)
    assert_same(callback.record, module.net, expected, rtol=1e-14)  # loss / 3 · 3 rounds
    torch.testing.assert_close(weights(module.net), expected[1], rtol=0, atol=0)


def test_clipped_gradients_are_those_of_the_plain_loop(tmp_path: Path) -> None:
    callback, module = fit(tmp_path, gradient_clip_val=1.0)
    assert_same(callback.record, module.net, plain(EPOCHS, clip=1.0))


def test_in_bfloat16_it_is_the_plain_loop_under_autocast(tmp_path: Path) -> None:
    callback, module = ExpTestCallback(**SETTINGS), Module(dtype=torch.float32)
    train = trainer(tmp_path, callback, precision="bf16-mixed")
    train.fit(module, batches(torch.float32))
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        expected = plain(EPOCHS, dtype=torch.float32)
    assert_same(callback.record, module.net, expected)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_loggers_see_the_rate_of_every_step(accumulate: int, tmp_path: Path) -> None:
    monitor = lightning.callbacks.LearningRateMonitor("step")
    logger = lightning.loggers.CSVLogger(tmp_path)
    callback, _ = fit(tmp_path, "adam", monitor, logger=logger, accumulate_grad_batches=accumulate)
    last = slice(accumulate - 1, None, accumulate)  # the batch before each update
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["lr-Adam"]) for row in rows if row["lr-Adam"]]
    logged = [float(row["rate"]) for row in rows if row["rate"]]
    expected = callback.record.lrs
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(monitor.lrs["lr-Adam"][last], expected)
    np.testing.assert_array_equal(rates[last], expected)
    np.testing.assert_allclose(logged, expected, rtol=1e-7)  # self.log: float32


def test_a_schedule_that_is_handed_over_multiplies_the_rate(tmp_path: Path) -> None:
    def warm_up(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, (t + 1) / 20))

    monitor = lightning.callbacks.LearningRateMonitor("step")
    callback = ExpTestCallback(schedule=warm_up, **SETTINGS)
    logger = lightning.loggers.CSVLogger(tmp_path)
    train = trainer(tmp_path, callback, monitor, logger=logger, max_epochs=3)
    train.fit(Module("sgd"), batches())
    np.testing.assert_array_equal(monitor.lrs["lr-SGD"], callback.record.lrs)
    assert callback.record.lrs[0] == 0.1


def test_validation_does_not_count(tmp_path: Path) -> None:
    callback, module = ExpTestCallback(**SETTINGS), Module()
    train = trainer(tmp_path, callback, val_check_interval=5)
    train.fit(module, batches(), batches())
    assert_same(callback.record, module.net, plain(EPOCHS))


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* is not empty")
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_resuming_mid_window_is_the_run_that_went_on(kind: str, tmp_path: Path) -> None:
    def saves() -> Any:
        return lightning.callbacks.ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)

    whole, module = fit(tmp_path, kind, saves(), enable_checkpointing=True)
    for epoch in (13, 4, 0):  # each writes the later ones anew
        callback, again = ExpTestCallback(**SETTINGS), Module(kind)
        train = trainer(tmp_path, callback, saves(), enable_checkpointing=True)
        train.fit(again, batches(), ckpt_path=tmp_path / f"epoch={epoch}.ckpt")
        assert len(callback.record.losses) == EPOCHS * PER_EPOCH  # it did not begin anew
        assert callback.record.decisions == whole.record.decisions
        torch.testing.assert_close(weights(again), weights(module), rtol=0, atol=0)
        assert callback.exptest.tuner.filled == whole.exptest.tuner.filled > 0


def test_a_step_without_a_loss_is_skipped_and_counted(tmp_path: Path) -> None:
    class Picky(Module):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
            return None if batch_idx == 3 else super().training_step(batch, batch_idx)

    callback = ExpTestCallback(**SETTINGS)
    with pytest.warns(UserWarning, match="returned `None`"):
        trainer(tmp_path, callback, max_epochs=2).fit(Picky(), batches())
    assert callback.record.skipped == 2
    assert len(callback.record.losses) == 2 * PER_EPOCH


def test_the_older_name_of_lightning_takes_the_same_callback(tmp_path: Path) -> None:
    older = pytest.importorskip("pytorch_lightning")

    class Old(older.LightningModule):
        configure_optimizers, training_step = Module.configure_optimizers, Module.training_step

    module, callback = Old(), ExpTestCallback(**SETTINGS)
    module.net, module.kind = network(), "momentum"
    train = older.Trainer(
        accelerator="cpu", callbacks=[callback], max_epochs=EPOCHS, logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
    )  # fmt: skip
    train.fit(module, batches())
    assert_same(callback.record, module.net, plain(EPOCHS))


def test_the_documented_lines_run(tmp_path: Path) -> None:
    quiet = functools.partial(trainer, tmp_path)
    scope = {"Trainer": quiet, "model": Module("sgd"), "loader": batches()}
    exec(documented("Lightning"), scope)
    expected = plain(10, optimizer="sgd", settings={"max_lr": 0.5})
    torch.testing.assert_close(weights(scope["model"].net), expected[1], rtol=0, atol=0)
    assert len(scope["callback"].record.losses) == 10 * PER_EPOCH


@pytest.mark.usefixtures("as_users_do")
class TestRefusals:
    def test_a_scheduler_is_a_second_owner(self, tmp_path: Path) -> None:
        class Scheduled(Module):
            def configure_optimizers(self) -> Any:
                base = torch.optim.SGD(self.parameters(), lr=0.1)
                return [base], [torch.optim.lr_scheduler.StepLR(base, 3)]

        module = Scheduled()
        before = weights(module)
        with pytest.raises(ValueError, match=r"returns a scheduler, StepLR.*hand the schedule"):
            trainer(tmp_path, ExpTestCallback(0.5)).fit(module, batches())
        torch.testing.assert_close(weights(module), before, rtol=0, atol=0)

    def test_manual_optimization_has_no_loss(self, tmp_path: Path) -> None:
        module = Module()
        module.automatic_optimization = False
        with pytest.raises(ValueError, match=r"manual optimization; use exptest\.ExpTest"):
            trainer(tmp_path, ExpTestCallback(0.5)).fit(module, batches())

    def test_a_checkpoint_without_exptest_is_no_beginning(self, tmp_path: Path) -> None:
        without = trainer(tmp_path, max_epochs=1)
        without.fit(Module(), batches())
        without.save_checkpoint(tmp_path / "without.ckpt")
        with pytest.raises(ValueError, match=r"without\.ckpt was saved without ExpTestCallback"):
            trainer(tmp_path, ExpTestCallback(0.5)).fit(
                Module(), batches(), ckpt_path=tmp_path / "without.ckpt"
            )

    def test_a_rate_that_somebody_else_writes_is_named(self, tmp_path: Path) -> None:
        class Writes(lightning.Callback):
            def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
                trainer.optimizers[0].param_groups[0]["lr"] = 0.01

        with pytest.raises(RuntimeError, match=r"group 0 is 0\.01, but ExpTest has set 0\.5"):
            trainer(tmp_path, ExpTestCallback(0.5), Writes()).fit(Module(), batches())

    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"alpha": 2.0}, ValueError, "alpha"),
            ({"alhpa": 0.05}, TypeError, "alhpa"),
            ({"schedule": 3}, TypeError, "schedule must be a function .* got int"),
            ({"model": nn.Identity()}, TypeError, "the model is the framework's"),
        ],
    )
    def test_bad_settings_are_refused_at_once(
        self, settings: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            ExpTestCallback(0.5, **settings)

    def test_there_is_no_record_before_a_fit(self) -> None:
        with pytest.raises(RuntimeError, match=r"call trainer\.fit"):
            _ = ExpTestCallback(0.5).record
