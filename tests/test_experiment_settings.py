"""What an experiment hands to `fit`, and `fit` to `ExpTest`: nothing is forgotten on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exptest.data import Dataset
from exptest.experiments import california, digits, mnist, reproduce
from exptest.experiments.run import Method, Trial, largest_rate
from exptest.models import mlp, softmax_regression
from exptest.optim import ExpTest
from exptest.record import Decision, Record
from exptest.training import History, Training, loop

RATE = 0.04


def tiny(classes: int = 10) -> Dataset:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 8, generator=draw), torch.arange(40) % classes
    return Dataset("tiny", x[:30], y[:30], x[30:], y[30:], 3 * x + 1)


def history(**metrics: float) -> History:
    losses = np.arange(10.0)
    shrunk = Decision(3, "divergence", "shrink", None, RATE, RATE / 2, 4, 1.0, 9.0, 0.05, "search")
    record = Record(losses, (shrunk,), RATE, 0.05, 0.33, "paper")
    return History(record, ({"step": 10.0, **metrics},), steps_per_epoch=4)


class Handed:
    """Stands for `fit` and remembers what it was called with."""

    def __call__(self, model: nn.Module, data: Any, **settings: Any) -> History:
        self.model, self.data, self.settings = model, data, settings
        self.metrics = {name: metric(model) for name, metric in settings["evaluate"].items()}
        return history(**self.metrics)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Handed:
    spy = Handed()
    for module in (california, digits, mnist):
        monkeypatch.setattr(module, "fit", spy)
    return spy


def test_an_experiment_of_the_paper_is_in_paper_mode_by_default() -> None:
    arguments = Method().fit_arguments(nn.Linear(2, 1), RATE)
    assert arguments == {"max_lr": RATE, "alpha": 0.05, "beta": 0.33, "method": "paper"}
    chosen = Method(alpha=0.01, beta=0.1, mode="calibrated").fit_arguments(nn.Linear(2, 1), RATE)
    assert chosen == {"max_lr": RATE, "alpha": 0.01, "beta": 0.1, "method": "calibrated"}
    assert [str(m) for m in reproduce.methods("mnist", peers=False, mode="paper")] == ["ExpTest"]
    assert reproduce.methods("mnist", peers=True, mode="calibrated")[0].mode == "calibrated"


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0}),
        ("sgd_momentum", torch.optim.SGD, {"momentum": 0.9}),
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999)}),
        ("rmsprop", torch.optim.RMSprop, {"alpha": 0.99, "momentum": 0}),
        ("adadelta", torch.optim.Adadelta, {"rho": 0.9}),
    ],
)
def test_a_peer_runs_at_its_factor_of_the_largest_rate(
    name: str, kind: type, options: dict[str, Any]
) -> None:
    model = nn.Linear(2, 1)
    arguments = Method(name, 0.1).fit_arguments(model, RATE)
    group = arguments["optimizer"].param_groups[0]
    assert set(arguments) == {"optimizer", "lr"}
    assert type(arguments["optimizer"]) is kind
    assert arguments["lr"] == group["lr"] == (1.0 if name == "adadelta" else 0.1 * RATE)
    assert group["params"] == [*model.parameters()]
    assert {key: group[key] for key in options} == options
    assert str(Method(name, 0.1)) == (name if name == "adadelta" else f"{name} 0.1×")


def test_peers_are_every_optimizer_at_every_rate_of_the_paper_and_adadelta_once() -> None:
    for name, lowest in (("mnist", 1e-3), ("california", 1e-4)):
        peers = reproduce.methods(name, peers=True, mode="paper")[1:]
        for peer in ("sgd", "sgd_momentum", "adam", "rmsprop"):
            factors = [m.factor for m in peers if m.name == peer]
            assert factors == pytest.approx([lowest * 10**k for k in range(5)])
        assert [m.name for m in peers].count("adadelta") == 1


def test_mnist_goes_on_from_its_weights_and_california_draws_new_ones(handed: Handed) -> None:
    data = tiny()
    config = mnist.Config(batch_size=7, epochs=3, seed=5, method=Method(alpha=0.1))
    trial = mnist.run(config, data, max_lr=RATE)
    given = handed.settings
    assert (given["batch_size"], given["epochs"], given["seed"]) == (7, 3, 5)
    assert (given["restart"], given["method"], given["alpha"]) == (None, "paper", 0.1)
    assert not given["progress"]
    assert isinstance(given["loss_fn"], nn.CrossEntropyLoss)
    torch.manual_seed(5)
    fresh = softmax_regression(8, 10)
    assert all(map(torch.equal, handed.model.parameters(), fresh.parameters()))
    predicted = handed.model(data.test_inputs).argmax(1)
    right = 100 * (predicted == data.test_targets).double().mean().item()
    assert (trial.test_metric, trial.train_loss, trial.seed) == (right, 7.5, 5)

    prices = replace(data, targets=data.inputs[:, :1], test_targets=data.test_inputs[:, :1])
    trial = california.run(california.Config(steps=9, seed=2), prices, max_lr=RATE)
    given = handed.settings
    assert (given["steps"], given["evaluate_every"], given["seed"]) == (9, 9, 2)
    assert (given.get("batch_size"), given["method"]) == (None, "paper")
    assert isinstance(given["loss_fn"], nn.MSELoss)
    error = nn.functional.mse_loss(handed.model(prices.test_inputs), prices.test_targets)
    assert trial.test_metric == pytest.approx(error.item())
    assert trial.train_loss == 9.0
    before = [p.clone() for p in handed.model.parameters()]
    torch.manual_seed(2)
    assert all(map(torch.equal, before, mlp([8, 32, 32, 1]).parameters()))
    given["restart"]()
    assert not any(map(torch.equal, before, handed.model.parameters()))


def test_a_peer_is_not_restarted(handed: Handed) -> None:
    for module in (mnist, california):
        module.run(module.Config(method=Method("adam", 0.1)), tiny(), max_lr=RATE)
        assert "restart" not in handed.settings
        assert handed.settings["lr"] == pytest.approx(0.1 * RATE)


def test_digits_hands_on_every_setting(handed: Handed) -> None:
    config = digits.Config((5, 4), 7, 3, 0.1, 0.2, "paper", 0.7, 11)
    data = tiny()
    digits.run(config, data)
    wanted = {
        "batch_size": 7,
        "epochs": 3,
        "alpha": 0.1,
        "beta": 0.2,
        "method": "paper",
        "max_lr": 0.7,
        "seed": 11,
        "progress": False,
    }
    assert {key: handed.settings[key] for key in wanted} == wanted
    shapes = [tuple(p.shape) for p in handed.model.parameters() if p.ndim == 2]
    assert shapes == [(5, 8), (4, 5), (10, 4)]
    predicted = handed.model(data.test_inputs).argmax(1)
    right = 100 * (predicted == data.test_targets).double().mean().item()
    assert handed.metrics == {digits.METRIC: pytest.approx(right)}


def test_the_largest_rate_is_that_of_the_surveyed_examples() -> None:
    data = tiny()
    columns = data.surveyed.double()
    scaled = (columns - columns.mean(0)) / columns.std(0, correction=0)
    top = torch.linalg.eigvalsh(scaled.T @ scaled / len(scaled))[-1].item()
    assert largest_rate(data) == pytest.approx(2 / top)


def test_a_row_has_the_papers_mean_and_population_deviation() -> None:
    trials = tuple(Trial(Method(), s, float(s), 2.0 * s, history()) for s in (1, 2, 4))
    row = reproduce.Row("x", "test MSE", trials, (0.5, 0.1))
    assert row.mean == pytest.approx(7 / 3)
    assert row.std == pytest.approx(np.sqrt(14 / 9))
    assert row.train_loss == pytest.approx(14 / 3)
    (line,) = reproduce.to_frame([row]).to_dict("records")
    assert (line["here"], line["authors"], line["trials"]) == ("2.333 ± 1.2", "0.5 ± 0.1", 3)
    assert line["train loss"] == "4.67"
    kept = row.to_dict()
    assert (kept["mean"], kept["std"], kept["authors"]) == (row.mean, row.std, (0.5, 0.1))
    assert [t["seed"] for t in kept["trials"]] == [1, 2, 4]
    last = kept["trials"][2]
    assert (last["test_metric"], last["train_loss"]) == (4.0, 8.0)
    assert (last["steps"], last["final_lr"], len(last["decisions"])) == (10, RATE / 2, 1)


@pytest.mark.parametrize("experiment", ["mnist", "california"])
def test_reproducing_runs_each_seed_at_the_papers_rate_and_mode(
    experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Any, float]] = []
    module = getattr(reproduce, experiment)

    def run(config: Any, data: Dataset, *, max_lr: float) -> Trial:
        made.append((config, max_lr))
        return Trial(config.method, config.seed, 1.0, 1.0, history())

    for name in ("load_mnist", "load_california_housing"):
        monkeypatch.setattr(reproduce, name, lambda path: tiny())
    monkeypatch.setattr(module, "run", run)
    heard: list[tuple[str, int]] = []
    rows = getattr(reproduce, f"reproduce_{experiment}")(
        trials=2, mode="calibrated", report=lambda label, trial: heard.append((label, trial.seed))
    )
    sizes = [32, 512, 2048] if experiment == "mnist" else [None]
    assert [(c.seed, getattr(c, "batch_size", None)) for c, _ in made] == [
        (seed, size) for size in sizes for seed in range(2)
    ]
    assert {c.method.mode for c, _ in made} == {"calibrated"}
    assert {rate for _, rate in made} == {largest_rate(tiny())}
    assert len(heard) == len(made)
    published = {
        "mnist": [(92.30, 0.07), (91.63, 0.15), (90.58, 0.08)],
        "california": [(0.2846, 0.0070)],
    }
    assert [row.authors for row in rows] == published[experiment]
    assert {row.metric for row in rows} == {reproduce.METRICS[experiment]}


def test_peers_run_at_the_first_batch_size_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[bool, set[int]] = {True: set(), False: set()}

    def run(config: mnist.Config, data: Dataset, *, max_lr: float) -> Trial:
        sizes[config.method.name == "exptest"].add(config.batch_size)
        return Trial(config.method, config.seed, 1.0, 1.0, history())

    monkeypatch.setattr(reproduce, "load_mnist", lambda path: tiny())
    monkeypatch.setattr(mnist, "run", run)
    rows = reproduce.reproduce_mnist(trials=1, batch_sizes=(512, 32), peers=True)
    assert sizes == {True: {512, 32}, False: {512}}
    assert [row.authors for row in rows[2:]] == [None] * len(rows[2:])


@pytest.mark.parametrize("batch_size", [None, 8])
def test_fit_hands_its_settings_and_its_model_to_exptest(
    batch_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[tuple, dict[str, Any]]] = []

    def spy(*arguments: Any, **settings: Any) -> ExpTest:
        made.append((arguments, settings))
        return ExpTest(*arguments, **settings)

    monkeypatch.setattr(loop, "ExpTest", spy)
    net, x = nn.Linear(8, 1), tiny().inputs
    settings = {"alpha": 0.1, "beta": 0.2, "min_window": 9, "restart": None, "loss_floor": -0.5}
    training = Training(
        net, (x, x[:, :1]), loss_fn=nn.MSELoss(), batch_size=batch_size, max_lr=0.03, **settings
    )
    wanted = {**settings, "max_lr": 0.03, "path_correction": batch_size is not None}
    for _, given in made:
        assert {key: given[key] for key in wanted} == wanted
    arguments, given = made[-1]
    assert arguments == (training.optimizer,)
    assert given["model"] is net
    assert training.exptest is not None
    assert training.exptest.tuner.window is None, "the trial loss was another tuner's"
    assert training.first_window is not None
