"""What the library says of every architecture in the zoo, against plain autograd.

``python -m tests.linearized.zoo`` prints the table, ``python -m tests.linearized.zoo LSTM`` the
rows whose names hold a word.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from exptest.linearized import curvature_spectrum, empirical_ntk, linearize
from tests.linearized.zoo_composed import COMPOSED
from tests.linearized.zoo_conv import CONV
from tests.linearized.zoo_dense import DENSE
from tests.linearized.zoo_language import LANGUAGE
from tests.linearized.zoo_patched import PATCHED
from tests.linearized.zoo_refused import REFUSED
from tests.linearized.zoo_sequence import SEQUENCES
from tests.linearized.zoo_truth import (
    Architecture,
    Inputs,
    N,
    Truth,
    picked,
    quiet,
    truth_of,
)
from tests.linearized.zoo_watched import WATCHED

ZOO: dict[str, Architecture] = (
    DENSE | CONV | SEQUENCES | LANGUAGE | COMPOSED | WATCHED | PATCHED | REFUSED
)
REFUSALS = (ValueError, TypeError, NotImplementedError)
GOOD = {
    "never": {"right"},
    "allowed": {"right", "refused"},
    "due": {"refused"},
    "said": {"right", "refused", "said"},
}


@dataclass(frozen=True)
class Finding:
    """What the library made of one architecture in one use.

    Attributes:
        status: "right", "refused" in our words, "said" (inexact, with a warning), "wrong",
            or "raw error".
        error: relative, of what it returned; NaN where it returned nothing.
        words: of its refusal, error or warning.
    """

    status: str
    error: float = float("nan")
    words: str = ""

    def __str__(self) -> str:
        return self.status if self.error != self.error else f"{self.status} {self.error:.0e}"


def whole(inputs: Inputs) -> Any:
    """One tensor as itself, several as a tuple."""
    return inputs if len(inputs) > 1 else inputs[0]


@dataclass(frozen=True)
class Case:
    """One architecture as the library meets it."""

    arch: Architecture
    model: nn.Module
    inputs: Inputs
    targets: Tensor
    direction: Tensor

    def some(self, rows: slice) -> Any:
        return whole(tuple(t[rows] for t in self.inputs))

    @property
    def options(self) -> dict[str, Any]:
        return {} if self.arch.output is None else {"output": self.arch.output}


@cache
def truth(name: str) -> Truth:
    arch = ZOO[name]
    inputs = tuple(t.double() if t.is_floating_point() else t for t in arch.draw())
    return truth_of(arch.build().double(), inputs, arch.output)


@quiet()
def case_of(name: str) -> Case:
    arch, n = ZOO[name], N
    shape: tuple[int, ...] = (n, 3)
    model, x = arch.build(), arch.draw()
    if arch.refusal != "due":
        shape = picked(model(*(t.clone() for t in x)), arch.output).shape
    like = next(model.parameters())
    generator = torch.Generator().manual_seed(4)
    targets = torch.randn(shape, generator=generator, dtype=torch.float64)
    size = sum(p.numel() for p in model.parameters() if p.requires_grad)
    direction = torch.randn(size, generator=generator, dtype=torch.float64)
    if not arch.precise:
        targets, direction = targets.to(like), direction.to(like)
    return Case(arch, model, x, targets, direction)


def kernel(case: Case) -> Tensor:
    return empirical_ntk(case.model, case.some(slice(None)), **case.options)


def square(case: Case) -> int:
    """As many examples as outputs, where these are few: what confuses the two shows only there."""
    return min(N, case.targets[0].numel())


def traced(case: Case) -> Tensor:
    few = case.some(slice(square(case)))
    return empirical_ntk(case.model, few, trace_outputs=True, **case.options)


def between(case: Case) -> Tensor:
    """Two sets of examples, of different sizes."""
    first, second = case.some(slice(1)), case.some(slice(1, None))
    return empirical_ntk(case.model, first, second, **case.options)


def linear(case: Case) -> Tensor:
    """f_lin(x; θ + Δθ) − f(x; θ)."""
    found = linearize(case.model, **case.options)
    weights = [p for p in found.parameters() if p.requires_grad]
    pieces = case.direction.split([p.numel() for p in weights])
    with torch.no_grad():
        for p, piece in zip(weights, pieces, strict=True):
            p.add_(piece.view_as(p))
    return found(*case.inputs).detach().reshape(N, -1)


def largest(case: Case) -> Tensor:
    """λ_max of the mean squared error."""
    x, loss = case.some(slice(None)), nn.MSELoss()
    spectrum = curvature_spectrum(
        case.model, loss, x, case.targets, curvature="ggn", **case.options
    )
    return torch.tensor(spectrum.eigenvalues)


USES: dict[str, tuple[Callable[[Case], Tensor], Callable[[Case, Truth], Tensor]]] = {
    "kernel": (kernel, lambda case, t: t.kernel()),
    "traced": (
        traced,
        lambda case, t: torch.einsum("icjc->ij", t.kernel())[: square(case), : square(case)],
    ),
    "between": (between, lambda case, t: t.kernel()[:1, :, 1:]),
    "linear": (linear, lambda case, t: t.outputs + t.jacobian @ case.direction.double()),
    "λ_max": (largest, lambda case, t: t.largest_curvature()),
}


def finding(name: str, use: str) -> Finding:
    """Ask the library, and judge its answer; a model or inputs that it changed are wrong too."""
    ask, right = USES[use]
    case = case_of(name)
    before = [t.clone() for t in (*case.model.state_dict().values(), *case.inputs)]
    with torch.random.fork_rng(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.manual_seed(5)
        try:
            found = ask(case)
        except Exception as raised:
            refused = isinstance(raised, REFUSALS) and raised_by_us(raised)
            words = f"{type(raised).__name__}: {raised}"
            return Finding("refused" if refused else "raw error", words=words)
    after = (*case.model.state_dict().values(), *case.inputs)
    if not all(torch.equal(a, b) for a, b in zip(after, before, strict=True)):
        return Finding("wrong", words="it changed the model or its inputs")
    if case.arch.refusal == "due":
        return Finding("wrong", words=f"it answered: {found.flatten()[:3]}")
    said = "; ".join(str(w.message) for w in caught if "/torch/" not in w.filename)
    expected = right(case, truth(name))
    if found.shape != expected.shape:
        return Finding("wrong", words=f"shape {(*found.shape,)}, not {(*expected.shape,)}")
    error = float((found.double() - expected).norm() / expected.norm())
    status = "right" if error <= case.arch.tolerance else "said" if said else "wrong"
    return Finding(status, error, said)


def raised_by_us(error: BaseException) -> bool:
    """Whether the library itself raised it, and not what it called."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals["__name__"]).startswith("exptest.")


