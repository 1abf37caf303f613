"""Kernels, expansions and curvature of networks that people teach with, against dense matrices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from exptest.linearized import (
    LossModel,
    critical_learning_rate,
    curvature_spectrum,
    empirical_ntk,
    linearize,
)
from tests.linearized.reference import dense_ggn, dense_hessian, jacobian, literal_ntk

MSE = nn.MSELoss()
TAKES_OVER = "ignore:torch.func .* plain autograd differentiates:UserWarning"


def features(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def tokens(n: int, length: int) -> Tensor:
    return torch.randint(0, 11, (n, length), generator=torch.Generator().manual_seed(3))


class Language(nn.Module):
    """The next token from those so far."""

    def __init__(self, length: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6, padding_idx=0)
        self.place = nn.Parameter(torch.randn(length, 6) / 3)
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
        self.out = nn.Linear(6, 11)
        self.register_buffer("later", torch.ones(length, length).triu(1).bool())

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(self.embedding(x) + self.place, src_mask=self.later))


class Recurrent(nn.Module):
    def __init__(self, cell: type[nn.RNNBase], **options: bool) -> None:
        super().__init__()
        self.cell = cell(3, 4, batch_first=True, **options)
        self.out = nn.Linear(4 * (1 + options.get("bidirectional", False)), 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cell(x)[0][:, -1])


def normed(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    return nn.Sequential(norm(nn.Linear(3, 5)), nn.Tanh(), norm(nn.Linear(5, 2)))


def last(out: Tensor) -> Tensor:
    return out[:, -1]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "PReLU": (lambda: nn.Sequential(nn.Linear(3, 5), nn.PReLU(5), nn.Linear(5, 2)), features(2, 3)),
    "PReLU, more": (
        lambda: nn.Sequential(nn.Linear(3, 5), nn.PReLU(), nn.Linear(5, 2)),
        features(7, 3),
    ),
    "LSTM": (lambda: Recurrent(nn.LSTM), features(4, 5, 3)),
    "LSTM, both ways": (lambda: Recurrent(nn.LSTM, bidirectional=True), features(4, 5, 3)),
    "GRU": (lambda: Recurrent(nn.GRU), features(4, 5, 3)),
    "RNN": (lambda: Recurrent(nn.RNN), features(4, 5, 3)),
    "weight norm": (lambda: normed(nn.utils.parametrizations.weight_norm), features(4, 3)),
    "old weight norm": (lambda: normed(nn.utils.weight_norm), features(4, 3)),
    "language model": (lambda: nn.Sequential(Language(), Last()), tokens(4, 4)),
    "sparse embedding": (
        lambda: nn.Sequential(nn.Embedding(11, 3, sparse=True), nn.Flatten(), nn.Linear(12, 2)),
        tokens(4, 4),
    ),
}


class Last(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return last(x)


def made(name: str) -> tuple[nn.Module, Tensor]:
    make, x = NETWORKS[name]
    torch.manual_seed(0)
    return make().double(), x


@pytest.mark.filterwarnings(TAKES_OVER)
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_kernel_expansion_and_curvature_are_those_of_plain_autograd(name: str) -> None:
    model, x = made(name)
    exact = literal_ntk(model, x, x)
    assert torch.allclose(empirical_ntk(model, x), exact, rtol=1e-10, atol=1e-12)
    halves = empirical_ntk(model, x[:2], x[1:], trace_outputs=True)
    assert torch.allclose(halves, torch.einsum("icjc->ij", exact)[:2, 1:], rtol=1e-10, atol=1e-12)

    line, J = linearize(model), jacobian(model, x)
    assert torch.allclose(line(x), model(x), rtol=1e-12, atol=1e-12)
    moves = [torch.randn_like(p) for p in line.parameters()]
    with torch.no_grad():
        for p, move in zip(line.parameters(), moves, strict=True):
            p += move
    moved = model(x) + J @ torch.cat([move.flatten() for move in moves])
    assert torch.allclose(line(x), moved, rtol=1e-10, atol=1e-10)
    line(x).square().sum().backward()
    pulled = 2 * torch.einsum("ncp,nc->p", J, moved)
    gradients = torch.cat([p.grad.flatten() for p in line.parameters()])
    assert torch.allclose(gradients, pulled, rtol=1e-9, atol=1e-9)

    y = torch.randn_like(moved).detach()
    largest = torch.linalg.eigvalsh(dense_ggn(model, MSE, x, y))[-1].item()
    found = curvature_spectrum(model, MSE, x, y, batch_size=3)
    assert found.eigenvalues[0] == pytest.approx(largest, rel=1e-9)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "PReLU, more"])
def test_the_hessian_is_the_dense_one(name: str) -> None:
    model, x = made(name)
    y = torch.zeros(len(x), 2, dtype=torch.float64)
    largest = torch.linalg.eigvalsh(dense_hessian(model, MSE, x, y))[-1].item()
    found = curvature_spectrum(model, MSE, x, y, curvature="hessian")
    assert found.eigenvalues[0] == pytest.approx(largest, rel=1e-8)


def test_a_hessian_that_torch_gets_wrong_is_refused() -> None:
    """Of fused weight norm the second derivatives are no symmetric matrix."""
    model, x = made("weight norm")
    y = torch.zeros(4, 2, dtype=torch.float64)
    dense = dense_hessian(model, MSE, x, y)
    assert (dense - dense.T).norm() > 0.01 * dense.norm()
    with pytest.raises(ValueError, match=r"its Hessian is not symmetric .* curvature='ggn'"):
        curvature_spectrum(model, MSE, x, y, curvature="hessian")


def test_a_language_model_has_a_critical_rate_over_all_its_tokens() -> None:
    torch.manual_seed(0)
    model, x = Language().double(), tokens(5, 4)

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(out.flatten(0, 1), y.flatten())

    flat = nn.Sequential(model, nn.Flatten())
    J, y = jacobian(flat, x).flatten(0, 1), tokens(5, 4)
    outputs = model(x).detach()
    H = torch.autograd.functional.hessian(lambda f: loss(f, y), outputs)
    dense = J.T @ H.reshape(outputs.numel(), -1) @ J
    rate = critical_learning_rate(model, loss, x, y, batch_size=2)
    assert rate == pytest.approx(2 / torch.linalg.eigvalsh(dense)[-1].item(), rel=1e-9)
    kernel = empirical_ntk(model, x, output=lambda out: out.flatten(1))
    assert torch.allclose(kernel, literal_ntk(flat, x, x), rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match=r"end it with nn.Flatten\(\), or pass output="):
        empirical_ntk(model, x)


@pytest.mark.parametrize("name", ["PReLU", "PReLU, more", "LSTM", "GRU"])
def test_who_takes_over_and_why_is_said_once(name: str) -> None:
    model, x = made(name)
    with pytest.warns(UserWarning, match=r"torch.func (gives a wrong|refuses it).* plain") as said:
        empirical_ntk(model, x, method="general", batch_size=2)
    assert len(said) == 1


class Several(nn.Module):
    """A mask, features and a token; several answers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(11, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, token: Tensor, mask: Tensor) -> dict[str, Tensor]:
        h = torch.tanh(self.embedding(token) + (x * mask))
        return {"hidden": h, "out": self.layer(h)}


