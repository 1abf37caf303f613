"""ExpTest around any torch optimizer, used like a learning-rate scheduler."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from exptest.optim.gradient_path import GradientPath
from exptest.optim.loss_stream import LossStream
from exptest.optim.snapshot import Snapshot
from exptest.record import Decision, Record
from exptest.tuner import Tuner

Restart = Literal["initial"] | None | Callable[[], Any]


class ExpTest:
    """Choose the learning rate of ``optimizer`` from the training losses.

    Call ``step(loss)`` after ``optimizer.step()`` and before ``zero_grad()``. The rates of the
    parameter groups change in place and keep their ratios; the largest follows the tuner.
    Between the ends of windows nothing waits for the device.

    Args:
        optimizer: any torch optimizer; its rates are replaced by ``max_lr`` at once.
        max_lr: where the search begins, see `exptest.linearized.max_learning_rate`.
        alpha, beta, method, min_lr, min_window, divergence_factor: as for `Tuner`.
        path_correction: lengthen windows by the path ratio ρ; False for full-batch training.
        restart: what happens to the weights when the search rejects a rate. ``"initial"``:
            parameters, optimizer state and, given ``model``, buffers go back to where they
            were now. None: they stay. A function: it is called, and must change parameters in
            place. While tuning, weights stay, except that a divergence (calibrated) goes back
            to the start of its window under ``"initial"``, or calls the function.
        model: gives the buffers to restart (batch-norm statistics and the like).

    Raises:
        TypeError, ValueError: an argument is out of range; nothing has been changed then.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> sgd = torch.optim.SGD([weight], lr=1.0)
    >>> exptest = ExpTest(sgd, max_lr=0.25, min_window=8, path_correction=False)
    >>> for _ in range(8):
    ...     sgd.zero_grad()
    ...     loss = weight.square().sum()
    ...     loss.backward()
    ...     sgd.step()
    ...     decision = exptest.step(loss)
    >>> decision.accepted, exptest.get_last_lr()
    (True, [0.25])

    Claims C7.1 to C7.6.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        max_lr: float,
        alpha: float = 0.05,
        beta: float = 0.33,
        method: str = "calibrated",
        path_correction: bool = True,
        restart: Restart = "initial",
        model: nn.Module | None = None,
        min_lr: float | None = None,
        min_window: int | None = None,
        divergence_factor: float = 10.0,
    ) -> None:
        ratios = _rate_ratios(optimizer)
        if not (restart is None or restart == "initial" or callable(restart)):
            raise ValueError(
                f"restart must be 'initial', None or a function, got {restart!r}; try 'initial'."
            )
        if model is not None and not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
        self.tuner = Tuner(
            max_lr,
            alpha=alpha,
            beta=beta,
            method=method,
            min_lr=min_lr,
            min_window=min_window,
            divergence_factor=divergence_factor,
        )
        self.optimizer = optimizer
        self._ratios = ratios
        self._restart = restart
        self._losses = LossStream()
        self._initial = Snapshot(optimizer, model) if restart == "initial" else None
        self._window_start = Snapshot(optimizer, model)
        self._path = (
            GradientPath(optimizer, self._window_start.parameters) if path_correction else None
        )
        self._set_lr()

    # -- what it shows ---------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """All losses and decisions so far."""
        return self.tuner.record

    def get_last_lr(self) -> list[float]:
        """Return the current rate of every parameter group."""
        return [self.tuner.lr * ratio for ratio in self._ratios]

    # -- what it does ----------------------------------------------------------------------

    def step(self, loss: Tensor | float) -> Decision | None:
        """Take the loss of the step just made; return the decision if one was taken.

        Args:
            loss: scalar training loss, computed before this step's update, loss units.

        Raises:
            TypeError, ValueError: the loss is not a scalar; it is not counted.
            RuntimeError: the optimizer has got more parameter groups since.
        """
        if len(self.optimizer.param_groups) != len(self._ratios):
            raise RuntimeError(
                f"the optimizer had {len(self._ratios)} parameter groups when ExpTest was made, "
                f"now it has {len(self.optimizer.param_groups)}; make ExpTest after the last "
                "add_param_group."
            )
        self._losses.put(_scalar(loss))
        waiting = len(self._losses)
        if self._path is not None and self._measures(waiting):
            self._path.add()
        return self._observe(wait=waiting >= self.tuner.attention_in)

    def _observe(self, *, wait: bool) -> Decision | None:
        """Hand the tuner the losses that have arrived; act on its decision.

        On an accelerator a divergence is seen a few steps late; those steps are dropped.
        """
        ratio = self._path.ratio if self._path is not None else None
        for value in self._losses.arrived(wait=wait):
            if decision := self.tuner.observe(value, path_ratio=ratio):
                self._losses.clear()
                self._apply(decision)
                return decision
        return None

    def _measures(self, waiting: int) -> bool:
        """Whether the step just made is one of the window's first N − 1."""
        return self.tuner.measuring and (
            self.tuner.initial_loss is None or waiting <= self.tuner.attention_in
        )

    def _apply(self, decision: Decision) -> None:
        self._set_lr()
        if decision.restarts or decision.kind == "divergence":
            self._go_back(decision)
        self._window_start.take()
        if self._path is not None:
            same_rate = decision.lr_after == decision.lr_before
            self._path.begin_window(keep=self.tuner.method == "paper" and same_rate)

    def _go_back(self, decision: Decision) -> None:
        if callable(self._restart):
            self._restart()
        elif self._initial is not None and decision.restarts:
            self._initial.restore()
        elif self._initial is not None:
            self._window_start.restore()

    @torch.no_grad()
    def _set_lr(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    # -- how it is kept --------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides what comes next, mid-window too (plain types and tensors).

        Load it beside the model's and the optimizer's own states. A ``restart`` function is
        code and not part of it.
        """
        self._observe(wait=True)
        return {
            "tuner": self.tuner.state_dict(),
            "ratios": list(self._ratios),
            "initial": self._initial.state_dict() if self._initial else None,
            "window_start": self._window_start.state_dict(),
            "path": self._path.state_dict() if self._path else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, bit for bit.

        Raises:
            ValueError: it is no such state, or one of another model or of other settings;
                nothing has been changed then.
        """
        if missing := {"tuner", "ratios", "initial", "window_start", "path"} - set(state):
            raise ValueError(
                f"the state lacks {', '.join(sorted(missing))}; pass what state_dict() returned."
            )
        for name, own in (("initial", self._initial), ("path", self._path)):
            if (state[name] is None) != (own is None):
                option = {"initial": "restart='initial'", "path": "path_correction"}[name]
                raise ValueError(
                    f"the saved state and this ExpTest differ in {option}; "
                    "construct it with the settings it was saved with."
                )
        self._window_start.check(state["window_start"])
        self.tuner = Tuner.from_state_dict(state["tuner"])
        self._ratios = list(state["ratios"])
        if self._initial is not None:
            self._initial.load_state_dict(state["initial"])
        self._window_start.load_state_dict(state["window_start"])
        if self._path is not None:
            self._path.load_state_dict(state["path"])
        self._losses = LossStream()
        self._set_lr()


def _rate_ratios(optimizer: Any) -> list[float]:
    """Each group's rate over the largest one, checked."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}; "
            "try torch.optim.SGD(model.parameters(), lr=1.0)."
        )
    if not any(group["params"] for group in optimizer.param_groups):
        raise ValueError("the optimizer has no parameters; pass it model.parameters().")
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if not max(rates) > 0:
        raise ValueError(
            f"at least one group's lr must be positive (the ratios are kept), got {rates}; "
            "try lr=1.0."
        )
    return [rate / max(rates) for rate in rates]


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor):
        if not isinstance(loss, Real):
            raise TypeError(
                f"loss must be a scalar tensor or a float, got {type(loss).__name__}; "
                "try loss_fn(outputs, targets)."
            )
        return torch.tensor(float(loss), dtype=torch.float64)
    if loss.numel() != 1:
        raise ValueError(f"loss must be a scalar, got shape {tuple(loss.shape)}; try loss.mean().")
    if loss.is_complex():
        raise TypeError(f"loss must be real, got {loss.dtype}; try loss.abs().")
    return loss
