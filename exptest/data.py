"""Real data, split and preprocessed as in the paper.

`load_digits` is bundled with scikit-learn. The other two are looked for in this order: the
``path`` given, the folder ``$EXPTEST_DATA``, scikit-learn's data folder, a download through
scikit-learn.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Dataset:
    """A data set, ready to train on.

    Attributes:
        name: what it is called.
        inputs, targets: training examples, shapes (n, d) and (n,) or (n, 1).
        test_inputs, test_targets: the examples held out.
        surveyed: the examples that the paper computes η_max from, shape (s, d): the training
            inputs; for California housing all 20 640 examples.
    """

    name: str
    inputs: Float[Tensor, "n d"]
    targets: Shaped[Tensor, n * c]
    test_inputs: Float[Tensor, "m d"]
    test_targets: Shaped[Tensor, m * c]
    surveyed: Float[Tensor, "s d"]

    def standardized(self) -> Float[Tensor, "s d"]:
        """Return the surveyed examples, standardized by column (constant columns become 0)."""
        from sklearn.preprocessing import StandardScaler

        return torch.from_numpy(StandardScaler().fit_transform(self.surveyed.double().numpy()))

    def __str__(self) -> str:
        n, d = self.inputs.shape
        return f"{self.name}: {n} training and {len(self.test_inputs)} test examples, {d} features"


def load_digits(*, seed: int = 0) -> Dataset:
    """Load scikit-learn's 8×8 digits, 1437 to train and 360 to test, standardized by column.

    >>> print(load_digits())
    digits: 1437 training and 360 test examples, 64 features
    """
    from sklearn.datasets import load_digits as bundled
    from sklearn.model_selection import train_test_split

    images, labels = bundled(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=0.2, random_state=seed, stratify=labels
    )
    return _dataset("digits", *_standardize(x_train, x_test), y_train, y_test)


def load_mnist(path: str | Path | None = None) -> Dataset:
    """Load MNIST, 60 000 to train and 10 000 to test, pixels normalized by one mean and one std.

    Args:
        path: ``mnist.npz`` (keys x_train, y_train, x_test, y_test) or the folder that holds it.

    Raises:
        FileNotFoundError: found nowhere; the message names every place.
    """
    arrays = _find("MNIST", "mnist.npz", path, _read_mnist, _fetch_mnist)
    x_train, y_train, x_test, y_test = arrays
    mean, std = x_train.mean(), x_train.std()
    return _dataset("MNIST", (x_train - mean) / std, (x_test - mean) / std, y_train, y_test)


def load_california_housing(path: str | Path | None = None) -> Dataset:
    """Load California housing: 60 % to train, 20 % to test, features standardized, target raw.

    The 20 % between them are the paper's validation set, which nothing here uses.

    Args:
        path: the folder that holds scikit-learn's ``cal_housing_py3.pkz``, or that file.

    Raises:
        FileNotFoundError: found nowhere; the message names every place.
    """
    from sklearn.model_selection import train_test_split

    features, prices = _find(
        "California housing", "cal_housing_py3.pkz", path, _read_california, _fetch_california
    )
    x_rest, x_test, y_rest, y_test = train_test_split(
        features, prices, test_size=0.2, random_state=42
    )
    x_train, _, y_train, _ = train_test_split(x_rest, y_rest, test_size=0.25, random_state=42)
    inputs = _standardize(x_train, x_test)
    return _dataset(
        "California housing", *inputs, y_train[:, None], y_test[:, None], surveyed=features
    )


# -- where to look -------------------------------------------------------------------------


def _find(
    name: str,
    filename: str,
    path: str | Path | None,
    read: Callable[[Path], T],
    fetch: Callable[[], T],
) -> T:
    from sklearn.datasets import get_data_home

    places: list[tuple[str, Path]] = []
    if path is not None:
        places.append(("the path given", Path(path)))
    if folder := os.environ.get("EXPTEST_DATA"):
        places.append(("$EXPTEST_DATA", Path(folder)))
    places.append(("scikit-learn's data folder", Path(get_data_home())))
    for place, folder_or_file in places:
        file = folder_or_file / filename if folder_or_file.is_dir() else folder_or_file
        if file.is_file():
            return read(file)
        if place == "the path given":
            raise FileNotFoundError(f"no {filename} at the path given, {str(path)!r}.")
    try:
        return fetch()
    except (OSError, ValueError) as error:
        asked = os.environ.get("EXPTEST_DATA") or "not set"
        raise FileNotFoundError(
            f"{name} was not found: path= was not given; $EXPTEST_DATA is {asked}, without "
            f"{filename}; scikit-learn's data folder {get_data_home()} does not hold it; the "
            f"download through scikit-learn failed ({error}). Try path='folder/with/{filename}'."
        ) from error


Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def _read_mnist(file: Path) -> Arrays:
    with np.load(file) as data:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(data)
        if missing:
            raise ValueError(f"{str(file)!r} lacks {sorted(missing)}; it is not MNIST as .npz.")
        return (
            data["x_train"].reshape(-1, 784).astype(np.float64),
            data["y_train"].astype(np.int64),
            data["x_test"].reshape(-1, 784).astype(np.float64),
            data["y_test"].astype(np.int64),
        )


def _fetch_mnist() -> Arrays:
    from sklearn.datasets import fetch_openml

    pixels, labels = fetch_openml(
        "mnist_784", version=1, return_X_y=True, as_frame=False, parser="auto", n_retries=1
    )
    pixels, labels = pixels.astype(np.float64), labels.astype(np.int64)
    return pixels[:60000], labels[:60000], pixels[60000:], labels[60000:]


def _read_california(file: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import fetch_california_housing

    return fetch_california_housing(
        data_home=file.parent, download_if_missing=False, return_X_y=True
    )


def _fetch_california() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import fetch_california_housing

    return fetch_california_housing(return_X_y=True, n_retries=1)


# -- how it is prepared --------------------------------------------------------------------


def _standardize(train: NDArray[Any], test: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Standardize by the training columns; a constant column becomes 0."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def _dataset(
    name: str,
    inputs: NDArray[Any],
    test_inputs: NDArray[Any],
    targets: NDArray[Any],
    test_targets: NDArray[Any],
    *,
    surveyed: NDArray[Any] | None = None,
) -> Dataset:
    def tensor(array: NDArray[Any]) -> Tensor:
        dtype = torch.int64 if np.issubdtype(array.dtype, np.integer) else torch.float32
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype)

    train = tensor(inputs)
    return Dataset(
        name=name,
        inputs=train,
        targets=tensor(targets),
        test_inputs=tensor(test_inputs),
        test_targets=tensor(test_targets),
        surveyed=train if surveyed is None else torch.from_numpy(surveyed),
    )
