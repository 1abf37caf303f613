"""A run of TrainingLab as a file or as code."""

from __future__ import annotations

import html
from pathlib import Path

from exptest.plots.tuner import plot_run
from exptest.widgets.canvas import DRAWING
from exptest.widgets.training_run import WatchedRun
from exptest.widgets.training_words import line


def write_csv(run: WatchedRun, path: str | Path) -> Path:
    """Write one row per step, ``loss`` and ``lr``: `exptest.replay` reads it."""
    import pandas as pd

    record = run.record()
    table = pd.DataFrame({"loss": record.losses, "lr": record.lrs})
    table.to_csv(path, index_label="step")
    return Path(path)


def write_figure(run: WatchedRun, path: str | Path) -> Path:
    """Write the whole run as a picture, PNG or SVG by the name's ending."""
    import matplotlib.pyplot as plt

    record = run.record()
    with DRAWING:
        figure = plot_run(record)
        try:
            figure.savefig(path)
        finally:
            plt.close(figure)
    return Path(path)


def export(run: WatchedRun | None, kind: str) -> str:
    """Write a file named after the run, or give its code; return what to say of it, as HTML."""
    if run is None or not run.losses:
        return line("Nothing to export yet: press Play first.")
    if kind == "code":
        return f"<pre>{html.escape(run.code())}</pre>"
    stem = "-".join(run.settings.task.replace(":", "").replace(",", "").split())
    path = Path(f"exptest-{stem}-seed{run.settings.seed}.{kind}")
    try:
        write_csv(run, path) if kind == "csv" else write_figure(run, path)
    except OSError as error:
        return line(f"Not written: {html.escape(str(error))}")
    return line(f"Written: {html.escape(str(path.resolve()))}")
