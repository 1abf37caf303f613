"""Which cell shows which panels: a cell that runs again closes those that it showed before."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exptest.widgets.panel import Panel


@dataclass
class Shown:
    """What one run of a cell has shown; ``run`` is the id of the message that asked for it."""

    run: str
    panels: weakref.WeakSet[Panel] = field(default_factory=weakref.WeakSet)


_CELLS: dict[str, Shown] = {}


def note(panel: Panel) -> None:
    """Remember that the cell that is running shows ``panel``."""
    if (here := _running()) is None:
        return
    shell, cell, run = here
    if cell not in _CELLS:
        _CELLS[cell] = Shown(run)
        shell.events.register("post_run_cell", _after_cell)
    if _CELLS[cell].run != run:
        before, _CELLS[cell] = _CELLS[cell], Shown(run)
        _CELLS[cell].panels.add(panel)
        _close_unshown(before)
    _CELLS[cell].panels.add(panel)


def alive() -> list[Panel]:
    """Return the panels that some cell shows."""
    return list({id(panel): panel for shown in _CELLS.values() for panel in shown.panels}.values())


def _after_cell(_: Any) -> None:
    """Close what the cell showed the last time and does not show any more."""
    here = _running()
    if here is not None and here[1] in _CELLS and _CELLS[here[1]].run != here[2]:
        _close_unshown(_CELLS.pop(here[1]))


def _close_unshown(before: Shown) -> None:
    still = {id(panel) for panel in alive()}
    for panel in list(before.panels):
        if id(panel) not in still:
            panel.close()


def _running() -> tuple[Any, str, str] | None:
    """The shell, the cell and the message that runs it; None outside of a notebook's cell."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    parent = kernel.get_parent()
    cell = parent.get("metadata", {}).get("cellId")
    return None if cell is None else (shell, cell, parent["header"]["msg_id"])
