"""The training loss is found by its name, never by chance; the pace is read off the steps."""

from __future__ import annotations

import pytest

from exptest.recorded import Log, open_log, read_log


def table(header: str, rows: int = 3) -> bytes:
    """A CSV of 1, 2, 3, … in every cell of the header's columns."""
    lines = [",".join([str(row + 1)] * (header.count(",") + 1)) for row in range(rows)]
    return "\n".join([header, *lines]).encode()


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("loss,val_loss", "loss"),
        ("val_loss,train_loss", "train_loss"),
        ("eval/loss,train/loss,test/loss", "train/loss"),
        ("Training Loss,Validation Loss", "Training Loss"),
        ("trainLoss,validLoss", "trainLoss"),
        ("loss/train,loss/dev", "loss/train"),
        ("train_loss_epoch,train_loss_step", "train_loss_step"),
        ("batch_loss,loss", "batch_loss"),
        ("total_loss,loss_cls,loss_box_reg", "total_loss"),
        ("train_loss_epoch,val_loss_epoch", "train_loss_epoch"),
        ("loss,loss_scale,grad_norm,accuracy", "loss"),
        ("epoch,step,wall_time,lr-Adam,learning_rate,nll", "nll"),
        ("Wall time,Step,Value", "Value"),
        (",nll", "nll"),
        ("my val run - train/loss,my val run - accuracy", "my val run - train/loss"),
        ("run - nll__MIN,run - nll,run - nll__MAX", "run - nll"),
        ("step,val_loss", "val_loss"),
    ],
)
def test_one_plausible_name_is_taken(header: str, column: str) -> None:
    assert read_log(table(header)).column == column


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("loss,train_loss", "'loss', 'train_loss'"),
        ("run a - train/loss,run b - train/loss", "'run a - train/loss', 'run b - train/loss'"),
        ("loss,loss", "'loss', 'loss.1'"),
        ("nll,val_nll", "'nll', 'val_nll'"),
        ("val_loss,accuracy", "'val_loss', 'accuracy'"),
        ("loss_G,loss_D", "'loss_G', 'loss_D'"),
        ("step,epoch,lr", "none; its columns are 'step', 'epoch', 'lr'"),
    ],
)
def test_of_several_plausible_names_none_is_taken(header: str, found: str) -> None:
    with pytest.raises(ValueError, match=f"found {found}"):
        read_log(table(header))


def test_a_column_is_taken_exactly_as_named() -> None:
    log = read_log(table("loss,val_loss,step"), column="step")
    assert (log.column, log.step_column) == ("step", None)
    with pytest.raises(ValueError, match="has no column 'Loss'; it has 'loss', 'val_loss'"):
        read_log(table("loss,val_loss"), column="Loss")


def test_candidates_come_with_their_first_numbers() -> None:
    file = open_log(b"a,b,c\n1,,x\n2,,y\n3,0.5,z\n4,,\n")
    assert [column.preview for column in file.candidates] == ["a: 1, 2, 3, …", "b: 0.5, …"]


def paced(steps: list[object], header: str = "step") -> Log:
    return read_log("\n".join([f"{header},loss", *(f"{s},1" for s in steps)]).encode(), name="a")


@pytest.mark.parametrize(
    ("header", "steps", "every", "per_epoch", "said"),
    [
        ("step", [0, 1, 2, 3], 1, False, ""),
        ("step", [0, 1, 2, 9], 1, False, ""),
        ("global_step", [49, 99, 149], 50, False, "rises by 50 from loss to loss"),
        ("step", [1, 10, 20, 30], 10, False, "try every=10 (--every 10)"),
        ("epoch", [0, 1, 2], 1, True, "one loss per epoch"),
        ("epoch", [0, 0, 0, 1, 1, 1], 1, False, ""),
        ("epoch", [0, "", 1, 2], 1, True, "one loss per epoch"),
        ("epoch", [0.01, 0.02, 0.03], 1, False, ""),
        ("step", [0, 1, 2, 0, 1, 2], 1, False, "goes back 1 time"),
        ("step", [0, 10, 20, 0, 10, 20], 10, False, "goes back 1 time"),
        ("accuracy", [0, 1, 2], 1, False, "No column counts steps"),
        ("step", ["", "x", ""], 1, False, "No column counts steps"),
        ("step", [-1e308, 1e308, 2], 2 * 10**15, False, ""),
    ],
)
def test_the_pace_is_what_the_step_column_says(
    header: str, steps: list[object], every: int, per_epoch: bool, said: str
) -> None:
    log = paced(steps, header)
    assert log.every == every
    assert log.per_epoch == per_epoch
    assert said in log.summary()


@pytest.mark.parametrize(
    ("header", "counter"),
    [
        ("epoch,step,loss", "step"),
        ("step,trainer/global_step,loss", "trainer/global_step"),
        ("epoch,loss", "epoch"),
        ("step,iteration,loss", "step"),
    ],
)
def test_steps_are_counted_by_the_finest_and_the_global_column(header: str, counter: str) -> None:
    assert read_log(table(header)).step_column == counter


def test_the_pace_is_that_of_the_rows_with_a_loss() -> None:
    rows = [f"{step},{1 if step % 50 == 0 else ''}" for step in range(500)]
    log = read_log("\n".join(["step,loss", *rows]).encode())
    assert (log.every, log.blanks, len(log.losses)) == (50, 490, 10)
    assert log.steps is not None
    assert log.steps.tolist() == list(range(0, 500, 50))


def test_steps_given_are_not_asked_for_again() -> None:
    log = paced([0, 50, 100])
    assert log.summary(every=50).endswith(
        "Each loss stands for 50 steps: steps and windows below count losses, η is per step."
    )
    assert "rises by 50 from loss to loss" in log.summary(every=10)
