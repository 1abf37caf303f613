"""The ten lines for skorch that the documentation shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from tests.integrations.loops import (
    BATCH,
    OPTIMIZERS,
    SETTINGS,
    assert_same,
    data,
    documented,
    network,
    plain,
)

pytestmark = pytest.mark.slow
skorch = pytest.importorskip("skorch")
from skorch.helper import predefined_split  # noqa: E402

EPOCHS = 20


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_fit_ends_with_the_weights_of_the_plain_loop_and_its_history_has_the_rates(
    kind: str,
) -> None:
    scope: dict[str, Any] = {"SETTINGS": SETTINGS}
    exec(documented("skorch").replace("max_lr=self.max_lr", "**SETTINGS"), scope)
    callback = scope["ExpTestCallback"](max_lr=None)
    net = skorch.NeuralNet(
        network(), torch.nn.MSELoss, max_epochs=EPOCHS, batch_size=BATCH, lr=1.0,
        optimizer=lambda groups, lr: OPTIMIZERS[kind](groups),
        iterator_valid__batch_size=7, verbose=0, callbacks=[callback],
        train_split=predefined_split(TensorDataset(*data())),  # it validates, too
    )  # fmt: skip
    net.fit(*data())
    record = callback.exptest_.record
    assert_same(record, net.module_, plain(EPOCHS, optimizer=kind))
    seen = [rate for epoch in net.history[:, "batches", :, "lr"] for rate in epoch]
    np.testing.assert_array_equal(seen, record.lrs)
