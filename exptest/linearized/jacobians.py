"""One Jacobian per example: by torch.func where it is right, by plain autograd where it is not."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import jacrev, vmap

from exptest.linearized.derivatives import gradient
from exptest.linearized.inputs import Inputs, length, parts, some
from exptest.linearized.networks import call, function_of_weights, silenced, trainable

ROWS_CHECKED = 3  # of the last example of each size of batch: first, middle and last output
# By how much of its size a parameter's gradient may differ. In single precision a rectifier of a
# deep network may be on in one sum and off in the other, which moves a gradient by some 1e-3.
APART = {torch.float64: 1e-8, torch.float32: 1e-2}


class Jacobians:
    """∂f(x_i)/∂θ of every example, for some of the parameters at a time.

    All examples at once through ``vmap(jacrev)``, of which some rows are computed again by plain
    autograd: vmap's rule for PReLU is wrong where there are as many examples as outputs. Where
    they differ, or torch.func refuses, plain autograd takes over, one example at a time.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights = trainable(model)
        self._network = function_of_weights(model)
        self._parameters = {k: p for k, p in model.named_parameters() if p.requires_grad}
        self._checked: set[tuple[int, tuple[str, ...]]] = set()
        self._in_turn = False

    def of(self, x: Inputs, names: tuple[str, ...]) -> dict[str, Float[Tensor, "n c p"]]:
        """Return the named parameters' columns, one row per example and output.

        Warns:
            UserWarning: plain autograd takes over, and why.
        """
        if not self._in_turn:
            try:
                found = self._together(x, names)
                trouble = self._fault(x, found)
            except Exception as error:  # the model itself has run: what fails is vmap's
                trouble = f"refuses it ({str(error).splitlines()[0][:120]})"
            if trouble is None:
                return found
            self._in_turn = True
            warnings.warn(
                f"torch.func {trouble}; plain autograd differentiates this model instead, one "
                "example at a time, which is right but slower.",
                stacklevel=2,
            )
        rows = [self._alone(some(x, i, i + 1), names, None) for i in range(length(x))]
        return {name: torch.stack([row[name] for row in rows]) for name in names}

    def _together(self, x: Inputs, names: tuple[str, ...]) -> dict[str, Tensor]:
        rest = {name: w for name, w in self.weights.items() if name not in names}

        def one(weights: dict[str, Tensor], *example: Tensor) -> Tensor:
            single = tuple(part.unsqueeze(0) for part in example)
            return self._network(weights | rest, single).reshape(-1)

        within = (None, *(0 for _ in parts(x)))
        with silenced("There is a performance drop"):
            blocks = vmap(jacrev(one), within)({k: self.weights[k] for k in names}, *parts(x))
        return {name: block.detach().flatten(2) for name, block in blocks.items()}

    def _alone(
        self, example: Inputs, names: tuple[str, ...], rows: Iterable[int] | None
    ) -> dict[str, Float[Tensor, "c p"]]:
        """Some outputs' gradients (all by default) through the model itself."""
        chosen = [self._parameters[name] for name in names]
        with torch.enable_grad():
            outputs = call(self.model, example).reshape(-1)
            found = [
                gradient(outputs[c], chosen)
                for c in (range(len(outputs)) if rows is None else rows)
            ]
        return {
            name: torch.stack([piece.flatten() for piece in column])
            for name, column in zip(names, zip(*found, strict=True), strict=True)
        }

    def _fault(self, x: Inputs, found: dict[str, Tensor]) -> str | None:
        """Return where torch.func's Jacobian is wrong: looked at once per size and parameters."""
        size, names = length(x), tuple(found)
        if (size, names) in self._checked:
            return None
        self._checked.add((size, names))
        outputs = next(iter(found.values())).shape[1]
        rows = sorted({round(k * (outputs - 1) / (ROWS_CHECKED - 1)) for k in range(ROWS_CHECKED)})
        right = self._alone(some(x, size - 1, size), names, rows)
        dtype = next(iter(right.values())).dtype
        noise = 100 * torch.finfo(dtype).eps * max(float(row.norm()) for row in right.values())
        for name, row in right.items():
            gap = float((found[name][-1, rows] - row).norm())
            if not gap <= APART[dtype] * float(row.norm()) + noise:
                return f"gives a wrong Jacobian (off by {gap:.2g} in parameter {name!r})"
        return None
