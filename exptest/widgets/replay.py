"""ReplayLab: the decisions that ExpTest would have taken on a curve of one's own."""

from __future__ import annotations

import re
from os import PathLike
from typing import Any, ClassVar

import ipywidgets as widgets
import numpy as np
import traitlets
from jaxtyping import Float

from exptest.plots.tuner import plot_decision, plot_learning_rate, plot_signal
from exptest.record import Record
from exptest.recorded import Log, LogFile, open_log, read_log, read_losses, replay
from exptest.widgets import controls
from exptest.widgets.controls import choice, counter, log_slider, slider
from exptest.widgets.explorer import Explorer
from exptest.widgets.wording import complaint, plain, told


class ReplayLab(Explorer):
    """Upload or paste a loss curve and step through the decisions.

    Args:
        losses: list, array, Series, tensor or the path of a log, as for `exptest.replay`; an
            example if None.
        column: the log's column of losses, if several could be meant.

    Raises:
        ValueError, TypeError, FileNotFoundError: as `exptest.replay`.

    >>> lab = ReplayLab([0.5**t for t in range(40)], max_lr=0.5)
    >>> lab.join()
    >>> lab.sentence().partition(" (")[0]
    'step 31: keep η = 0.5, because the last 32 losses decay exponentially'
    >>> lab.close()
    """

    title = "Replay"
    size = (960, 480)
    margins: ClassVar[dict[str, float]] = {
        "left": 0.075, "right": 0.98, "bottom": 0.115, "top": 0.9, "wspace": 0.2, "hspace": 0.12,
    }  # fmt: skip

    max_lr = log_slider(0.1, 1e-5, 10.0, "start rate η_max")
    alpha = slider(0.05, 0.001, 0.5, "level α", step=0.001, form=".3f")
    beta = slider(0.33, 0.05, 0.95, "factor β")
    method = choice("calibrated", ("calibrated", "paper"), "method")
    path_ratio = slider(1.0, 1.0, 20.0, "path ratio ρ", step=0.1)
    every = counter(1, 1, 1000, "steps per loss")
    shown = counter(1, 1, 100_000, "decision")

    losses = traitlets.Instance(np.ndarray)

    def __init__(self, losses: Any = None, *, column: str | None = None, **state: Any) -> None:
        is_path = isinstance(losses, str | PathLike)
        self._log: Log | None = read_log(losses, column=column) if is_path else None
        taken = losses if self._log is None else self._log.losses
        self.set_trait("losses", example() if taken is None else read_losses(taken))
        self._replayed: tuple[tuple[Any, ...], Record] | None = None
        self._file: LogFile | None = None
        super().__init__(**state)
        self.observe(lambda _: self._taken(), "losses")
        self.observe(lambda _: self._describe(), "every")
        self._describe()

    def step(self, by: int = 1) -> None:
        """Show the next decision, or one further back."""
        last = 1 if self.result is None else max(len(self.result.decisions), 1)
        self.shown = min(max(self.shown + by, 1), last)

    def compute(self) -> Record:
        """Run the tuner over the curve, unless it has just done that."""
        settings = {name: getattr(self, name) for name in ("alpha", "beta", "method", "every")}
        known = (id(self.losses), self.max_lr, self.path_ratio, *settings.values())
        if self._replayed is None or self._replayed[0] != known:
            ratio = self.path_ratio if self.path_ratio > 1 else None
            record = replay(self.losses, self.max_lr, path_ratio=ratio, **settings)
            self._replayed = known, record
            self.controls["shown"].max = max(len(record.decisions), 1)
        return self._replayed[1]

    def draw(self, result: Record) -> None:
        """The whole curve and its rates on the left, one decision on the right."""
        grid = self.canvas.figure.add_gridspec(2, 2, height_ratios=(3, 1), width_ratios=(1.2, 1))
        rates = self.canvas.figure.add_subplot(grid[1, 0])
        signal = self.canvas.figure.add_subplot(grid[0, 0], sharex=rates)
        made = len(result.decisions)
        plot_signal(result, signal)
        plot_learning_rate(result, rates)
        signal.set(xlabel="", title=f"{made} decision{'s' * (made != 1)}")
        signal.tick_params(labelbottom=False)
        rates.set_ylabel("rate η")
        if (decision := self._selected(result)) is not None:
            close_up = plot_decision(
                decision, self.losses, self.canvas.figure.add_subplot(grid[:, 1])
            )
            close_up.set_ylabel("")
            close_up.set_title(close_up.get_title(loc="left").replace("  ", "\n"), fontsize=11)
            signal.axvline(decision.step, color="black", linewidth=1, linestyle=":")

    def explain(self, result: Record) -> str:
        """Return why the selected decision was taken."""
        if (decision := self._selected(result)) is not None:
            return decision.reason
        return (
            f"{len(self.losses)} losses do not fill the first window at η = {plain(self.max_lr)}: "
            "raise η_max, or bring a longer curve."
        )

    def _selected(self, result: Record) -> Any:
        decisions = result.decisions
        return decisions[min(self.shown, len(decisions)) - 1] if decisions else None

    # -- bringing a curve --------------------------------------------------------------------

    def paste(self, text: str) -> None:
        """Take the numbers in ``text``, separated by spaces, commas or lines.

        Raises:
            ValueError: something else is among them, or nothing.
        """
        numbers = []
        for part in filter(None, re.split(r"[\s,;\[\]()]+", text.replace("−", "-"))):
            try:
                numbers.append(float(part))
            except ValueError:
                raise ValueError(
                    f"{part!r} is not a number; paste losses like 2.30, 1.87, 1.52."
                ) from None
        self.losses = read_losses(numbers)

    def upload(
        self, content: bytes, *, name: str = "uploaded.csv", column: str | None = None
    ) -> None:
        """Take the losses in a log, and offer its other columns.

        Raises:
            ValueError: as `exptest.recorded.read_log`.
        """
        self._file = file = open_log(content, name=name)
        offered = [
            (found.preview, found.name)
            for found in file.columns
            if found.eligible or found in file.candidates or found.name == column
        ]
        self.column.options = [("which column holds the losses?", None), *offered]
        self.column.layout.display = None if len(offered) > 1 else "none"
        self._take(column)

    def _take(self, column: str | None) -> None:
        if self._file is not None:
            self._log = self._file.read(column)
            self.column.unobserve(self._chosen, "value")
            self.column.value = self._log.column
            self.column.observe(self._chosen, "value")
            self.losses = self._log.losses

    def _children(self) -> list[widgets.Widget]:
        self.uploader = widgets.FileUpload(
            accept=".csv,.tsv,.txt,.log,.dat,.json,.jsonl",
            description="Upload log",
            tooltip="replay a file of losses",
        )
        self.column = widgets.Dropdown(layout=widgets.Layout(width="240px", display="none"))
        self.pasted = widgets.Textarea(
            placeholder="or paste losses: 2.30, 1.87, 1.52, …",
            layout=widgets.Layout(width="320px", height="32px"),
        )
        self.column.tooltip, self.pasted.tooltip = "column of the file", "losses to paste"
        self.complaint, self.note = widgets.HTML(), widgets.HTML()
        take = controls.button("Use pasted", "check", "replay the pasted losses")
        back = controls.button("Previous", "step-backward", "the decision before")
        on = controls.button("Next", "step-forward", "the next decision", style="primary")
        self.uploader.observe(self._uploaded, "value")
        self.column.observe(self._chosen, "value")
        take.on_click(lambda _: self._guarded(lambda: self.paste(self.pasted.value)))
        back.on_click(lambda _: self.step(-1))
        on.on_click(lambda _: self.step())
        return [
            controls.row(self.uploader, self.column, self.pasted, take),
            self.complaint,
            self.note,
            controls.row(*self.controls.values()),
            controls.row(back, on, self._keep),
            self.canvas.image,
            self.words,
        ]

    def _uploaded(self, change: dict[str, Any]) -> None:
        if change["new"]:
            file = change["new"][0]
            self._guarded(lambda: self.upload(bytes(file["content"]), name=file["name"]))

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"] is not None:
            self._guarded(lambda: self._take(change["new"]))

    def _taken(self) -> None:
        self.complaint.value = ""
        self._describe()
        self.refresh()

    def _describe(self) -> None:
        """Say where the losses come from, if from a log."""
        log = self._log
        if log is None or log.losses is not self.losses:
            self.note.value = ""
        else:
            self.note.value = told(log.summary(every=self.every), size="100%")

    def _guarded(self, act: Any) -> None:
        """Say what is wrong with a curve, until one is taken; the one before stays."""
        try:
            act()
        except (ValueError, TypeError, OSError) as error:
            self.complaint.value = complaint(error)


def example() -> Float[np.ndarray, " steps"]:
    """A noisy decay that comes to rest: 800 losses."""
    noise = np.random.default_rng(1).standard_normal(800)
    return 0.5 + 1.5 * np.exp(-np.arange(800) / 40) + 0.03 * noise
