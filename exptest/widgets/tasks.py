"""What a class can watch being learned: data, model and loss, and the code that makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from exptest.data import (
    Dataset,
    available,
    linear_regression,
    load_california_housing,
    load_digits,
    load_mnist,
)
from exptest.models import mlp, small_cnn, softmax_regression

if TYPE_CHECKING:
    from exptest.widgets.training_run import Settings


@dataclass(frozen=True)
class Task:
    """One thing to learn.

    Attributes:
        load: returns the data; ``load_code`` is that call in Python.
        build: returns a fresh model for the settings; ``build_code`` is that call in Python.
        loss: name of torch's loss in ``nn``.
        metric: what is measured on the test set.
        uses: which of ``width`` and ``depth`` the model has.
        linear: whether the loss curve can be predicted.
        needs: the data set that must be on this machine, if any.
    """

    load: Callable[[], Dataset]
    load_code: str
    build: Callable[[Settings], nn.Module]
    build_code: Callable[[Settings], str]
    loss: str
    metric: str
    uses: tuple[str, ...] = ()
    linear: bool = False
    needs: str | None = None

    def loss_fn(self) -> nn.Module:
        """Return torch's loss."""
        return getattr(nn, self.loss)()

    def metrics(self, data: Dataset) -> dict[str, Callable[[nn.Module], float]]:
        """Return what `fit` evaluates: accuracy in %, or the test loss."""

        def measure(model: nn.Module) -> float:
            outputs: Tensor = model(data.test_inputs)
            if self.metric == "accuracy":
                hits = outputs.argmax(1) == data.test_targets
                return 100 * hits.double().mean().item()
            return self.loss_fn()(outputs, data.test_targets).item()

        return {self.metric: measure}


def _network(load: Callable[[], Dataset], features: int, outputs: int, **more: Any) -> Task:
    def sizes(settings: Settings) -> list[int]:
        return [features, *[settings.width] * settings.depth, outputs]

    return Task(
        load=load,
        load_code=f"{load.__name__}()",
        build=lambda settings: mlp(sizes(settings)),
        build_code=lambda settings: f"mlp({sizes(settings)})",
        uses=("width", "depth"),
        **more,
    )


def _softmax(load: Callable[[], Dataset], features: int, needs: str | None = None) -> Task:
    return Task(
        load=load,
        load_code=f"{load.__name__}()",
        build=lambda _: softmax_regression(features, 10),
        build_code=lambda _: f"softmax_regression({features}, 10)",
        loss="CrossEntropyLoss",
        metric="accuracy",
        needs=needs,
    )


_ALL: dict[str, Task] = {
    "digits: network": _network(load_digits, 64, 10, loss="CrossEntropyLoss", metric="accuracy"),
    "digits: softmax regression": _softmax(load_digits, 64),
    "digits: convolutions": Task(
        load=load_digits,
        load_code="load_digits()",
        build=lambda settings: small_cnn(8, 10, channels=max(settings.width // 16, 1)),
        build_code=lambda settings: f"small_cnn(8, 10, channels={max(settings.width // 16, 1)})",
        loss="CrossEntropyLoss",
        metric="accuracy",
        uses=("width",),
    ),
    "linear regression, known spectrum": Task(
        load=linear_regression,
        load_code="linear_regression()",
        build=lambda _: nn.Linear(16, 1, bias=False),
        build_code=lambda _: "nn.Linear(16, 1, bias=False)",
        loss="MSELoss",
        metric="test loss",
        linear=True,
    ),
    "MNIST: softmax regression": _softmax(load_mnist, 784, needs="MNIST"),
    "MNIST: network": _network(
        load_mnist, 784, 10, loss="CrossEntropyLoss", metric="accuracy", needs="MNIST"
    ),
    "California housing: network": _network(
        load_california_housing, 8, 1, loss="MSELoss", metric="test loss",
        needs="California housing",
    ),
}  # fmt: skip


def tasks() -> dict[str, Task]:
    """Return the tasks whose data are on this machine; nothing is downloaded."""
    here = available()
    return {name: task for name, task in _ALL.items() if task.needs in (None, *here)}
