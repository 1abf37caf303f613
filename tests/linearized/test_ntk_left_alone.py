"""What the structured path leaves to the general one, and how it notices."""

from __future__ import annotations

import types
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, linear
from torch.utils.checkpoint import checkpoint

from exptest.linearized import empirical_ntk, ntk_structured
from exptest.linearized.ntk_structured import plan_of, structured_ntk
from tests.linearized.graphs import GRAPHS, Graph, drawn, examples_of
from tests.linearized.reference import literal_ntk
from tests.linearized.test_ntk_leaves import by_example, relative, structured


def graph(forward: Callable[..., Tensor], **layers: nn.Module) -> Graph:
    """Two dense layers beside those given."""
    return Graph(forward, **({"a": nn.Linear(4, 4), "b": nn.Linear(4, 2)} | layers))


def stack() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))


def hooked(register: str, index: int = 0) -> nn.Module:
    model = stack()
    hook = {
        "register_forward_hook": lambda module, args, out: 2 * out,
        "register_forward_pre_hook": lambda module, args: (2 * args[0],),
        "register_full_backward_hook": lambda module, into, out: (2 * into[0],),
        "register_full_backward_pre_hook": lambda module, out: (2 * out[0],),
        "register_backward_hook": lambda module, into, out: None,
    }[register]
    getattr(model[index], register)(hook)
    return model


def patched(name: str = "forward") -> nn.Module:
    model = stack()
    if name == "forward":
        model[0].forward = lambda x: linear(x, model[0].weight.tanh(), model[0].bias)
    else:
        model[0] = nn.Conv1d(4, 4, 1)
        model.append(nn.Flatten()).insert(0, nn.Unflatten(1, (4, 1)))
        model.insert(2, nn.Flatten())
        convolution = model[1]
        convolution._conv_forward = types.MethodType(
            lambda self, x, w, b: conv1d(x, w.tanh(), b), convolution
        )
    return model


class Weighted(nn.Module):
    """Holds a weight that is no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.token = nn.Linear(4, 2), nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.tanh(x + self.token))


class Doubled(nn.Linear):
    """Not Linear, whatever it inherits."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def one_module_twice() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer)


def under_no_grad(m: Graph, x: Tensor) -> Tensor:
    with torch.no_grad():
        h = m.a(x)
    return m.b(torch.tanh(h))


def sorted_by_length(m: Graph, x: Tensor) -> Tensor:
    order = x[:, 0].argsort()
    return m.b(torch.tanh(m.a(x[order])))[order.argsort()]


def routed(m: Graph, x: Tensor) -> Tensor:
    large, out = x[:, 0] > 0, x.new_zeros(len(x), 4)
    out = out.masked_scatter(large[:, None], m.a(x[large]))
    return m.b(torch.tanh(out + x))


CASES: dict[str, Callable[[], nn.Module]] = {
    "called twice": one_module_twice,
    "called twice in its forward": lambda: graph(lambda m, x: m.b(m.a(torch.tanh(m.a(x))))),
    "not called": lambda: graph(lambda m, x: m.b(torch.tanh(x))),
    "its forward is called": lambda: graph(lambda m, x: m.b(torch.tanh(m.a.forward(x)))),
    "called and its weight used elsewhere": lambda: graph(
        lambda m, x: m.b(torch.tanh(m.a(x)) + linear(x, m.a.weight))
    ),
    "its weight as a penalty": lambda: graph(
        lambda m, x: m.b(torch.tanh(m.a(x))) + m.a.weight.square().sum()
    ),
    "tied": tied,
    "a weight of no layer": Weighted,
    "a subclass": lambda: nn.Sequential(Doubled(4, 4), nn.Tanh(), nn.Linear(4, 2)),
    "transposed convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.ConvTranspose1d(1, 2, 2), nn.Tanh(), nn.Flatten()
    ),
    "multi-head attention": lambda: Graph(
        lambda m, x: m.b(m.a(*[x.unflatten(1, (2, 2))] * 3)[0].flatten(1)),
        a=nn.MultiheadAttention(2, 1, batch_first=True), b=nn.Linear(4, 2)),
    "weight norm": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 2)
    ),
    "spectral norm": lambda: nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 2)
    ),
    "spectral norm of old": lambda: nn.Sequential(
        nn.utils.spectral_norm(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 2)
    ),
    "patched": patched,
    "patched within": lambda: patched("_conv_forward"),
    "hook on a layer": lambda: hooked("register_forward_hook"),
    "pre-hook on a layer": lambda: hooked("register_forward_pre_hook"),
    "hook on an activation": lambda: hooked("register_forward_hook", 1),
    "under no_grad": lambda: graph(under_no_grad),
    "by keyword": lambda: graph(lambda m, x: m.b(torch.tanh(m.a(input=x)))),
    "sorted": lambda: graph(sorted_by_length),
    "examples second": lambda: Graph(
        lambda m, x: m.b(torch.tanh(m.a(x.unflatten(1, (2, 2)).transpose(0, 1))).mean(0)),
        a=nn.Linear(2, 4), b=nn.Linear(4, 2)),
    "examples second in rows": lambda: Graph(
        lambda m, x: m.b(torch.tanh(m.a(x.unflatten(1, (2, 2)).transpose(0, 1).flatten(0, 1)))
                         .unflatten(0, (2, -1)).mean(0)),
        a=nn.Linear(2, 4), b=nn.Linear(4, 2)),
    "one by one": lambda: graph(
        lambda m, x: torch.stack([m.b(torch.tanh(m.a(one))) for one in x])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_takes_the_general_path_and_the_kernel_is_right(name: str) -> None:
    model, x = drawn(CASES[name]()), examples_of((4,), 5)
    exact = literal_ntk(model, x, x)
    assert structured(model, x) is None
    assert relative(empirical_ntk(model, x), exact) < 1e-12
    with pytest.raises(ValueError, match=r"method='structured' needs every trainable weight in"):
        empirical_ntk(model, x, method="structured")


@pytest.mark.parametrize("kind", ["full_backward_hook", "full_backward_pre_hook", "backward_hook"])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_no_backward_hook_is_overlooked(kind: str, index: int) -> None:
    assert structured(drawn(hooked(f"register_{kind}", index)), examples_of((4,), 5)) is None


@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook", "full_backward_hook"])
def test_hooks_on_all_modules_are_not_overlooked(kind: str) -> None:
    model, x = drawn(stack()), examples_of((4,), 5)
    register = getattr(nn.modules.module, f"register_module_{kind}")
    handle = register(lambda *_: None)
    try:
        assert structured(model, x) is None
    finally:
        handle.remove()
    assert structured(model, x) is not None


EMBEDDINGS = [{"max_norm": 0.5}, {"scale_grad_by_freq": True}, {"sparse": True}]


@pytest.mark.parametrize("options", EMBEDDINGS, ids=str)
def test_embeddings_whose_gradient_is_another_are_left_alone(options: dict) -> None:
    layers = [nn.Embedding(7, 3, **options), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2)]
    assert structured(drawn(nn.Sequential(*layers)), examples_of((4, -7), 5)) is None


