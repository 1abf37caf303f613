"""What the weights may be, and who else may move them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from exptest.optim import ExpTest
from exptest.record import Decision
from tests.optim.bases import Training, base
from tests.optim.run import same
from tests.optim.window import batch, error, small, weights, window

pytestmark = pytest.mark.usefixtures("as_users_do")

# -- kinds of weights ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_sums_of_half_precision_are_taken_in_single(dtype: torch.dtype) -> None:
    model = small().to(dtype)
    before = weights(model)
    decision, path, _ = window(model, lambda number: error(model, number, dtype))
    assert decision.path_ratio == pytest.approx(path.value, rel=1e-5)
    assert decision.restarts
    assert same(weights(model), before)


def test_under_autocast_the_single_gradients_are_measured() -> None:
    model = small().float()

    def loss(number: int) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return error(model, number, torch.float32)

    decision, path, _ = window(model, loss)
    assert decision.path_ratio == pytest.approx(path.value, rel=1e-5)


def test_rows_of_a_sparse_table_count_as_dense_ones() -> None:
    decisions = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(9, 2, sparse=sparse).double()
        rows = [
            torch.randint(9, (4,), generator=torch.Generator().manual_seed(n)) for n in range(9)
        ]
        decision, path, _ = window(
            table, lambda n, table=table, rows=rows: table(rows[n % 9]).square().sum()
        )
        assert decision.path_ratio == pytest.approx(path.value, rel=1e-9)
        decisions.append(decision)
    assert decisions[0].window == decisions[1].window


def test_frozen_parameters_take_no_part_and_stay() -> None:
    model = small()
    model[0].requires_grad_(False)
    before = weights(model)
    decision, path, _ = window(model, lambda number: error(model, number))
    assert decision.path_ratio == pytest.approx(path.value, rel=1e-9)
    assert same(weights(model), before)


def test_tied_weights_count_once() -> None:
    torch.manual_seed(0)
    first = nn.Linear(4, 4, bias=False)
    model = nn.Sequential(first, nn.Tanh(), nn.Linear(4, 4, bias=False)).double()
    model[2].weight = first.weight
    decision, path, exptest = window(model, lambda n: (model(batch(n)) - batch(n)).square().mean())
    assert decision.path_ratio == pytest.approx(path.value, rel=1e-9)
    assert len(exptest.state_dict()["restarts"]["place"]["tensors"]) == 1


# -- others who move them ------------------------------------------------------------------


def clamp(model: nn.Module) -> None:
    for p in model.parameters():
        p.clamp_(-0.1, 0.1)


def mask(model: nn.Module) -> None:
    for p in model.parameters():
        p[..., ::2] = 0.0


def project(model: nn.Module) -> None:
    for p in model.parameters():
        p.div_(p.norm())


def replace(model: nn.Module) -> None:
    for p in model.parameters():
        p.data = 0.9 * p.data


def average(model: nn.Module) -> None:
    vector_to_parameters(0.5 * parameters_to_vector(model.parameters()), model.parameters())


@pytest.mark.parametrize("move", [clamp, mask, project, replace, average])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_whoever_moves_the_weights_the_ratio_is_that_of_the_gradients(
    kind: Any, move: Callable[[nn.Module], None]
) -> None:
    model = small()
    before = weights(model)

    @torch.no_grad()
    def after() -> None:
        move(model)

    decision, path, _ = window(
        model, lambda n: error(model, n), after, kind(model.parameters(), lr=1.0)
    )
    assert decision.path_ratio == pytest.approx(path.value, rel=1e-9)
    assert decision.window == round(16 * decision.path_ratio)
    assert same(weights(model), before)


@torch.no_grad()
def _as_vector(model: nn.Module) -> None:
    vector_to_parameters(parameters_to_vector(model.parameters()).clone(), model.parameters())


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.double(),
        lambda model: model.to(torch.float64),
        _as_vector,
        lambda model: [setattr(p, "data", p.data.clone()) for p in model.parameters()],
        lambda model: model.load_state_dict(copy.deepcopy(model.state_dict()), assign=False),
    ],
)
def test_a_restart_finds_the_weights_wherever_they_have_gone(change: Any) -> None:
    model = small().float()
    before = [p.double() for p in weights(model)]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    exptest = ExpTest(optimizer, max_lr=1.0, min_window=8, path_correction=False, model=model)
    change(model)
    dtype = next(model.parameters()).dtype
    decision, number = None, 0
    while decision is None:
        optimizer.zero_grad()
        error(model, number, dtype).backward()
        optimizer.step()
        decision, number = exptest.step(1.0 + 0.001 * number), number + 1
    assert decision.restarts
    assert same([p.double() for p in weights(model)], before)


def test_weights_loaded_before_the_first_update_are_where_a_restart_goes() -> None:
    model = small()
    loaded = {name: 0.5 * t for name, t in model.state_dict().items()}

    def loss(number: int) -> Tensor:
        if number == 0:
            model.load_state_dict(loaded)
        return error(model, number)

    window(model, loss)
    assert same(weights(model), [*loaded.values()])


# -- averages ------------------------------------------------------------------------------


def test_an_average_is_reset_by_on_restart_and_does_not_change_the_ratio() -> None:
    ratios = []
    for averaged in (False, True):
        model = small()
        ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        told: list[Decision] = []

        def reset(decision: Decision, ema: Any = ema, model: Any = model, told: Any = told) -> None:
            told.append(decision)
            ema.module.load_state_dict(model.state_dict())
            ema.n_averaged.zero_()

        def after(ema: Any = ema, model: Any = model) -> None:
            ema.update_parameters(model)
            trained = copy.deepcopy(model.state_dict())  # evaluated with the average's weights
            model.load_state_dict(ema.module.state_dict())
            model.load_state_dict(trained)

        decision, _, _ = window(
            model,
            lambda n, model=model: error(model, n),
            after if averaged else lambda: None,
            on_restart=reset,
        )
        assert told == [decision]
        assert same(weights(ema.module), weights(model))
        assert ema.n_averaged == 0
        ratios.append(decision.path_ratio)
    assert ratios[0] == ratios[1]


# -- which parameters ----------------------------------------------------------------------


def test_a_layer_unfrozen_late_trains_at_its_ratio_and_restarts_where_it_came() -> None:
    run = Training(base("Adam"), rate=1.0)
    head, body = run.model[2], run.model[0]
    run.optimizer = torch.optim.Adam(head.parameters(), lr=0.4)
    exptest = ExpTest(run.optimizer, max_lr=0.02, min_window=16, model=run.model)
    before, decision = run.weights(), None
    for number in range(5):
        run.update(number)
        decision = exptest.step(0.2 + 0.001 * number)
    # between an update and its loss: the loss belongs to the old groups
    run.update(5)
    run.optimizer.add_param_group({"params": [*body.parameters()], "lr": 0.2})
    decision = exptest.step(0.2)
    assert exptest.get_last_lr() == [0.02, 0.01]
    number = 6
    while decision is None:
        run.update(number)
        decision, number = exptest.step(0.2 + 0.001 * number), number + 1
    assert decision.restarts
    assert same(run.weights(), before)
    assert exptest.get_last_lr() == pytest.approx([0.0066, 0.0033])


def test_the_optimizer_of_a_copied_model_is_recognized_and_works_with_the_copy() -> None:
    model = small()
    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.7)
    with pytest.raises(ValueError, match="the optimizer trains no parameter of model"):
        ExpTest(optimizer, max_lr=0.1, model=model)
    assert optimizer.param_groups[0]["lr"] == 0.7
    decision, _, _ = window(twin, lambda n: error(twin, n), optimizer=optimizer)
    assert decision.restarts
    assert same(weights(twin), weights(model))


def test_gradients_that_go_to_another_copy_are_asked_about() -> None:
    model = small()
    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD(twin.parameters(), lr=1.0)
    exptest = ExpTest(optimizer, max_lr=0.05, min_window=4)

    def train() -> None:
        for number in range(40):
            error(model, number).backward()
            optimizer.step()
            exptest.step(0.1)

    with pytest.warns(UserWarning, match="none of the optimizer's parameters had a gradient"):
        train()
