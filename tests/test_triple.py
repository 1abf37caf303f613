"""`fit` looks at model, data and loss together first: faults are named, nothing is touched."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from exptest.training import Training, fit

# Three steps show that a triple trains; they fill no window, and `fit` says so.
pytestmark = pytest.mark.filterwarnings("ignore:nothing will be decided")

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
Y = X.sum(1, keepdim=True)
LABELS = (torch.arange(40) % 4).long()


def line(outputs: int = 1) -> nn.Module:
    torch.manual_seed(2)
    return nn.Linear(3, outputs)


def frozen() -> nn.Module:
    return line().requires_grad_(False)


class Returns(nn.Module):
    """A line whose output is wrapped by ``change``."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.line, self.change = line(4), change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.line(x))


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean()


def broken_weights() -> nn.Module:
    net = line()
    nn.init.constant_(net.bias, float("nan"))
    return net


ELEMENTWISE = [
    nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss(), nn.BCEWithLogitsLoss(),
    nn.PoissonNLLLoss(), nn.HingeEmbeddingLoss(), nn.SoftMarginLoss(), functional.mse_loss,
    squared, lambda o, y: (o - y).abs().mean(), lambda o, y: functional.mse_loss(o, y),
]  # fmt: skip
CE, MSE = nn.CrossEntropyLoss(), nn.MSELoss()


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize("loss_fn", ELEMENTWISE)
@pytest.mark.parametrize("flat", ["targets", "outputs"])
def test_shapes_that_broadcast_are_refused(loss_fn: Any, flat: str) -> None:
    y = (Y > 0).float()
    model, y = (line(), y[:, 0]) if flat == "targets" else (nn.Sequential(line(), Ravel()), y)
    with pytest.raises(ValueError, match=r"try targets\.reshape\(-1"):
        fit(model, (X, y), loss_fn=loss_fn, steps=3, max_lr=0.1, progress=False)


class Ravel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.ravel()


def pairwise(outputs: Tensor, labels: Tensor) -> Tensor:
    same = labels.unsqueeze(1) == labels
    return torch.where(same, torch.cdist(outputs, outputs), 1.0).mean()


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("model", "y", "loss_fn"),
    [
        (line(4), LABELS, CE),
        (line(4), LABELS, functional.cross_entropy),
        (line(4), functional.one_hot(LABELS, 4).float(), CE),
        (line(4), torch.where(LABELS == 3, -100, LABELS), CE),
        (Returns(lambda f: f[..., None].expand(-1, 4, 2)), LABELS[:, None].expand(-1, 2), CE),
        (line(), Y[:, 0], lambda o, y: functional.mse_loss(o.squeeze(1), y)),
        (nn.Sequential(line(), Ravel()), Y, lambda o, y: squared(o[:, None], y)),
        (line(), Y * 0, squared),
        (line(2), Y[:, 0], lambda o, y: nn.GaussianNLLLoss()(o[:, 0], y, o[:, 1].exp())),
        (line(3), LABELS, pairwise),
        (Returns(lambda f: (f, f)), LABELS, lambda o, y: CE(o[0], y)),
        (Returns(lambda f: {"logits": f}), LABELS, lambda o, y: CE(o["logits"], y)),
        (line(), Y, lambda o, y: squared(o, y).reshape(1)),
        (line(), Y.double(), MSE),
        (line(), Y.long(), MSE),
        (line(), Y, nn.MSELoss(reduction="sum")),
    ],
)
def test_what_fits_is_trained(model: nn.Module, y: Tensor, loss_fn: Any) -> None:
    history = fit(model, (X, y), loss_fn=loss_fn, steps=3, max_lr=1e-3, progress=False)
    assert np.isfinite(history.losses).all()
    assert history.losses[-1] < history.losses[0]


FAULTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"loss_fn": nn.MSELoss}, TypeError, r"class MSELoss itself; .* loss_fn=MSELoss\(\)"),
    ({"loss_fn": nn.MSELoss(reduction="none")}, ValueError, r"one number, got shape \(40, 1\)"),
    ({"loss_fn": lambda o, y: squared(o, y).item()}, TypeError, "must return a tensor, got float"),
    ({"loss_fn": lambda o, y: squared(o.detach(), y)}, ValueError, "does not depend on"),
    ({"loss_fn": lambda o, y: squared(o, y) * 1j}, TypeError, "a real number, got torch.complex64"),
    ({"loss_fn": lambda o, y: (o - o).abs().sqrt().mean()}, ValueError, "its gradient .*'weight'"),
    ({"loss_fn": lambda o, y: squared(o, y).log() / 0}, ValueError, "so loss_fn itself overflows"),
    ({"model": Returns(lambda f: (f, f)), "y": LABELS, "loss_fn": CE}, ValueError,
     r"outputs a tuple of 2 \(\(40, 4\) float32, …\) .*loss\(outputs\[0\], targets\)"),
    ({"model": Returns(lambda f: {"logits": f}), "y": LABELS, "loss_fn": CE}, ValueError,
     r"a dict with 'logits' .*outputs\['logits'\]"),
    ({"model": Returns(lambda f: None)}, TypeError, "the model returns None"),
    ({"model": Returns(lambda f: f.detach()), "y": X @ torch.ones(3, 4)}, ValueError,
     "does not depend on the weights"),
    ({"model": line(3), "y": LABELS, "loss_fn": CE}, ValueError,
     "class labels must lie between 0 and 2, got 0 to 3; try labels from 0 and at least 4 outputs"),
    ({"model": line(4), "y": LABELS - 1, "loss_fn": CE}, ValueError, "got -1 to 2"),
    ({"model": line(3), "y": LABELS, "loss_fn": CE, "batch_size": 3}, ValueError, "got 0 to 3"),
    ({"y": LABELS % 2, "loss_fn": CE}, ValueError, r"try nn.BCEWithLogitsLoss\(\) and float"),
    ({"model": line(4), "y": LABELS.float(), "loss_fn": CE}, ValueError, r"targets\.long\(\)"),
    ({"model": line(4), "y": LABELS[:, None], "loss_fn": CE}, ValueError, r"targets\.squeeze\(1\)"),
    ({"model": line(4), "y": functional.one_hot(LABELS, 4), "loss_fn": CE}, ValueError,
     r"targets\.argmax\(1\)"),
    ({"y": 2 * (Y > 0).float() - 1, "loss_fn": nn.BCEWithLogitsLoss()}, ValueError,
     "targets must lie between 0 and 1, got -1 to 1"),
    ({"y": (Y > 0).float(), "loss_fn": nn.BCELoss()}, ValueError, r"nn\.BCEWithLogitsLoss\(\)"),
    ({"y": (Y > 0).long(), "loss_fn": nn.BCEWithLogitsLoss()}, ValueError, "to.torch.float32"),
    ({"y": Y.double(), "loss_fn": nn.HuberLoss()}, ValueError, r"targets\.to\(torch\.float32\)"),
    ({"x": X.double()}, ValueError, r"float64: .*inputs\.to\(torch\.float32\).*model\.to"),
    ({"model": line().double()}, ValueError, r"inputs\.to\(torch\.float64\)"),
    ({"x": X.long()}, ValueError, r"int64: .*inputs\.to\(torch\.float32\)"),
    ({"model": line(4), "y": LABELS, "loss_fn": nn.NLLLoss()}, ValueError, "be log-probabilities"),
    ({"x": X.repeat(1, 4).reshape(40, 1, 3, 4)}, ValueError, r"\(40, 1, 3, 4\) .*nn\.Flatten\(\)"),
    ({"model": nn.Embedding(3, 1)}, ValueError, "an Embedding takes integers"),
    ({"model": nn.Sequential(nn.BatchNorm1d(3), line()), "batch_size": 1}, ValueError,
     "Expected more than 1 value per channel"),
    ({"model": frozen()}, ValueError, "the model is frozen: none of its 2 parameters"),
    ({"model": nn.LazyLinear(1)}, ValueError, r"holds no numbers yet .* try model\(inputs\[:1\]\)"),
    ({"model": nn.Linear(3, 1, device="meta")}, ValueError, "holds no numbers yet"),
    ({"model": nn.Linear}, TypeError, "got the class Linear"),
    ({"model": broken_weights()}, ValueError, "the first loss is nan: so is 'bias' of the model"),
    ({"x": X * 1e30, "y": Y * 0}, ValueError, "first loss is inf: the outputs are finite"),
    ({"model": nn.Sequential(line(), Ravel()), "x": X * 3e38}, ValueError, "hold .* non-finite"),
    ({"optimizer": torch.optim.SGD(line().parameters(), lr=1.0)}, ValueError,
     "none of the model's 2 trainable ones, so it belongs to another model"),
    ({"optimizer": "adam"}, TypeError, "must be a torch.optim.Optimizer, got str"),
    ({"device": "cuda:77"}, ValueError, "device 'cuda:77' cannot be used here"),
    ({"evaluate": {"accuracy": 3}}, TypeError, r"evaluate\['accuracy'\] must be a function"),
    ({"alpha": 2.0}, ValueError, "alpha must lie strictly between 0 and 1"),
    ({"restart": "sometimes"}, ValueError, "restart must be"),
]  # fmt: skip


def everything(model: Any) -> list[Any]:
    """All that a refusal must leave as it is."""
    if not isinstance(model, nn.Module) or any(p.is_meta for p in model.parameters()):
        return []
    if any(isinstance(p, nn.UninitializedParameter) for p in model.parameters()):
        return []
    tensors = [t.detach().nan_to_num(7.0).clone() for t in (*model.parameters(), *model.buffers())]
    return [*tensors, [p.grad for p in model.parameters()], [m.training for m in model.modules()]]


