"""The rates of the parameter groups, and who may write them: ExpTest alone."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


class Rates:
    """Write η · ratio · factor into every parameter group, and notice anybody else who writes.

    The ratios are those of the groups' rates when ExpTest was made; the factors come from a
    schedule that is handed over (warm-up, cosine, …), which then counts in updates of its own:
    1 at its ``initial_lr``, or at the ``max_lr`` of a cycle.

    Args:
        optimizer: its groups' rates set the ratios.
        schedule: a torch learning-rate scheduler on this optimizer, or None.

    Raises:
        TypeError, ValueError: no optimizer, no parameters, no positive rate, no such schedule.
    """

    def __init__(self, optimizer: Any, schedule: LRScheduler | None = None) -> None:
        _check(optimizer, schedule)
        self._optimizer: Optimizer = optimizer
        self._schedule = schedule
        rates = _peaks(optimizer, schedule)
        if not max(rates) > 0:
            raise ValueError(
                f"at least one group's lr must be positive (the ratios are kept), got {rates}; "
                "try lr=1.0."
            )
        self._unit = max(rates)
        self.ratios = [rate / self._unit for rate in rates]
        self._scheduled = [float(group["lr"]) for group in optimizer.param_groups]
        self._lr = 0.0
        self._written: list[Any] = []
        self._began = self._schedule_state()

    @property
    def factors(self) -> list[float]:
        """What the schedule multiplies each group's rate by."""
        if self._schedule is None:
            return [1.0] * len(self.ratios)
        own = [ratio * self._unit for ratio in self.ratios]
        return [now / rate if rate else 1.0 for now, rate in zip(self._scheduled, own, strict=True)]

    @property
    def factor(self) -> float:
        """That of the group with the largest rate."""
        return self.factors[self.ratios.index(max(self.ratios))] if self._schedule else 1.0

    def current(self) -> list[float]:
        """Return the rate of every group as last written."""
        pairs = zip(self.ratios, self.factors, strict=True)
        return [self._lr * ratio * factor for ratio, factor in pairs]

    def write(self, lr: float) -> None:
        """Set every group's rate for η = ``lr``."""
        self._lr = lr
        for group, rate in zip(self._optimizer.param_groups, self.current(), strict=True):
            _put(group, rate)
        self._written = [_seal(group["lr"]) for group in self._optimizer.param_groups]

    def check(self) -> None:
        """Raise RuntimeError if a group's rate is not the one last written."""
        for i, (group, seal) in enumerate(zip(self._optimizer.param_groups, self._written)):  # noqa: B905
            if _seal(group["lr"]) == seal:
                continue
            if not math.isclose(float(group["lr"]), self.current()[i], rel_tol=1e-6):
                raise RuntimeError(
                    f"the learning rate of parameter group {i} is {float(group['lr']):.6g}, but "
                    f"ExpTest has set {self.current()[i]:.6g}: something else writes it (a "
                    "scheduler, a trainer, load_state_dict). Remove that, or hand the scheduler "
                    "over, ExpTest(optimizer, schedule=scheduler), and never step it yourself: "
                    "the rate is then η times the schedule's factor."
                )

    def advance(self) -> None:
        """After an update: let the schedule go on, on its own rates, and take its factors."""
        if self._schedule is None:
            return
        groups = self._optimizer.param_groups
        for group, rate in zip(groups, self._scheduled, strict=True):
            _put(group, rate)
        self._schedule.step()
        self._scheduled = [float(group["lr"]) for group in groups]
        self.write(self._lr)

    def restart(self) -> None:
        """Put the schedule back to where it began."""
        if self._began is not None:
            self._load_schedule(self._began)

    def follow(self) -> None:
        """Take in the groups that came since; their rates are in the unit of the first ones.

        Raises:
            ValueError: there is a schedule, which knows nothing of them.
        """
        late = self._optimizer.param_groups[len(self.ratios) :]
        if self._schedule is not None:
            raise ValueError(
                f"{len(late)} parameter groups came after the schedule, which gives them no "
                "factor; make the schedule and ExpTest after the last add_param_group."
            )
        for group in late:
            self.ratios.append(float(group["lr"]) / self._unit)
        self.write(self._lr)

    # -- how they are kept -----------------------------------------------------------------

    def _schedule_state(self) -> dict[str, Any] | None:
        if self._schedule is None:
            return None
        state = copy.deepcopy(self._schedule.state_dict())
        kind = type(self._schedule).__name__
        return {"kind": kind, "schedule": state, "rates": list(self._scheduled)}

    def _load_schedule(self, state: dict[str, Any]) -> None:
        assert self._schedule is not None
        self._schedule.load_state_dict(copy.deepcopy(state["schedule"]))
        self._scheduled = list(state["rates"])

    def state_dict(self) -> dict[str, Any]:
        return {"ratios": list(self.ratios), "now": self._schedule_state(), "began": self._began}

    def check_state(self, state: dict[str, Any]) -> None:
        """Raise ValueError if ``state`` is that of other groups, or only one has a schedule."""
        if len(state["ratios"]) != len(self._optimizer.param_groups):
            raise ValueError(
                f"the saved state has {len(state['ratios'])} parameter groups, the optimizer has "
                f"{len(self._optimizer.param_groups)}; build the optimizer that it was saved with."
            )
        saved, here = (part and part["kind"] for part in (state["now"], self._began))
        if saved != here:
            raise ValueError(
                f"the saved state has schedule = {saved}, this ExpTest {here}; "
                "construct it with the settings it was saved with."
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ratios = list(state["ratios"])
        self._began = state["began"]
        if state["now"] is not None:
            self._load_schedule(state["now"])


def _check(optimizer: Any, schedule: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}; try "
            "torch.optim.SGD(model.parameters(), lr=1.0), and of several make one ExpTest each."
        )
    if not any(group["params"] for group in optimizer.param_groups):
        raise ValueError("the optimizer has no parameters; pass it model.parameters().")
    if schedule is None:
        return
    if not isinstance(schedule, LRScheduler) or isinstance(schedule, ReduceLROnPlateau):
        raise TypeError(
            "schedule must be a torch.optim.lr_scheduler that needs no metric, got "
            f"{type(schedule).__name__}; try LambdaLR, CosineAnnealingLR or None."
        )
    if schedule.optimizer.param_groups is not optimizer.param_groups:
        raise ValueError("the schedule belongs to another optimizer; make it on this one.")


def _peaks(optimizer: Optimizer, schedule: LRScheduler | None) -> list[float]:
    """Each group's rate where its factor is 1: the highest of a cycle, else the first."""
    if schedule is None:
        return [float(group["lr"]) for group in optimizer.param_groups]
    if highest := getattr(schedule, "max_lrs", None):  # CyclicLR
        return [float(rate) for rate in highest]
    groups = optimizer.param_groups
    return [float(group.get("max_lr", group["initial_lr"])) for group in groups]  # OneCycleLR


@torch.no_grad()
def _put(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _seal(rate: Any) -> Any:
    """What changes when a rate is written; of a tensor without reading it from the device."""
    return (id(rate), rate._version) if isinstance(rate, Tensor) else rate
