"""What every widget shares: state in traits, one worker, a picture, words, and a plain ending."""

from __future__ import annotations

import atexit
import base64
import os
import sys
import uuid
import weakref
from abc import ABCMeta, abstractmethod
from typing import Any

import ipywidgets as widgets
import traitlets

from exptest.saved_pictures import MARK, VIEW
from exptest.widgets import cells, controls
from exptest.widgets.canvas import Canvas
from exptest.widgets.wording import complaint
from exptest.widgets.worker import Worker

# No thread of theirs may outlive the interpreter.
_OPEN: weakref.WeakSet[Panel] = weakref.WeakSet()


class _AbstractTraits(traitlets.MetaHasTraits, ABCMeta):
    """Traits, and methods that a subclass must have."""


class Panel(traitlets.HasTraits, metaclass=_AbstractTraits):
    """A picture with controls. Set its traits from Python or move its controls: it redraws.

    Displayed where nobody can press a button (nbconvert, nbval), a panel is its picture.
    In JupyterLab it is live until `freeze` leaves a plain picture in its place.

    Subclasses define `_work`, which runs on the panel's one thread, and `sentence`.

    Raises:
        TypeError: an argument that is no trait of the panel.
        traitlets.TraitError: a value out of its range.
    """

    title = "panel"
    size = (960, 480)

    def __init__(self, **state: Any) -> None:
        known = controls.names(type(self))
        if unknown := sorted(set(state) - set(known)):
            raise TypeError(
                f"{type(self).__name__} has no setting {unknown[0]!r}; try one of "
                f"{', '.join(sorted(known))}."
            )
        super().__init__(**state)
        self.canvas = Canvas(*self.size)
        self.controls = controls.build(self)
        self.words = widgets.HTML()
        self.worker = Worker(self._work, self._show_error, f"exptest {type(self).__name__}")
        self._keep = controls.button(
            "Keep picture", "camera", "stop, and leave a plain picture in the notebook"
        )
        self._keep.on_click(lambda _: self.freeze())
        self._display_id = uuid.uuid4().hex
        self._displayed = self._closed = False
        self.box = widgets.VBox(self._children())
        _OPEN.add(self)
        self.observe(lambda change: self._changed(change["name"]), known)
        self.refresh()

    # -- for subclasses ----------------------------------------------------------------------

    def _children(self) -> list[widgets.Widget]:
        settings = controls.row(*self.controls.values(), self._keep)
        return [settings, self.canvas.image, self.words]

    def _changed(self, name: str) -> None:
        self.refresh()

    @abstractmethod
    def _work(self) -> bool:
        """Do a little on the panel's thread; return whether there is more to do at once."""

    @abstractmethod
    def sentence(self) -> str:
        """Return what the picture shows, in one plain sentence."""

    # -- for everyone ------------------------------------------------------------------------

    def refresh(self) -> None:
        """Ask for a new picture; returns at once."""
        self.worker.wake()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the picture is up to date; raise what went wrong while drawing it."""
        self.worker.join(timeout)

    def freeze(self) -> None:
        """Stop, and put a plain picture where the panel was."""
        self._still()
        if not self._closed and self._displayed:
            self._show(live=False, update=True)
        self.close()

    def close(self) -> None:
        """Stop the thread and let go of the widgets; twice is once."""
        self._still()
        if not self._closed:
            self._closed = True
            for widget in _tree(self.box):
                for part in (widget, widget.layout, getattr(widget, "style", None)):
                    if isinstance(part, widgets.Widget):
                        part.close()

    def _still(self) -> None:
        """Stop the thread, and the controls that write by themselves or under a hand.

        A front end that writes to a closed widget raises an error. Messages keep their order, and
        a control that is out of sight hears no more: so this comes first.
        """
        self.worker.stop()
        for widget in _tree(self.box):
            for name, still in (("playing", False), ("disabled", True)):
                if widget.has_trait(name):
                    setattr(widget, name, still)

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.sentence()}"

    def _ipython_display_(self, **_: Any) -> None:
        live = someone_watches() and not self._closed
        cells.note(self)
        self._await_picture(live=live)
        self._displayed = self._displayed or live
        self._show(live=live)

    def _await_picture(self, *, live: bool) -> None:
        """Wait until there is something to show."""
        self.join()

    def _show(self, *, live: bool, update: bool = False) -> None:
        from IPython.display import display

        png = self.canvas.picture(self.sentence())
        bundle: dict[str, Any] = {
            "text/plain": str(self),
            "image/png": base64.b64encode(png).decode(),
        }
        if live:
            bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        display(
            bundle, metadata={MARK: "panel"}, raw=True, display_id=self._display_id, update=update
        )

    def _show_error(self, error: BaseException) -> None:
        self.words.value = complaint(error)


def someone_watches() -> bool:
    """Whether this kernel belongs to a notebook in a browser or an editor."""
    editors = {"JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD"}
    return bool(editors & set(os.environ)) or "google.colab" in sys.modules


def _tree(widget: widgets.Widget) -> list[widgets.Widget]:
    found = [widget]
    for child in getattr(widget, "children", ()):
        found += _tree(child)
    return found


@atexit.register
def _stop_all() -> None:
    # Nothing is sent: of large messages ZeroMQ loses the end by now, and garbles what follows.
    for panel in list(_OPEN):
        panel.worker.stop()
