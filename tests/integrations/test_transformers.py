"""A Trainer's run is the plain loop, its log has the rates, its checkpoints hold ExpTest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.integrations.language import (
    STEPS,
    ExpTestCallback,
    InOrder,
    Sentences,
    arguments,
    language_model,
    plain,
    train,
    transformers,
    words,
)
from tests.integrations.loops import SETTINGS, assert_same, documented, weights

pytestmark = pytest.mark.slow
resumes = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6),
    reason="transformers loads no checkpoint with a torch before 2.6",
)


def logged(trainer: Any) -> list[float]:
    return [entry["learning_rate"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("adam", [False, True], ids=["sgd", "adam"])
@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_a_training_ends_with_the_weights_of_the_plain_loop_and_logs_its_rates(
    adam: bool, accumulate: int, tmp_path: Path
) -> None:
    optim = "adamw_torch" if adam else "sgd"
    callback, trainer = train(tmp_path, gradient_accumulation_steps=accumulate, optim=optim)
    assert_same(callback.record, trainer.model, plain(accumulate=accumulate, adam=adam))
    np.testing.assert_array_equal(logged(trainer), callback.record.lrs)


def test_label_smoothing_is_part_of_the_loss(tmp_path: Path) -> None:
    def smoothed(model: Any, batch: dict[str, Tensor], update: list[Any]) -> Tensor:
        labels, logits = batch["labels"][:, 1:], model(batch["input_ids"]).logits[:, :-1]
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), label_smoothing=0.2, reduction="sum"
        ) / words(update)

    callback, trainer = train(tmp_path, label_smoothing_factor=0.2)
    expected = plain(loss_of=smoothed)  # the Trainer smooths by a formula of its own
    assert_same(callback.record, trainer.model, expected, rtol=1e-6)


def test_a_loss_of_ones_own_is_averaged_over_the_batches(tmp_path: Path) -> None:
    class Own(InOrder):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Tensor:
            return model(**inputs).loss

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.model_accepts_loss_kwargs = False  # so the Trainer divides by the batches

    def mean_over_batches(model: Any, batch: dict[str, Tensor], update: list[Any]) -> Tensor:
        return model(**batch).loss / len(update)

    callback, trainer = train(tmp_path, Own, gradient_accumulation_steps=4)
    expected = plain(accumulate=4, loss_of=mean_over_batches)
    assert_same(callback.record, trainer.model, expected)


def test_evaluation_does_not_count(tmp_path: Path) -> None:
    callback, trainer = train(tmp_path, eval_strategy="steps", eval_steps=7, eval_on_start=True)
    assert_same(callback.record, trainer.model, plain())


def test_in_bfloat16_the_log_has_the_losses_and_the_rates(tmp_path: Path) -> None:
    callback, trainer = train(tmp_path, bf16=True)
    np.testing.assert_array_equal(logged(trainer), callback.record.lrs)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    np.testing.assert_allclose(losses, callback.record.losses, rtol=1e-4, atol=1e-4)


def test_a_schedule_that_is_handed_over_multiplies_the_rate(tmp_path: Path) -> None:
    def warm_up(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, (t + 1) / 20))

    callback = ExpTestCallback(schedule=warm_up, **SETTINGS)
    _, trainer = train(tmp_path, callback=callback)
    np.testing.assert_array_equal(logged(trainer), callback.record.lrs)
    assert callback.record.lrs[0] == 0.1


@resumes
@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
@pytest.mark.parametrize("schedule", [None, "dip"])
def test_resuming_mid_window_is_the_run_that_went_on(
    optim: str, schedule: str | None, tmp_path: Path
) -> None:
    def dip(optimizer: Any) -> Any:  # the rate is 0 in the checkpoint of step 9
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, abs(t / 9 - 1)))

    def callback() -> Any:
        return ExpTestCallback(schedule=dip if schedule else None, **SETTINGS)

    options = {"optim": optim, "save_strategy": "steps", "save_steps": 9}
    whole, trainer = train(tmp_path, transformers.Trainer, callback(), **options)
    assert len(whole.record.decisions) >= 2
    for step in (63, 36, 9):  # shuffled batches; each writes the later ones anew
        folder = str(tmp_path / f"checkpoint-{step}")
        again, other = train(tmp_path, transformers.Trainer, callback(), folder, **options)
        assert len(again.record.losses) == STEPS  # it did not begin anew
        assert again.record.decisions == whole.record.decisions
        assert again.exptest.tuner.filled == whole.exptest.tuner.filled > 0
        torch.testing.assert_close(weights(other.model), weights(trainer.model), rtol=0, atol=0)
        np.testing.assert_array_equal(logged(other), logged(trainer))


def test_a_callback_that_is_added_later_and_a_training_that_broke_off_count_once(
    tmp_path: Path,
) -> None:
    class Breaks(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                raise KeyboardInterrupt

    callback = ExpTestCallback(**SETTINGS)
    trainer = InOrder(language_model(), arguments(tmp_path), train_dataset=Sentences())
    trainer.add_callback(callback)
    trainer.add_callback(Breaks)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(callback.record.losses) == 3
    trainer.remove_callback(Breaks)
    trainer.model.load_state_dict(language_model().state_dict())
    trainer.train()
    assert_same(callback.record, trainer.model, plain())
    assert trainer.training_step.__func__ is transformers.Trainer.training_step


def test_the_documented_lines_run(tmp_path: Path) -> None:
    scope = {
        "Trainer": InOrder, "model": language_model(), "args": arguments(tmp_path),
        "dataset": Sentences(),
    }  # fmt: skip
    exec(documented("Transformers"), scope)
    np.testing.assert_array_equal(logged(scope["trainer"]), scope["callback"].record.lrs)


@pytest.mark.usefixtures("as_users_do")
class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"lr_scheduler_type": "cosine"}, r"has lr_scheduler_type='cosine'.*hand the schedule"),
            ({"warmup_steps": 5}, r"has warmup_steps=5"),
        ],
    )
    def test_another_schedule_is_a_second_owner(
        self, options: Any, message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match=message):
            train(tmp_path, **options)

    def test_a_scheduler_of_ones_own_is_a_second_owner(self, tmp_path: Path) -> None:
        model = language_model()
        base = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = InOrder(
            model, arguments(tmp_path), train_dataset=Sentences(),
            callbacks=[ExpTestCallback(0.5)],
            optimizers=(base, torch.optim.lr_scheduler.StepLR(base, 3)),
        )  # fmt: skip
        before = weights(model)
        with pytest.raises(ValueError, match=r"has a scheduler, StepLR, and ExpTestCallback owns"):
            trainer.train()
        torch.testing.assert_close(weights(model), before, rtol=0, atol=0)

    @resumes
    def test_a_checkpoint_without_exptest_is_no_beginning(self, tmp_path: Path) -> None:
        options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
        InOrder(language_model(), arguments(tmp_path, **options), train_dataset=Sentences()).train()
        with pytest.raises(ValueError, match=r"of step 2 was saved without ExpTestCallback"):
            train(tmp_path, resume=str(tmp_path / "checkpoint-2"), **options)

    def test_a_rate_that_somebody_else_writes_is_named(self, tmp_path: Path) -> None:
        class Writes(transformers.TrainerCallback):
            def on_step_begin(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
                optimizer.param_groups[1]["lr"] = 0.01

        trainer = InOrder(
            language_model(), arguments(tmp_path), train_dataset=Sentences(),
            callbacks=[ExpTestCallback(0.5), Writes()],
        )  # fmt: skip
        with pytest.raises(RuntimeError, match=r"group 1 is 0\.01, but ExpTest has set 0\.5"):
            trainer.train()

    def test_deepspeed_steps_by_itself(self, tmp_path: Path) -> None:
        class Deep(InOrder):
            def _wrap_model(self, *args: Any, **kwargs: Any) -> Any:
                self.is_deepspeed_enabled = True
                return super()._wrap_model(*args, **kwargs)

        with pytest.raises(ValueError, match="DeepSpeed steps its optimizer by itself"):
            train(tmp_path, Deep)

    def test_bad_settings_are_refused_at_once_and_there_is_no_record_before(self) -> None:
        with pytest.raises(ValueError, match="alpha"):
            ExpTestCallback(0.5, alpha=2.0)
        with pytest.raises(RuntimeError, match=r"call trainer\.train"):
            _ = ExpTestCallback(0.5).record
