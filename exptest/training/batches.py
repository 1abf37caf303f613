"""Batches from tensors or from a DataLoader, the same way on every device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from exptest import _checks


class Batches:
    """An endless stream of (inputs, targets) batches, epoch after epoch.

    Args:
        data: ``(inputs, targets)`` tensors or arrays with equal first dimensions, or a
            DataLoader that yields such pairs.
        batch_size: examples per step; None: all of them (full batch). Not for a DataLoader,
            which brings its own.
        seed: of the shuffling, once per epoch. A DataLoader shuffles by itself.
        device: where batches go.

    Raises:
        ValueError, TypeError: empty, mismatched or non-finite data.
    """

    def __init__(
        self, data: Any, *, batch_size: int | None, seed: int, device: torch.device
    ) -> None:
        self._device = device
        self._loader: DataLoader | None = None
        if isinstance(data, DataLoader):
            if batch_size is not None:
                raise ValueError(
                    f"batch_size={batch_size} was given beside a DataLoader, which has its own; "
                    "set it there."
                )
            self.per_epoch = _length(data)
            self._loader = data
            self.full = self.per_epoch == 1
            return
        self._inputs, self._targets = _pair(data, device)
        self.examples = len(self._inputs)
        size = self.examples if batch_size is None else batch_size
        self.batch_size = min(_checks.at_least("batch_size", size, 1, 32), self.examples)
        self.full = self.batch_size == self.examples
        self.per_epoch = -(-self.examples // self.batch_size)
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def inputs(self) -> Tensor | None:
        """All training inputs, if they are held as a tensor."""
        return self._held(0)

    @property
    def targets(self) -> Tensor | None:
        """All targets, if they are held as a tensor."""
        return self._held(1)

    @property
    def all_targets(self) -> Tensor | None:
        """All targets as the loss will see them; None for a DataLoader, whose collate_fn may
        change them.
        """
        return self._targets if self._loader is None else None

    @property
    def generators(self) -> list[torch.Generator]:
        """The DataLoader's own generators of random numbers, which an epoch moves on."""
        owners = (
            self._loader,
            getattr(self._loader, "sampler", None),
            getattr(getattr(self._loader, "batch_sampler", None), "sampler", None),
        )
        found = (getattr(owner, "generator", None) for owner in owners)
        return [g for g in found if isinstance(g, torch.Generator)]

    @property
    def outputs(self) -> int:
        """Numbers in one target; 1 where targets are not held as a tensor."""
        return 1 if self.targets is None else self.targets[0].numel()

    def _held(self, which: int) -> Tensor | None:
        if self._loader is None:
            return (self._inputs, self._targets)[which]
        dataset = self._loader.dataset
        return dataset.tensors[which] if isinstance(dataset, TensorDataset) else None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self._epoch()

    def _epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._loader is not None:
            for batch in self._loader:
                inputs, targets = _two(batch)
                yield inputs.to(self._device), targets.to(self._device)
        elif self.full:
            yield self._inputs, self._targets
        else:
            order = torch.randperm(self.examples, generator=self._generator).to(self._device)
            for rows in order.split(self.batch_size):
                yield self._inputs[rows], self._targets[rows]


def _length(loader: DataLoader) -> int:
    """Batches in one pass over a DataLoader."""
    try:
        length = len(loader)
    except TypeError as error:
        raise TypeError(
            "the DataLoader's data set has no length, so an epoch has none; "
            "try a data set with __len__."
        ) from error
    if length == 0:
        raise ValueError("the DataLoader is empty; pass at least one example.")
    return length


def _two(batch: Any) -> tuple[Tensor, Tensor]:
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        if all(hasattr(part, "to") for part in batch):
            return batch[0], batch[1]
        raise TypeError(
            "the DataLoader must yield tensors, got "
            f"{' and '.join(type(part).__name__ for part in batch)}; try a collate_fn that "
            "returns two tensors."
        )
    raise TypeError(
        f"the DataLoader must yield (inputs, targets), got {type(batch).__name__}"
        f"{f' of {len(batch)}' if isinstance(batch, (tuple, list)) else ''}; "
        "try a collate_fn that returns the two."
    )


def _pair(data: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    try:
        inputs, targets = data
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"data must be (inputs, targets) or a DataLoader, got {type(data).__name__}; "
            "try fit(model, (x, y), ...)."
        ) from error
    inputs, targets = _tensor("inputs", inputs), _tensor("targets", targets)
    if len(inputs) == 0:
        raise ValueError("the data are empty; pass at least one example.")
    if len(inputs) != len(targets):
        raise ValueError(
            f"inputs and targets differ in length: {len(inputs)} and {len(targets)}; "
            "pass one target per example."
        )
    return inputs.to(device), targets.to(device)


def _tensor(name: str, values: Any) -> Tensor:
    tensor = torch.as_tensor(np.asarray(values) if not isinstance(values, Tensor) else values)
    if tensor.ndim == 0:
        raise ValueError(f"{name} must hold one row per example, got a scalar.")
    if tensor.is_floating_point():
        if tensor.dtype == torch.float64 and not isinstance(values, Tensor):
            tensor = tensor.to(torch.get_default_dtype())
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise ValueError(
                f"{name} hold {bad} non-finite values; remove or impute them before training."
            )
    return tensor
