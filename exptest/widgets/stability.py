"""How large a step: two weights, two modes, and a rate around 2/λ_max."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from exptest.plots.stability import plot_mode_losses, plot_paths, plot_sgd_runs
from exptest.widgets.controls import counter, log_slider, slider, switch
from exptest.widgets.explorer import Explorer
from exptest.widgets.stability_descent import BEST, FullBatchRun, MiniBatchRuns, N, TwoModes

# The losses shown, the same whatever the settings: a dragged slider moves the curves alone.
FULL_BATCH, MINI_BATCHES = (1e-8, 1e3), (1e-5, 1e2)


class StabilityExplorer(Explorer):
    """Descent on a loss of two weights, one steep and one flat direction.

    Left: the weights on the contours of the loss. Right: the loss of each mode, measured (dots)
    and predicted (lines); with mini-batches several runs, their mean and the exact expectation.
    Momentum is for the full batch alone: theory has no mini-batches with it here.

    Claims C2.1, C2.5 and C3.4 to C3.6.
    """

    title = "How large a step"
    size = (960, 460)

    multiple = slider(0.95, 0.05, 1.3, "η as part of 2/λ_max")
    condition = log_slider(10.0, 1.0, 50.0, "condition number κ")
    steps = counter(60, 10, 200, "steps")
    momentum = slider(0.0, 0.0, 0.95, "momentum")
    mini_batches = switch(False, "mini-batches")
    batch_size = counter(4, 1, N, "batch size")
    seed = counter(0, 0, 20, "seed of batches")

    margins: ClassVar[dict[str, float]] = {
        **Explorer.margins,
        "right": 0.965,
        "bottom": 0.13,
        "top": 0.85,
    }

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        for name in ("batch_size", "seed"):
            source, target = (self, "mini_batches"), (self.controls[name], "disabled")
            traitlets.dlink(source, target, lambda on: not on)
        traitlets.dlink((self, "mini_batches"), (self.controls["momentum"], "disabled"))

    def compute(self) -> FullBatchRun | MiniBatchRuns:
        """Run the descent and predict it."""
        problem = TwoModes.of(self.condition)
        if self.mini_batches:
            return MiniBatchRuns.of(problem, self.multiple, self.batch_size, self.steps, self.seed)
        return FullBatchRun.of(problem, self.multiple, self.momentum, self.steps)

    def draw(self, result: FullBatchRun | MiniBatchRuns) -> None:
        """Weights on the left, losses on the right."""
        weights, losses = self.canvas.figure.subplots(1, 2, width_ratios=(1, 1.15))
        directions = result.problem.V
        hessian = directions * result.problem.eigenvalues @ directions.T
        if isinstance(result, MiniBatchRuns):
            plot_paths(hessian, directions, BEST, result.paths, weights)
            plot_sgd_runs(result.losses, result.expected, result.floor, losses)
            losses.set_ylim(MINI_BATCHES)
        else:
            plot_paths(hessian, directions, BEST, result.path[None], weights)
            plot_mode_losses(result.measured, result.predicted, losses)
            losses.set_ylim(FULL_BATCH)

    def explain(self, result: FullBatchRun | MiniBatchRuns) -> str:
        """Return what η does to the modes, or to the mean of the runs."""
        return result.summary()