def same(before: Any, after: Any) -> bool:
    pairs = zip(before, after, strict=True)
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(("settings", "error", "message"), FAULTS)
def test_a_fault_is_named_and_nothing_is_touched(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"model": line(), "x": X, "y": Y, "loss_fn": MSE, "max_lr": 0.1} | settings
    model, data = given.pop("model"), (given.pop("x"), given.pop("y"))
    if isinstance(model, nn.Module):
        model.eval()
    before, draws = everything(model), (random.getstate(), torch.get_rng_state())
    of_numpy = np.random.get_state()  # noqa: NPY002
    with pytest.raises(error, match=message) as raised:
        fit(model, data, steps=5, progress=False, **given)
    assert "\n" not in str(raised.value)
    assert same(before, everything(model))
    assert random.getstate() == draws[0]
    assert torch.equal(torch.get_rng_state(), draws[1])
    assert repr(np.random.get_state()) == repr(of_numpy)  # noqa: NPY002


@pytest.mark.parametrize("whose", ["loader", "sampler"])
def test_a_refused_data_loader_goes_on_as_if_it_had_not_been_asked(whose: str) -> None:
    generator, data = torch.Generator().manual_seed(5), TensorDataset(X, Y[:, 0])
    if whose == "loader":
        loader = DataLoader(data, 8, shuffle=True, generator=generator)
    else:
        rows = RandomSampler(data, generator=generator)
        loader = DataLoader(data, batch_sampler=BatchSampler(rows, 8, False))
    before = generator.get_state()
    with pytest.raises(ValueError, match="one shape"):
        fit(line(), loader, loss_fn=MSE, steps=5, max_lr=0.1, progress=False)
    assert torch.equal(generator.get_state(), before)


def network() -> nn.Module:
    torch.manual_seed(4)
    layers = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 1)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("own_generator", [False, True])
def test_the_check_leaves_the_run_as_it_is_without_it(own_generator: bool) -> None:
    def loader() -> DataLoader:
        generator = torch.Generator().manual_seed(6) if own_generator else None
        return DataLoader(TensorDataset(X, Y), 8, shuffle=True, generator=generator)

    net, twin = network(), network()
    history = fit(net, loader(), loss_fn=MSE, epochs=4, lr=0.05, seed=9, progress=False)
    torch.manual_seed(9)
    optimizer, losses = torch.optim.SGD(twin.parameters(), lr=0.05), []
    batches = loader()
    for _ in range(4):
        for x, y in batches:
            optimizer.zero_grad()
            loss = MSE(twin(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert history.losses.tolist() == losses
    assert same(net.state_dict().values(), twin.state_dict().values())


def test_gradients_that_were_there_are_there_after_the_check() -> None:
    model = line()
    MSE(model(X), Y).backward()
    before = [p.grad for p in model.parameters()]
    values = copy.deepcopy(before)
    Training(model, (X, Y), loss_fn=MSE, max_lr=0.1)
    assert all(p.grad is g for p, g in zip(model.parameters(), before, strict=True))
    assert same(values, before)


def test_layers_without_an_optimizer_are_said_and_trained_around() -> None:
    net = network()
    head = torch.optim.SGD(net[4].parameters(), lr=1.0)
    with pytest.warns(
        UserWarning, match=r"'0.weight', '0.bias', '1.weight' and 1 more .* no group"
    ):
        fit(net, (X, Y), loss_fn=MSE, optimizer=head, steps=2, max_lr=0.1, progress=False)
    net[:4].requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(net, (X, Y), loss_fn=MSE, optimizer=head, steps=40, max_lr=0.1, progress=False)
    unused = torch.optim.SGD([*net[0].requires_grad_().parameters()], lr=1.0)
    cut = nn.Sequential(net[0], Returns(lambda f: f)).requires_grad_()
    cut[0].forward = lambda x: x
    with pytest.raises(ValueError, match="any weight that the optimizer holds"), pytest.warns():
        fit(cut, (X, X @ torch.ones(3, 4)), loss_fn=MSE, optimizer=unused, steps=2, max_lr=0.1)


def test_what_a_loader_makes_of_its_targets_is_what_the_loss_sees() -> None:
    def from_zero(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.stack([x for x, _ in rows]), torch.stack([y for _, y in rows]) - 1

    loader = DataLoader(TensorDataset(X, LABELS + 1), 8, collate_fn=from_zero)
    history = fit(line(4), loader, loss_fn=CE, steps=3, lr=0.1, progress=False)
    assert len(history.losses) == 3


@pytest.mark.usefixtures("as_users_do")
def test_a_loader_that_yields_no_tensors_is_named() -> None:
    loader = DataLoader([(X[0], "a"), (X[1], "b")], batch_size=2)
    with pytest.raises(TypeError, match="must yield tensors, got Tensor and"):
        fit(line(), loader, loss_fn=MSE, steps=2, max_lr=0.1, progress=False)
