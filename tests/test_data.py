"""Data sets: found in the stated order, split and scaled as in the paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
from sklearn.model_selection import train_test_split

from exptest.data import (
    available,
    linear_regression,
    load_california_housing,
    load_digits,
    load_mnist,
)
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


def test_digits_are_split_by_the_seed_and_tested_on_the_scale_of_training() -> None:
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    x, test_x, y, test_y = train_test_split(
        images, labels, test_size=0.2, random_state=3, stratify=labels
    )
    spread = np.where(x.std(0) > 0, x.std(0), 1.0)
    digits = load_digits(seed=3)
    assert digits.inputs.numpy() == pytest.approx((x - x.mean(0)) / spread, abs=1e-5)
    assert digits.test_inputs.numpy() == pytest.approx((test_x - x.mean(0)) / spread, abs=1e-5)
    assert digits.targets.tolist() == y.tolist()
    assert digits.test_targets.tolist() == test_y.tolist()
    assert digits.surveyed is digits.inputs


def test_mnist_is_normalized_by_one_mean_and_deviation_of_the_training_pixels(
    tmp_path: Path,
) -> None:
    tiny_mnist(tmp_path)
    with np.load(tmp_path / "mnist.npz") as raw:
        x, test_x = (raw[name].reshape(-1, 784) / 1.0 for name in ("x_train", "x_test"))
        targets, test_targets = raw["y_train"].tolist(), raw["y_test"].tolist()
    data = load_mnist(tmp_path)
    assert data.inputs.numpy() == pytest.approx((x - x.mean()) / x.std(), abs=1e-5)
    assert data.test_inputs.numpy() == pytest.approx((test_x - x.mean()) / x.std(), abs=1e-5)
    assert (data.targets.tolist(), data.test_targets.tolist()) == (targets, test_targets)
    assert data.targets.dtype == torch.int64
    columns = data.standardized()
    assert columns.mean(0).abs().max() < 1e-6
    assert columns.std(0, correction=0) == pytest.approx(np.ones(784), abs=1e-6)


def test_california_is_split_twice_by_the_papers_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    features, prices = 5 + draw.standard_normal((100, 3)), np.arange(100.0)
    (tmp_path / "cal_housing_py3.pkz").write_text("read by the line below")
    monkeypatch.setattr("exptest.data._read_california", lambda file: (features, prices))
    rest, test = train_test_split(np.arange(100), test_size=0.2, random_state=42)
    train, _ = train_test_split(rest, test_size=0.25, random_state=42)
    data = load_california_housing(tmp_path)
    assert data.targets.tolist() == [[prices[i]] for i in train]
    assert data.test_targets.tolist() == [[prices[i]] for i in test]
    mean, spread = features[train].mean(0), features[train].std(0)
    assert data.inputs.numpy() == pytest.approx((features[train] - mean) / spread, abs=1e-5)
    assert data.test_inputs.numpy() == pytest.approx((features[test] - mean) / spread, abs=1e-5)
    assert np.array_equal(data.surveyed.numpy(), features)


def test_a_linear_regression_has_the_curvature_and_the_noise_that_it_says() -> None:
    data = linear_regression(n=4000, features=5, noise=0.5, seed=2)
    for inputs, targets in ((data.inputs, data.targets), (data.test_inputs, data.test_targets)):
        x, y = inputs.double().numpy(), targets.double().numpy()
        assert x.T @ x / 4000 == pytest.approx(np.diag(1 / np.arange(1, 6)), abs=1e-5)
        assert x.mean(0) == pytest.approx(np.zeros(5), abs=1e-6)
        noise = y - x @ np.sqrt(np.arange(1, 6))[:, None]
        assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert not torch.equal(data.inputs, data.test_inputs)
    assert not torch.equal(data.inputs, linear_regression(n=4000, features=5, seed=3).inputs)


def test_what_lies_here_is_listed(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available() == ()
    tiny_mnist(offline)
    assert available() == ("MNIST",)
    (offline / "own").mkdir()
    monkeypatch.setenv("EXPTEST_DATA", str(offline / "own"))
    (offline / "own" / "cal_housing_py3.pkz").write_text("")
    assert available() == ("MNIST", "California housing")


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
