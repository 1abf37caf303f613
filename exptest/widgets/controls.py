"""Traits that know their control: a panel's state and its widgets are declared in one line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import log, log10
from typing import Any

import ipywidgets as widgets
import traitlets

WIDTH = {"width": "400px"}
LABEL = {"description_width": "150px"}


def slider(
    default: float, low: float, high: float, label: str, *, step: float = 0.01, form: str = ".2f"
) -> Any:
    """A number between ``low`` and ``high``."""
    make = partial(
        widgets.FloatSlider, min=low, max=high, step=step, readout_format=form,
        description=label, style=LABEL, layout=WIDTH,
    )  # fmt: skip
    return traitlets.Float(default, min=low, max=high).tag(control=make)


def log_slider(default: float, low: float, high: float, label: str, *, form: str = ".2r") -> Any:
    """A positive number on a logarithmic scale."""

    make = partial(
        widgets.FloatLogSlider, base=10, min=log10(low), max=log10(high), step=0.02,
        readout_format=form, description=label, style=LABEL,
        layout=WIDTH,
    )  # fmt: skip
    # The slider computes 10^x: its ends are off by a rounding error.
    return traitlets.Float(default, min=low * (1 - 1e-9), max=high * (1 + 1e-9)).tag(control=make)


def counter(default: int, low: int, high: int, label: str, *, step: int = 1) -> Any:
    """A whole number."""
    make = partial(
        widgets.IntSlider, min=low, max=high, step=step,
        description=label, style=LABEL, layout=WIDTH,
    )  # fmt: skip
    return traitlets.Int(default, min=low, max=high).tag(control=make)


def choice(default: Any, options: Sequence[Any], label: str) -> Any:
    """One of several."""
    make = partial(
        widgets.Dropdown, options=[(str(option), option) for option in options],
        description=label, style=LABEL, layout=WIDTH,
    )  # fmt: skip
    return traitlets.Enum(list(options), default).tag(control=make)


def stops(default: Any, options: Sequence[Any], label: str) -> Any:
    """One of several, in order, on a slider."""
    make = partial(
        widgets.SelectionSlider, options=[(str(option), option) for option in options],
        description=label, style=LABEL, layout=WIDTH,
    )  # fmt: skip
    return traitlets.Enum(list(options), default).tag(control=make)


def switch(default: bool, label: str) -> Any:
    """On or off."""
    make = partial(widgets.Checkbox, description=label, style=LABEL, layout=WIDTH)
    return traitlets.Bool(default).tag(control=make)


def build(panel: traitlets.HasTraits) -> dict[str, widgets.Widget]:
    """Return the controls of ``panel``'s traits, by name, linked both ways."""
    controls = {}
    for name in names(type(panel)):
        make = panel.trait_metadata(name, "control")
        controls[name] = make(value=getattr(panel, name))
        _link(panel, name, controls[name])
    return controls


def _link(panel: traitlets.HasTraits, name: str, control: Any) -> None:
    def moved(change: Any) -> None:
        if not _rounded(control, getattr(panel, name), change["new"]):
            setattr(panel, name, change["new"])

    traitlets.dlink((panel, name), (control, "value"))
    control.observe(moved, "value")


def _rounded(control: Any, exact: Any, shown: Any) -> bool:
    """Whether a slider, which stands on steps alone, stands on the one next to ``exact``.

    A browser writes such a value as soon as it shows the slider; nobody has moved it.
    """
    step = getattr(control, "step", None)
    if step is None:
        return False
    if hasattr(control, "base"):
        exact, shown = log(exact, control.base), log(shown, control.base)
    return abs(shown - exact) < step / 2


def names(panel: type[traitlets.HasTraits]) -> list[str]:
    """Return the names of the traits that have a control, in the order of their declaration."""
    declared = [name for kind in reversed(panel.__mro__) for name in vars(kind)]
    traits = panel.class_traits(control=lambda control: control is not None)
    return [name for name in dict.fromkeys(declared) if name in traits]


def button(label: str, icon: str, tooltip: str, *, style: str = "") -> widgets.Button:
    """A button that says what it does."""
    return widgets.Button(
        description=label, icon=icon, tooltip=tooltip, button_style=style,
        layout=widgets.Layout(width="auto"),
    )  # fmt: skip


def row(*children: widgets.Widget) -> widgets.Box:
    """Children side by side, in as many lines as it takes."""
    layout = widgets.Layout(display="flex", flex_flow="row wrap", grid_gap="2px 8px", width="100%")
    return widgets.Box(list(children), layout=layout)
