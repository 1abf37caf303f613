"""What can be learned in TrainingLab: measured on the test set, offered where the data are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from exptest import data as datasets
from exptest.data import load_digits
from exptest.widgets import tasks as module
from exptest.widgets.tasks import tasks
from exptest.widgets.training_run import Settings


def test_accuracy_is_the_share_of_the_test_set_in_per_cent() -> None:
    task, data = tasks()["digits: softmax regression"], load_digits()
    model = task.build(Settings())
    right = model(data.test_inputs).argmax(1) == data.test_targets
    measured = task.metrics(data)["accuracy"](model)
    assert measured == pytest.approx(100 * right.double().mean().item())
    assert 0 < measured < 100


def test_a_test_loss_is_that_of_the_test_set() -> None:
    task = tasks()["linear regression, known spectrum"]
    data, model = task.load(), task.build(Settings())
    expected = torch.nn.functional.mse_loss(model(data.test_inputs), data.test_targets)
    assert task.metrics(data)["test loss"](model) == pytest.approx(expected.item())


def test_a_task_is_offered_where_its_data_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available", lambda: ())
    offered = list(tasks())
    assert len(offered) == 4
    assert not [name for name in offered if "MNIST" in name or "California" in name]
    monkeypatch.setattr(module, "available", lambda: ("MNIST",))
    assert set(tasks()) - set(offered) == {"MNIST: softmax regression", "MNIST: network"}


def test_the_code_of_a_task_builds_its_model(tmp_path: Path) -> None:
    settings = Settings(width=32, depth=2)
    for name, task in tasks().items():
        if task.needs is None:
            scope = {"nn": torch.nn, **vars(datasets), **vars(__import__("exptest.models").models)}
            built = eval(task.build_code(settings), scope)
            assert str(built) == str(task.build(settings)), name
            loaded = eval(task.load_code, scope)
            assert torch.equal(loaded.inputs, task.load().inputs)
