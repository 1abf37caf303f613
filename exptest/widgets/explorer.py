"""A panel whose picture is a function of its settings: compute, then draw."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from exptest.plots.style import project_style
from exptest.widgets.canvas import DRAWING
from exptest.widgets.panel import Panel
from exptest.widgets.wording import told


class Explorer(Panel):
    """Redraws whenever a setting changes; of many changes in a row only the last is drawn.

    Subclasses define `compute`, pure, from the settings; `draw`, which fills the figure with
    functions of `exptest.plots`; and `explain`, one sentence on the result.
    """

    margins: ClassVar[dict[str, float]] = {
        "left": 0.075, "right": 0.985, "bottom": 0.17, "top": 0.91, "wspace": 0.24, "hspace": 0.35,
    }  # fmt: skip

    result: Any = None

    @abstractmethod
    def compute(self) -> Any:
        """Return everything that the picture shows."""

    @abstractmethod
    def draw(self, result: Any) -> None:
        """Fill ``self.canvas.figure``, which is empty."""

    @abstractmethod
    def explain(self, result: Any) -> str:
        """Return one plain sentence, numbers in it."""

    def sentence(self) -> str:
        """Return what the picture shows, in one plain sentence."""
        return "" if self.result is None else self.explain(self.result)

    def _work(self) -> bool:
        result = self.compute()
        with DRAWING, project_style():
            self.canvas.figure.clear()
            self.draw(result)
            self.canvas.figure.subplots_adjust(**self.margins)
            self.canvas.draw()
            self.canvas.show()
        self.result = result
        self.words.value = told(self.explain(result))
        return False
