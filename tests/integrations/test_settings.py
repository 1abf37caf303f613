"""What a callback is given is checked at once, and an ExpTest is made of all of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

from exptest.integrations.settings import Settings

pytestmark = pytest.mark.usefixtures("as_users_do")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"alpha": 2.0}, ValueError, "alpha must lie strictly between 0 and 1"),
        ({"gamma": 1.0}, TypeError, "gamma"),
        ({"model": nn.Linear(1, 1)}, TypeError, r"the model is the framework's; leave model="),
        ({"schedule": 0.1}, TypeError, "schedule must be a function that makes one .*, got float"),
    ],
)
def test_a_setting_that_none_can_have_is_refused_before_there_is_an_optimizer(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Settings({"max_lr": 0.1, **settings})


def test_what_is_made_has_all_settings_the_model_and_the_schedule_each_time() -> None:
    schedule = lambda optimizer: ExponentialLR(optimizer, 0.5)  # noqa: E731
    settings = Settings({"max_lr": 0.2, "alpha": 0.01, "min_window": 9, "schedule": schedule})
    for _ in range(2):  # a callback may train twice
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        exptest = settings.make(optimizer, model)  # without the model it would warn
        tuner = exptest.tuner
        assert (tuner.max_lr, tuner.alpha, tuner.min_window) == (0.2, 0.01, 9)
        model(torch.randn(4, 2)).sum().backward()
        optimizer.step()
        exptest.step(1.0)
        assert exptest.get_last_lr() == pytest.approx([0.1])
