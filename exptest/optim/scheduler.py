"""ExpTest around any torch optimizer, used like a learning-rate scheduler."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from exptest.optim.gradient_path import GradientPath
from exptest.optim.observations import Observations
from exptest.optim.ranks import agree, local, mean_over_ranks
from exptest.optim.rates import Rates
from exptest.optim.restarts import Restart, Restarts
from exptest.optim.saved import checked, described
from exptest.optim.updates import Updates
from exptest.record import Decision, Record
from exptest.tuner import Tuner


class ExpTest:
    """Choose the learning rate of ``optimizer`` from the training losses.

    Call ``step(loss)`` after ``optimizer.step()`` and before ``zero_grad()``. The rates of the
    parameter groups change in place and keep their ratios; the largest follows the tuner.
    Between the ends of windows nothing waits for the device.

    Under `torch.distributed` all ranks train one model: each calls ``step`` with its own loss,
    equally often, and saves its own state. They exchange losses where a window needs them, never
    per step (see `exptest.optim.ranks`); until then the record lacks them.

    Args:
        optimizer: any torch optimizer; its rates are replaced by ``max_lr`` at once.
        max_lr: where the search begins, see `exptest.linearized.max_learning_rate`.
        alpha, beta, method, min_lr, min_window, divergence_factor, period: as for `Tuner`.
        path_correction: lengthen windows by the path ratio ρ; False for full-batch training.
        restart: what happens to the weights when the search rejects a rate. ``"initial"``:
            parameters, optimizer state and, given ``model``, buffers go back to where they
            were before the first update. None: they stay. A function: it is called, and must
            change parameters in place. While tuning, weights stay, except that a divergence
            (calibrated) goes back to the start of its window under ``"initial"``, or calls the
            function.
        model: gives the buffers to restart (batch-norm statistics and the like).
        loss_floor: the smallest value the loss can take, as for `Tuner`.
        schedule: a torch scheduler on this optimizer whose factor multiplies η (a warm-up, a
            cosine); never step it yourself. Nobody but ExpTest may write the rates.
        on_restart: called with the decision after weights went back, to reset what follows
            them: an average of the weights, a gradient scaler.

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

    Claims C7.1 to C7.6, C7.14 and C7.15.
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
        loss_floor: float = 0.0,
        period: int = 1,
        schedule: LRScheduler | None = None,
        on_restart: Callable[[Decision], Any] | None = None,
    ) -> None:
        rates = Rates(optimizer, schedule)
        restarts = Restarts(optimizer, model, restart, on_restart)
        self.tuner = Tuner(
            max_lr,
            alpha=alpha,
            beta=beta,
            method=method,
            min_lr=min_lr,
            min_window=min_window,
            divergence_factor=divergence_factor,
            loss_floor=loss_floor,
            period=period,
        )
        self.optimizer = optimizer
        self._rates = rates
        self._observations = Observations()
        self._restarts = restarts
        self._path = GradientPath(optimizer) if path_correction else None
        self._agreed = False
        self._updates = Updates(optimizer, self._before_update, self._after_update)
        self._rates.write(self.tuner.lr)

    # -- what it shows ---------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """All losses and decisions so far."""
        return self.tuner.record

    @property
    def next_decision_in(self) -> int | None:
        """Updates until the window ends, at least (ρ may lengthen it); None before the first."""
        return self.tuner.next_decision_in

    def get_last_lr(self) -> list[float]:
        """Return the current rate of every parameter group."""
        return self._rates.current()

    # -- what it does ----------------------------------------------------------------------

    def _before_update(self) -> None:
        """The optimizer is about to step: its rates must be ours, its groups known."""
        self._follow()
        self._rates.check()
        self._restarts.begin()

    def _follow(self) -> None:
        """Take in groups that have been added (a gradual unfreezing)."""
        if len(self.optimizer.param_groups) != len(self._rates.ratios):
            self._rates.follow()
            self._restarts.follow()

    def _after_update(self) -> None:
        """The optimizer has stepped: take its gradients over the window's first N − 1 steps."""
        if self._path is not None and self.tuner.measuring:
            self._path.add()

    def step(self, loss: Tensor | float) -> Decision | None:
        """Take the loss of the step just made; return the decision if one was taken.

        Call it once for every loss that is differentiated. Losses between two updates (an
        accumulation) are averaged into one observation.

        Args:
            loss: scalar training loss, computed before this step's update, loss units.

        Raises:
            TypeError, ValueError: the loss is not a scalar, or below ``loss_floor`` before a
                window has ended; it is not counted, and the weights are where they began.
            RuntimeError: somebody else writes the rates; the optimizer has made several updates
                since the last loss; the weights are not finite and nothing restores them.
        """
        scalar = _scalar(loss)
        made = self._updates.taken()
        self._follow()
        self._rates.check()
        if not self._agreed:
            self._agree()
        probe = None if made or self._path is None else self._path.norm()
        self._observations.put(scalar, updated=made, factor=self._rates.factor, probe=probe)
        if made:
            self._rates.advance()
        return self._observe()

    def _agree(self) -> None:
        """Once: ranks whose windows end at different steps would wait for each other for ever."""
        tuner, path = self.tuner.state_dict(), self._path is not None
        steps = tuner["steps"] + self._observations.waiting
        own = {"path_correction": path, "steps": steps}
        agree({**tuner["settings"], **tuner["machine"], **own})
        self._agreed = True

    def _due(self) -> bool:
        """Whether the losses on their way are as many as the tuner needs to look at them."""
        return self._observations.waiting >= self.tuner.attention_in

    def _observe(self) -> Decision | None:
        """Hand the tuner the losses that have arrived; act on its decision.

        On an accelerator a divergence is seen a few steps late; those steps are dropped.
        """
        ratio, decision = None if self._path is None else self._ratio, None
        for value, factor in self._observations.arrived(wait=self._due):
            try:
                made = self.tuner.observe(
                    value, path_ratio=ratio, factor=factor, broken=self._broken
                )
            except ValueError:
                if not self.record.decisions:
                    self._restarts.undo()
                raise
            decision = made or decision
            if made and made.verdict != "undecided":
                self._observations.clear()
                self._apply(made)
                break
        return decision

    def _ratio(self) -> float:
        assert self._path is not None
        return mean_over_ranks([self._path.ratio()])[0]

    @torch.no_grad()
    def _broken(self) -> bool:
        """Whether a weight is not finite, on any rank."""
        groups = self.optimizer.param_groups
        weights = [p for group in groups for p in group["params"]]
        own = any(not torch.isfinite(local(p)).all() for p in weights)
        return mean_over_ranks([float(own)])[0] > 0

    def _forget_gradients(self) -> None:
        """Those of an accumulation that is under way were taken at weights that are gone."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def _apply(self, decision: Decision) -> None:
        if decision.restarts:
            self._rates.restart()
        lost = decision.restarts or decision.kind == "divergence"
        if lost and self._restarts.go_back(decision):
            self._forget_gradients()
        self._rates.write(self.tuner.lr)
        if decision.rejected and self._broken():
            raise RuntimeError(
                f"{decision} The weights are not finite, and nothing restores them: pass "
                "restart='initial', or a function that does, or load a checkpoint."
            )
        if not decision.restarts:  # else it begins where training did
            self._restarts.begin_window()
        if self._path is not None:
            same_rate = decision.lr_after == decision.lr_before
            self._path.begin_window(keep=self.tuner.method == "paper" and same_rate)

    # -- how it is kept --------------------------------------------------------------------

    def _parts(self) -> dict[str, Any]:
        """What is kept beside the tuner, each with check_state and load_state_dict."""
        return {
            "rates": self._rates,
            "observations": self._observations,
            "restarts": self._restarts,
            "path": self._path,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides what comes next, mid-window too (plain types and tensors).

        Load it beside the model's and the optimizer's own states. A ``restart`` function is
        code and not part of it.
        """
        self._follow()
        parts = {k: part.state_dict() if part else None for k, part in self._parts().items()}
        return {
            "tuner": self.tuner.state_dict(),
            "optimizer": described(self.optimizer),
            **parts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, bit for bit.

        Raises:
            ValueError: it is no such state, or one of another model, optimizer or settings;
                nothing has been changed then.
        """
        self.tuner = checked(state, self.state_dict(), self._parts())
        for name, part in self._parts().items():
            if part is not None:
                part.load_state_dict(state[name])
        self._updates.forget()
        self._agreed = False
        self._rates.write(self.tuner.lr)


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
