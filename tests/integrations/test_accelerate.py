"""The ten lines for accelerate that the documentation shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.integrations.loops import (
    OPTIMIZERS,
    SETTINGS,
    assert_same,
    batches,
    documented,
    loss_fn,
    network,
    plain,
    weights,
)

pytestmark = pytest.mark.slow
accelerate = pytest.importorskip("accelerate")

EPOCHS, CUT = 20, 6
CODE = documented("accelerate").partition("for x, y in loader:")
PREPARE, EPOCH = CODE[0].replace("max_lr=0.5", "**SETTINGS"), CODE[1] + CODE[2]


class Run:
    """The documented code, its loop once an epoch."""

    def __init__(self, kind: str, accumulate: int = 1) -> None:
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        model = network()
        self.scope: dict[str, Any] = {
            "accelerator": accelerate.Accelerator(
                cpu=True, gradient_accumulation_steps=accumulate, log_with=Tracker()
            ),
            "model": model,
            "optimizer": OPTIMIZERS[kind](model.parameters()),
            "loader": batches(),
            "loss_fn": loss_fn,
            "SETTINGS": SETTINGS,
        }
        exec("from exptest import ExpTest\n" + PREPARE, self.scope)

    def __getattr__(self, name: str) -> Any:
        return self.scope[name]

    def train(self, epochs: int, code: str = EPOCH) -> Run:
        for _ in range(epochs):
            exec(code, self.scope)
        return self


class Tracker(accelerate.tracking.GeneralTracker):
    name, requires_logging_directory = "memory", False

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    @property
    def tracker(self) -> list[float]:
        return self.rates

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.rates.append(values["lr"])


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_a_run_ends_with_the_weights_of_the_plain_loop(kind: str, accumulate: int) -> None:
    run = Run(kind, accumulate).train(EPOCHS)
    expected = plain(EPOCHS, optimizer=kind, accumulate=accumulate)
    assert_same(run.exptest.record, run.model, expected)


def test_its_tracker_sees_the_rate_of_every_step() -> None:
    run = Run("adam")
    run.accelerator.init_trackers("run")
    log = 'accelerator.log({"lr": optimizer.param_groups[0]["lr"]})'
    run.train(EPOCHS, EPOCH.replace("optimizer.step()", f"optimizer.step(); {log}"))
    rates = run.accelerator.get_tracker("memory").rates
    assert len(set(rates)) > 1
    np.testing.assert_array_equal(rates, run.exptest.record.lrs)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_saved_state_goes_on_mid_window(kind: str, tmp_path: Path) -> None:
    whole = Run(kind).train(CUT)
    assert whole.exptest.tuner.filled > 0
    whole.accelerator.save_state(tmp_path)
    whole.train(EPOCHS - CUT)
    again = Run(kind)
    again.accelerator.load_state(tmp_path)
    again.train(EPOCHS - CUT)
    assert again.exptest.record.decisions == whole.exptest.record.decisions
    torch.testing.assert_close(weights(again.model), weights(whole.model), rtol=0, atol=0)
