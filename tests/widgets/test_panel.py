"""What all panels share: one thread that ends, a picture, an error that is not lost."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import traitlets
from ipywidgets.widgets.widget import _instances
from PIL import Image

from exptest.plots.style import project_style
from exptest.widgets import cells
from exptest.widgets.controls import counter, log_slider, slider
from exptest.widgets.explorer import Explorer


class Doubler(Explorer):
    """Twice a number, as soon as ``gate`` is open; it fails at 13."""

    number = slider(1.0, 0.0, 20.0, "number")
    size_of = log_slider(1.0, 0.1, 10.0, "size_of")
    color = counter(0, 0, 3, "color")
    computed = 0

    def __init__(self, **state: Any) -> None:
        self.gate, self.busy = threading.Event(), threading.Event()
        self.gate.set()
        super().__init__(**state)

    def compute(self) -> float:
        self.computed += 1
        if self.number == 13:
            raise ArithmeticError("thirteen is unlucky")
        twice = 2 * self.number
        self.busy.set()
        self.gate.wait()
        return twice

    def draw(self, result: float) -> None:
        self.canvas.figure.subplots().plot([0, result])

    def explain(self, result: float) -> str:
        return f"twice {self.number:g} is {result:g}"


@pytest.fixture
def doubler() -> Iterator[Doubler]:
    panel = Doubler()
    yield panel
    panel.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("exptest")]


def test_a_setting_from_python_and_a_moved_control_are_the_same(doubler: Doubler) -> None:
    doubler.number = 4.0
    doubler.join()
    assert doubler.sentence() == "twice 4 is 8"
    assert doubler.controls["number"].value == 4.0
    doubler.controls["number"].value = 5.0
    doubler.join()
    assert doubler.sentence() == "twice 5 is 10"
    assert "twice 5 is 10" in doubler.words.value


def test_a_browser_that_rounds_to_the_sliders_steps_changes_nothing(doubler: Doubler) -> None:
    doubler.number, doubler.size_of = 3.1416, 2.3
    doubler.controls["number"].value, doubler.controls["size_of"].value = 3.14, 10**0.36
    assert (doubler.number, doubler.size_of) == (3.1416, 2.3)
    doubler.controls["number"].value, doubler.controls["size_of"].value = 3.15, 10**0.38
    assert (doubler.number, doubler.size_of) == (3.15, 10**0.38)


def test_controls_stand_in_the_order_of_their_declaration(doubler: Doubler) -> None:
    assert list(doubler.controls) == ["number", "size_of", "color"]
    assert [control.description for control in doubler.controls.values()] == [
        "number",
        "size_of",
        "color",
    ]


def test_the_picture_changes_with_the_setting(doubler: Doubler) -> None:
    doubler.join()
    before = doubler.canvas.png
    doubler.number = 9.0
    doubler.join()
    assert doubler.canvas.png != before
    assert bytes(doubler.canvas.image.value) == doubler.canvas.png


def test_of_many_changes_in_a_row_only_the_last_is_drawn(doubler: Doubler) -> None:
    doubler.join()
    done = doubler.computed
    doubler.gate.clear()
    for number in range(2, 13):
        doubler.number = float(number)
    doubler.gate.set()
    doubler.join()
    assert doubler.sentence() == "twice 12 is 24"
    assert doubler.computed - done <= 2


def test_no_thread_is_left_when_nothing_is_to_do(doubler: Doubler) -> None:
    doubler.join()
    assert threads() == []
    assert not doubler.worker.alive


def test_an_error_is_shown_and_raised_by_join_and_the_panel_lives_on(doubler: Doubler) -> None:
    doubler.number = 13.0
    with pytest.raises(ArithmeticError, match="unlucky"):
        doubler.join()
    assert "thirteen is unlucky" in doubler.words.value
    doubler.number = 3.0
    doubler.join()
    assert doubler.sentence() == "twice 3 is 6"


def test_a_closed_panel_starts_no_thread(doubler: Doubler) -> None:
    doubler.join()
    doubler.close()
    doubler.close()
    doubler.number = 7.0
    assert threads() == []


def test_bad_settings_are_named() -> None:
    with pytest.raises(TypeError, match="no setting 'nubmer'; try one of color, number, size_of"):
        Doubler(nubmer=1.0)
    with pytest.raises(traitlets.TraitError, match="number"):
        Doubler(number=99.0)


def shown(panel: Doubler, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    import IPython.display

    calls: list[tuple[dict, dict]] = []

    def record(bundle: dict, **more: Any) -> None:
        calls.append((bundle, more))

    monkeypatch.setattr(IPython.display, "display", record)
    panel._ipython_display_()
    return calls


VIEW = "application/vnd.jupyter.widget-view+json"


def test_where_nobody_can_press_a_button_a_panel_is_its_picture(
    doubler: Doubler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    ((bundle, _),) = shown(doubler, monkeypatch)
    assert set(bundle) == {"text/plain", "image/png"}
    assert bundle["text/plain"] == "Doubler: twice 1 is 2"
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.width == Doubler.size[0]


def test_a_live_panel_freezes_into_its_picture(
    doubler: Doubler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    calls = shown(doubler, monkeypatch)
    model = doubler.box.model_id
    doubler.freeze()
    (live, first), (frozen, last) = calls
    assert live[VIEW]["model_id"] == model
    assert VIEW not in frozen
    assert frozen["image/png"]
    assert last["update"]
    assert last["display_id"] == first["display_id"]
    doubler.number = 2.0
    assert threads() == []


def in_cell(monkeypatch: pytest.MonkeyPatch, cell: str, run: str) -> Any:
    """Act as if ``cell`` ran for the ``run``-th time; returns what IPython calls after it."""
    shell = SimpleNamespace(events=SimpleNamespace(register=lambda *_: None))
    monkeypatch.setattr(cells, "_running", lambda: (shell, cell, f"{cell} {run}"))
    return lambda: cells._after_cell(None)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: None)
    monkeypatch.setattr(cells, "_CELLS", {})


@pytest.mark.usefixtures("watched")
def test_a_cell_shows_two_panels_and_closes_them_when_it_runs_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b, c = Doubler(), Doubler(), Doubler()
    in_cell(monkeypatch, "cell", "1")
    a._ipython_display_()
    b._ipython_display_()
    assert [panel._closed for panel in (a, b)] == [False, False]
    in_cell(monkeypatch, "cell", "2")
    c._ipython_display_()
    assert [panel._closed for panel in (a, b, c)] == [True, True, False]
    in_cell(monkeypatch, "cell", "3")()
    assert c._closed


@pytest.mark.usefixtures("watched")
def test_a_panel_that_another_cell_shows_stays_open(
    doubler: Doubler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cell in ("one", "two"):
        in_cell(monkeypatch, cell, "1")
        doubler._ipython_display_()
    in_cell(monkeypatch, "one", "2")()
    assert not doubler._closed
    in_cell(monkeypatch, "two", "2")
    doubler._ipython_display_()
    assert not doubler._closed
    in_cell(monkeypatch, "two", "3")()
    assert doubler._closed


def test_closing_waits_for_the_thread_and_lets_go_of_every_widget() -> None:
    before = len(_instances)
    doubler = Doubler()
    doubler.join()
    doubler.gate.clear()
    doubler.busy.clear()
    doubler.number = 5.0
    doubler.busy.wait()
    closing = threading.Thread(target=doubler.close)
    closing.start()
    assert doubler.worker.alive
    assert closing.is_alive()
    doubler.gate.set()
    closing.join()
    assert threads() == []
    assert len(_instances) == before


@pytest.mark.usefixtures("watched")
def test_a_panel_with_an_error_can_be_frozen(doubler: Doubler) -> None:
    doubler._ipython_display_()
    doubler.number = 13.0
    for thread in threads():
        thread.join()
    doubler.freeze()
    assert doubler._closed
    assert "thirteen" in doubler.words.value


END = """
from exptest.widgets import TrainingLab, DecayTestExplorer
lab = TrainingLab(speed="full speed", limit=200_000)
lab.play()
DecayTestExplorer()
while not (lab.run and lab.run.losses):
    lab.worker.stopped.wait(0.01)
"""


def test_python_ends_while_a_panel_plays() -> None:
    done = subprocess.run(
        [sys.executable, "-c", END],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_style_around_it_does_not_change_the_layout(recwarn: pytest.WarningsRecorder) -> None:
    with project_style():
        panel = Doubler()
    panel.join()
    panel.close()
    assert not recwarn.list
