"""Data sets: found in the stated order, split and scaled as in the paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch

from exptest.data import load_california_housing, load_digits, load_mnist
from exptest.linearized import max_learning_rate

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="no data beside the checkout")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing in any place, and no network."""
    monkeypatch.delenv("EXPTEST_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)
    monkeypatch.setattr(sklearn.datasets, "fetch_california_housing", refuse)
    return tmp_path


def tiny_mnist(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8), np.arange(30) % 10
    np.savez(
        folder / "mnist.npz",
        x_train=images[:20],
        y_train=labels[:20],
        x_test=images[20:],
        y_test=labels[20:],
    )


def test_digits_are_standardized_and_stratified() -> None:
    digits = load_digits()
    assert digits.inputs.mean(0).abs().max() < 1e-5
    assert set(digits.inputs.std(0, correction=0).round(decimals=4).tolist()) <= {0.0, 1.0}
    assert digits.targets.bincount().min() >= 130
    assert torch.equal(load_digits().inputs, digits.inputs)


@pytest.mark.parametrize("place", ["path", "file", "EXPTEST_DATA", "SCIKIT_LEARN_DATA"])
def test_mnist_is_found_in_every_place(
    place: str,
    offline: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path_factory.mktemp("data")
    tiny_mnist(folder)
    if place in ("path", "file"):
        data = load_mnist(folder if place == "path" else folder / "mnist.npz")
    else:
        monkeypatch.setenv(place, str(folder))
        data = load_mnist()
    assert data.inputs.shape == (20, 784)
    assert abs(data.inputs.mean().item()) < 1e-5


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("load", [load_mnist, load_california_housing])
def test_data_found_nowhere_names_all_four_places(load: type) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load()
    for place in ("path=", "$EXPTEST_DATA", "scikit-learn's data folder", "download"):
        assert place in str(caught.value)


def test_a_path_that_holds_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no mnist\.npz at the path given"):
        load_mnist(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cal_housing_py3.pkz").write_text("junk")
    with pytest.raises(ValueError, match=r"cal_housing_py3\.pkz' cannot be read as California"):
        load_california_housing(tmp_path)
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros(3))
    with pytest.raises(ValueError, match=r"as MNIST .it lacks x_test, y_test, y_train"):
        load_mnist(tmp_path)


@needs_shared
def test_california_is_the_papers_split() -> None:
    data = load_california_housing(SHARED)
    assert (len(data.inputs), len(data.test_inputs)) == (12384, 4128)
    assert max_learning_rate(data.standardized(), loss="half_mse") == pytest.approx(
        0.986704, abs=1e-6
    )


@needs_shared
def test_mnist_has_the_papers_largest_rate() -> None:
    data = load_mnist(SHARED)
    assert (len(data.inputs), len(data.test_inputs)) == (60000, 10000)
    largest = max_learning_rate(data.standardized(), loss="half_mse")
    assert largest == pytest.approx(0.0493986, abs=1e-7)