OUTPUTS: dict[str, object] = {"key": "out", "function": lambda found: found["out"]}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
def test_several_inputs_and_one_of_several_outputs(output: object) -> None:
    torch.manual_seed(0)
    model = Several().double()
    x = (features(6, 4), tokens(6, 1)[:, 0], features(6, 4) > 0)

    class Single(nn.Module):
        """The same with all inputs in one tensor."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, z: Tensor) -> Tensor:
            return self.model(z[:, :4], z[:, 8].long(), z[:, 4:8] > 0)["out"]

    single, z = Single(), torch.cat([x[0], x[2].double(), x[1][:, None].double()], dim=1)
    exact = literal_ntk(single, z, z)
    assert torch.allclose(empirical_ntk(model, x, output=output), exact, rtol=1e-10, atol=1e-12)
    some = tuple(part[:2] for part in x)
    assert torch.allclose(empirical_ntk(model, some, x, output=output), exact[:2], rtol=1e-10)
    y = torch.zeros(6, 2, dtype=torch.float64)
    largest = torch.linalg.eigvalsh(dense_ggn(single, MSE, z, y))[-1].item()
    found = curvature_spectrum(model, MSE, x, y, output=output, batch_size=4)
    assert found.eigenvalues[0] == pytest.approx(largest, rel=1e-9)
    line = linearize(model, output=output)
    assert torch.allclose(line(*x), single(z), rtol=1e-12)
    assert torch.allclose(empirical_ntk(line, x), exact, rtol=1e-10, atol=1e-12)
    predicted = LossModel.from_network(model, x, y, loss="mse", output=output)
    assert predicted.eigenvalues[0] == pytest.approx(largest, rel=1e-9)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("logits", r"output='logits' is not there; the model returns \['hidden', 'out'\]"),
        (None, r"model must return one tensor, got dict; pass output="),
        (lambda found: found["out"][0], r"one row of outputs per example, shape \(6, C\), got"),
    ],
)
def test_outputs_that_are_not_there_are_named(output: object, message: str) -> None:
    x = (features(6, 4).float(), tokens(6, 1)[:, 0], torch.ones(6, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=message):
        empirical_ntk(Several(), x, output=output)


def test_an_index_into_a_tensor_is_no_output() -> None:
    with pytest.raises(ValueError, match=r"output=0 picks from a dict or a tuple, but .* a tensor"):
        empirical_ntk(nn.Linear(4, 2), torch.randn(3, 4), output=0)
    recurrent, x = nn.RNN(3, 2, batch_first=True), torch.randn(4, 5, 3)
    with pytest.raises(ValueError, match=r"output=7 is not there; .* a tuple of 2"):
        empirical_ntk(recurrent, x, output=7)


@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ((), ValueError, "x1 must hold at least one tensor, got an empty tuple"),
        ((torch.ones(3, 4), torch.ones(2, 4)), ValueError, r"one row per example each, got \[3, 2"),
        ((torch.ones(3, 4), 3), TypeError, r"x1\[1\] must be a torch.Tensor, got int"),
        (torch.ones(3, 4).cfloat(), TypeError, r"x1 must be real, got torch.complex64"),
    ],
)
def test_inputs_that_are_no_examples_are_named(
    x: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        empirical_ntk(Several(), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_refused_and_its_double_is_not(dtype: torch.dtype) -> None:
    model, x = nn.Linear(4, 2).to(dtype), torch.randn(3, 4).to(dtype)
    for use in (empirical_ntk, lambda model, x: linearize(model)):
        with pytest.raises(TypeError, match=r"too coarse .* parameter 'weight'; try model.float"):
            use(model, x)
    found = empirical_ntk(model, x, dtype=torch.float64)
    exact = literal_ntk(model.double(), x.double(), x.double())
    assert torch.allclose(found, exact, rtol=1e-12)


def test_an_embedding_that_shrinks_its_weights_is_refused() -> None:
    model = nn.Sequential(nn.Embedding(11, 3, max_norm=1.0), nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ValueError, match=r"Embedding at '0' shrinks its weights .* max_norm"):
        empirical_ntk(model, tokens(3, 4))
