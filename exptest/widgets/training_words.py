"""What TrainingLab says beside its picture: where the run is, and its latest decisions."""

from __future__ import annotations

import ipywidgets as widgets

from exptest.widgets.training_run import WatchedRun

ROWS = 6


def line(text: str) -> str:
    """One line of text."""
    return f"<span style='font-size:110%'>{text}</span>"


def put(widget: widgets.HTML, value: str) -> None:
    """Set a text only if it changed: nothing is sent otherwise."""
    if widget.value != value:
        widget.value = value


def status(run: WatchedRun, limit: int) -> str:
    """Phase, rate, step, window and the latest measurement in one line."""
    tuner, steps = run.tuner, len(run.losses)
    parts = [
        f"<b>{'searching' if tuner.phase == 'search' else 'tuning'}</b>",
        f"η = <b>{tuner.lr:.4g}</b>",
        f"step {steps}" + (" (the limit)" if steps >= limit else ""),
    ]
    if tuner.window is not None:
        parts.append(f"window: {steps - run.start} of {tuner.window}")
        parts[-1] += f", grown from {tuner.window >> run.looks}" if run.looks else ""
    if run.measured is not None:
        accuracy = run.task.metric == "accuracy"
        parts.append(f"test {'accuracy' if accuracy else 'loss'} {run.measured:.3g}")
        parts[-1] += " %" if accuracy else ""
    return line(" &nbsp;·&nbsp; ".join(parts))


def table(run: WatchedRun) -> str:
    """The latest decisions, newest first."""
    rows = "".join(
        f"<tr><td>{d.step}</td><td>{d.window}</td><td>{d.kind}</td>"
        f"<td>{'–' if d.test is None else format(d.pvalue, '.2g')}</td>"
        f"<td>{d.verdict}</td><td>{d.lr_after:.4g}</td></tr>"
        for d in run.decisions[: -ROWS - 1 : -1]
    )
    if not rows:
        return ""
    head = "".join(f"<th>{h}</th>" for h in ("step", "window", "test", "p", "verdict", "η after"))
    shown, made = min(ROWS, len(run.decisions)), len(run.decisions)
    return (
        "<table style='border-spacing:14px 1px;text-align:right'>"
        f"<caption style='text-align:left'>{shown} of {made} decisions, newest first</caption>"
        f"<tr>{head}</tr>{rows}</table>"
    )
