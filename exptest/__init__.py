"""ExpTest: train a neural network without choosing a learning rate.

The public names; each is loaded when first used, so that the statistics need no torch.
"""

import typing as _typing
from importlib import import_module as _import_module
from sys import modules as _modules

if _typing.TYPE_CHECKING:
    from exptest.optim import ExpTest
    from exptest.record import Decision, Record
    from exptest.recorded import replay
    from exptest.training import History, fit
    from exptest.tuner import Tuner

__all__ = ["Decision", "ExpTest", "History", "Record", "Tuner", "fit", "replay"]

__version__ = "0.1.0"

_HOMES = {
    "Decision": "record",
    "ExpTest": "optim",
    "History": "training",
    "Record": "record",
    "Tuner": "tuner",
    "fit": "training",
    "replay": "recorded",
}


def __getattr__(name: str) -> _typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'exptest' has no attribute {name!r}")
    return getattr(_import_module(f"exptest.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    imported = (name for name in globals() if f"exptest.{name}" in _modules)
    return sorted({*__all__, "__version__", *(name for name in imported if name[0] != "_")})