# Where refusing is right although a derivative exists, and why.
ONCE = {"linear", "λ_max"}  # torch differentiates them once, not twice
COPIES = {"linear"}  # a function set on them holds on to their own weights
MAY_REFUSE = {
    "MLP, Hardsigmoid": ONCE,
    "EmbeddingBag, sum": ONCE,
    "EmbeddingBag, mean": ONCE,
    "EmbeddingBag, max": ONCE,
    "radial basis functions": ONCE,
    "checkpointed block": COPIES,  # computed again when the weights have moved
    "forward patched by a closure": COPIES,
    "forward patched around the old one": COPIES,
    "forward of the model patched": COPIES,
    "half a network in single precision": {*USES},  # examples differ by more than float64 rounds
}


def asked(name: str) -> list[str]:
    """The uses that an architecture is put to."""
    return [use for use in USES if not (ZOO[name].coupled and use == "linear")]


def verdict(name: str) -> dict[str, Finding]:
    """What the library makes of one architecture, by use."""
    return {use: finding(name, use) for use in asked(name)}


def good(name: str, use: str, found: Finding) -> bool:
    """Whether a finding is what it should be."""
    allowed = use in MAY_REFUSE.get(name, ())
    return found.status in GOOD["allowed" if allowed else ZOO[name].refusal]


def one_line(words: str) -> str:
    return " ".join(words.split())[:300]


def table(word: str = "") -> str:
    """One row per architecture, then the words of all that is not as it should be, then counts."""
    width = max(map(len, ZOO)) + 2
    rows = [f"{'':{width}}" + "".join(f"{use:16}" for use in USES) + "(! is a fault)"]
    faults, counts, passed = [], Counter[str](), Counter[str]()
    for name in (name for name in ZOO if word.lower() in name.lower()):
        found = verdict(name)
        bad = {use: f for use, f in found.items() if not good(name, use, f)}
        cells = [f"{found.get(use, '')!s}{' !' * (use in bad)}" for use in USES]
        rows.append(f"{name:{width}}" + "".join(f"{cell:16}" for cell in cells).rstrip())
        wants = ZOO[name].refusal
        faults += [f"{name} / {use}: {f} {one_line(f.words)}" for use, f in bad.items()]
        counts.update(f"{f.status}{' (a fault)' * (use in bad)}" for use, f in found.items())
        passed[f"{wants}: {'as it should be' if not bad else 'not'} everywhere"] += 1
    totals = [f"{count:5} × {what}" for what, count in sorted((counts + passed).items())]
    return "\n".join([*rows, "", *faults, "", *totals])


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(table(*sys.argv[1:]))
