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
MNIST, CALIFORNIA = "mnist.npz", "cal_housing_py3.pkz"


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


def linear_regression(
    *, n: int = 256, features: int = 16, noise: float = 0.3, seed: int = 0
) -> Dataset:
    """Make a linear regression whose curvature is known: XᵀX/n = diag(1, 1/2, …, 1/features).

    Targets are Xw + noise · N(0, 1) with w_k = √k, so that every mode carries loss ½.

    >>> data = linear_regression()
    >>> [round(v.item(), 3) for v in (data.inputs.T @ data.inputs / 256).diagonal()[:4]]
    [1.0, 0.5, 0.333, 0.25]
    """
    rng = np.random.default_rng(seed)
    spectrum = 1.0 / np.arange(1, features + 1)

    def inputs() -> NDArray[Any]:
        raw = rng.standard_normal((n, features))
        columns, _ = np.linalg.qr(raw - raw.mean(0))
        return columns * np.sqrt(n * spectrum)

    weights = spectrum[:, None] ** -0.5
    x_train, x_test = inputs(), inputs()
    y_train, y_test = (x @ weights + noise * rng.standard_normal((n, 1)) for x in (x_train, x_test))
    return _dataset("linear regression", x_train, x_test, y_train, y_test)


def available() -> tuple[str, ...]:
    """Return the names of the larger data sets that lie on this machine, ready to load."""
    return tuple(
        name
        for name, filename in (("MNIST", MNIST), ("California housing", CALIFORNIA))
        if any(_file(folder, filename).is_file() for _, folder in _places())
    )


def load_mnist(path: str | Path | None = None) -> Dataset:
    """Load MNIST, 60 000 to train and 10 000 to test, pixels normalized by one mean and one std.

    Args:
        path: ``mnist.npz`` (keys x_train, y_train, x_test, y_test) or the folder that holds it.

    Raises:
        FileNotFoundError: found nowhere; the message names every place.
        ValueError: found, but damaged.
    """
    arrays = _find("MNIST", MNIST, path, _read_mnist, _fetch_mnist)
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
        ValueError: found, but damaged.
    """
    from sklearn.model_selection import train_test_split

    features, prices = _find(
        "California housing", CALIFORNIA, path, _read_california, _fetch_california
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
    given = [] if path is None else [("the path given", Path(path))]
    for place, folder_or_file in given + _places():
        file = _file(folder_or_file, filename)
        if file.is_file():
            return _read(name, file, read)
        if place == "the path given":
            raise FileNotFoundError(f"no {filename} at the path given, {str(path)!r}.")
    try:
        return fetch()
    except (OSError, ValueError) as error:
        asked = os.environ.get("EXPTEST_DATA") or "not set"
        raise FileNotFoundError(
            f"{name} was not found: path= was not given; $EXPTEST_DATA is {asked}, without "
            f"{filename}; {_places()[-1][0]} {_places()[-1][1]} does not hold it; the "
            f"download through scikit-learn failed ({error}). Try path='folder/with/{filename}'."
        ) from error


def _read(name: str, file: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(file)
    except Exception as error:  # a damaged archive or pickle raises whatever it meets
        raise ValueError(
            f"{str(file)!r} cannot be read as {name} ({error}); try deleting it and loading "
            "again, or the path of a whole file."
        ) from error


def _places() -> list[tuple[str, Path]]:
    from sklearn.datasets import get_data_home

    asked = os.environ.get("EXPTEST_DATA")
    own = [("$EXPTEST_DATA", Path(asked))] if asked else []
    return [*own, ("scikit-learn's data folder", Path(get_data_home()))]


def _file(folder_or_file: Path, filename: str) -> Path:
    return folder_or_file / filename if folder_or_file.is_dir() else folder_or_file


Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def _read_mnist(file: Path) -> Arrays:
    with np.load(file) as data:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(data)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
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
