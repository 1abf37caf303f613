"""ExpTest: train a neural network without choosing a learning rate.

The public names; each is loaded when first used, so that the statistics need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exptest.optim import ExpTest
    from exptest.record import Decision, Record
    from exptest.recorded import replay
    from exptest.training import History, fit
    from exptest.tuner import Tuner

__all__ = ["Decision", "ExpTest", "History", "Record", "Tuner", "fit", "replay"]

_HOMES = {
    "Decision": "record",
    "ExpTest": "optim",
    "History": "training",
    "Record": "record",
    "Tuner": "tuner",
    "fit": "training",
    "replay": "recorded",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'exptest' has no attribute {name!r}")
    return getattr(import_module(f"exptest.{_HOMES[name]}"), name)