def test_a_checkpointed_layer_is_right_either_way() -> None:
    for reentrant in (False, True):
        model = graph(
            lambda m, x, r=reentrant: checkpoint(m.b, torch.tanh(m.a(x)), use_reentrant=r)
        )
        model, x = drawn(model), examples_of((4,), 5)
        found = structured(model, x)
        assert reentrant is (found is None)
        if found is not None:
            assert relative(found, literal_ntk(model, x, x)) < 1e-12


def test_layers_under_vmap_are_left_alone() -> None:
    model = drawn(graph(lambda m, x: torch.vmap(lambda one: m.b(torch.tanh(m.a(one))))(x)))
    for n in (2, 4, 5):
        assert structured(model, examples_of((4,), n)) is None


def test_examples_sent_different_ways_are_left_alone() -> None:
    model = drawn(graph(routed))
    for seed in range(5):  # none, some or all of two examples go through the layer
        x = examples_of((4,), 6 + seed)
        found = structured(model, x, rows=2)
        assert found is None or relative(found, literal_ntk(model, x, x)) < 1e-12
    assert structured(model, x) is None


def test_what_only_later_examples_do_is_noticed() -> None:
    def forward(m: Graph, x: Tensor) -> Tensor:
        return sorted_by_length(m, x) if bool((x[:, 0] > 50).any()) else m.b(torch.tanh(m.a(x)))

    model, x = drawn(graph(forward)), examples_of((4,), 9)
    x[4, 0] = 60.0
    plan = plan_of(model, (x,), by_example)
    assert plan is not None
    kernel = torch.zeros(9, 9, dtype=torch.float64)
    assert structured_ntk(plan, (x,), None, kernel, 3) is None
    assert not kernel.any()


@pytest.mark.parametrize("traced", [False, True])
def test_lengths_that_vary_with_the_examples_give_no_kernel_or_the_right_one(traced: bool) -> None:
    """Padding is cut off up to the longest of the batch: positions differ from sweep to sweep."""
    model = drawn(
        Graph(
            lambda m, t: m.b(torch.tanh(m.a(t[:, : int((t != 0).sum(1).max())])).sum(1)),
            a=nn.Embedding(7, 3, padding_idx=0),
            b=nn.Linear(3, 2),
        )
    )
    with torch.no_grad():
        model.a.weight[0] = 0.0
    for lengths in ([2, 2, 2, 2], [2, 2, 1, 1], [4, 4, 1, 3], [1, 1, 4, 2]):
        t = torch.zeros(4, 4, dtype=torch.long)
        for row, length in zip(t, lengths, strict=True):
            row[:length] = torch.arange(1, length + 1)
        exact = literal_ntk(model, t, t)
        found = structured(model, t, rows=2, traced=traced)
        assert (found is None) == (len(set(lengths)) > 1)
        if found is not None:
            exact = torch.einsum("icjc->ij", exact) if traced else exact
            assert relative(found, exact) < 1e-12


@pytest.mark.parametrize("part", ["outer", "_combination"])
def test_a_fault_in_a_factor_is_caught(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """One row of one layer's δ off by a millionth is enough."""
    make, shape = GRAPHS["residual convolutions"]
    model, x = drawn(make()), examples_of(shape, 5)
    assert structured(model, x) is not None
    true = getattr(ntk_structured, part)

    def faulty(layer: nn.Module, *args: Tensor) -> tuple | list:
        first, *rest = true(layer, *args)
        if layer is model.n1:
            first = first.clone()
            first[0] *= 1 + 1e-5
        return [first, *rest]

    monkeypatch.setattr(ntk_structured, part, faulty)
    assert structured(model, x) is None


def test_single_precision_passes_its_own_check() -> None:
    make, shape = GRAPHS["attention"]
    model, x = drawn(make()).float(), examples_of(shape, 40).float()
    exact = literal_ntk(model.double(), x.double(), x.double())
    kernel = empirical_ntk(model.float(), x, method="structured")
    assert relative(kernel.double(), exact) < 1e-5


def test_it_works_under_no_grad_and_as_fast() -> None:
    make, shape = GRAPHS["attention"]
    model, x = drawn(make()), examples_of(shape, 5)
    expected = empirical_ntk(model, x, method="structured")
    with torch.no_grad():
        assert torch.equal(empirical_ntk(model, x, method="structured"), expected)
