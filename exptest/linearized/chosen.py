"""Which of a network's outputs are meant, where it returns a dict or a tuple."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Chosen(nn.Module):
    """A network of which one output is meant: ``output`` is a key, an index or a function."""

    def __init__(self, model: nn.Module, output: Any) -> None:
        super().__init__()
        self.model, self.output = model, output
        self.training = model.training

    def forward(self, *inputs: Tensor) -> Any:
        """Return the output that is meant."""
        return picked(self.model(*inputs), self.output)


def chosen(model: nn.Module, output: Any) -> nn.Module:
    """Return the model, cut down to the output that is meant; None means all of it."""
    return model if output is None else Chosen(model, output)


def picked(outputs: Any, output: Any) -> Any:
    """Return ``outputs[output]``, or ``output(outputs)`` of a function.

    Raises:
        ValueError: a key or an index that is not there, or one into a tensor.
    """
    if output is None:
        return outputs
    if callable(output):
        return output(outputs)
    if isinstance(outputs, Tensor):
        raise ValueError(
            f"output={output!r} picks from a dict or a tuple, but the model returns a tensor of "
            f"shape {tuple(outputs.shape)}; to pick columns pass a function, as "
            "output=lambda out: out[:, :3]."
        )
    try:
        return outputs[output]
    except (KeyError, IndexError, TypeError) as error:
        there = list(outputs) if isinstance(outputs, dict) else f"a {type(outputs).__name__}"
        if isinstance(outputs, tuple | list):
            there = f"{there} of {len(outputs)}"
        raise ValueError(f"output={output!r} is not there; the model returns {there}.") from error
