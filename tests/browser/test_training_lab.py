"""TrainingLab in JupyterLab, driven as a teacher drives it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from exptest.bench.jupyter_page import Lab
from tests.browser.conftest import Opened

CELL = "from exptest.widgets import TrainingLab\nlab = TrainingLab()\nlab"
PNG = ".jp-OutputArea-output img[src^='data:image/png']"
STATUS = ".widget-html:has-text('step')"


def picture(lab: Lab) -> str:
    return lab.page.locator(".widget-image").first.get_attribute("src") or ""


def changed(lab: Lab, before: str) -> None:
    lab.page.wait_for_function(
        "src => document.querySelector('.widget-image').src !== src", arg=before
    )


def steps(lab: Lab) -> int:
    found = re.search(r"step (\d+)", lab.page.locator(STATUS).first.inner_text())
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(("width", "height"), [(1400, 1000), (1024, 768)])
def test_play_pause_step_reset(
    opened: Opened, shoot: Callable[[str], None], width: int, height: int
) -> None:
    lab = opened(CELL, width=width, height=height)
    lab.page.locator(".widget-image").wait_for()
    shoot(f"training-lab-{width}-ready")
    first = picture(lab)
    lab.press("Play")
    changed(lab, first)
    lab.page.get_by_text("still decreasing").first.wait_for()
    lab.press("Pause")
    lab.come_to_rest("lab")
    shoot(f"training-lab-{width}-paused")
    resting, done = picture(lab), steps(lab)
    lab.page.wait_for_timeout(600)
    assert picture(lab) == resting
    lab.press("Step one window")
    changed(lab, resting)
    lab.page.wait_for_function(f"() => document.body.innerText.match(/step (\\d+)/)[1] > {done}")
    lab.page.get_by_text(re.compile("decisions, newest first")).wait_for()
    lab.come_to_rest("lab")
    lab.page.locator("table").first.scroll_into_view_if_needed()
    shoot(f"training-lab-{width}-stepped")
    lab.press("Reset")
    lab.page.wait_for_function("() => document.body.innerText.includes('step 0')")
    assert lab.ask("lab.join(); print(len(lab.run.losses))").strip() == "0"


def test_controls_move_by_keyboard_and_take_effect_with_reset(opened: Opened) -> None:
    lab = opened(CELL.replace("()", "(start=31.0)"))
    # The slider cannot stand there; that it is shown changes nothing.
    assert lab.ask("print(lab.start, lab.pending.value.count('Reset'))").strip() == "31.0 0"
    slider = lab.page.locator(".widget-slider:has-text('seed') .noUi-handle")
    slider.focus()
    slider.press("ArrowRight")
    lab.page.get_by_text("Reset begins a run with them").wait_for()
    lab.press("Reset")
    lab.page.get_by_text("press Play").wait_for()
    assert lab.ask("lab.join(); print(lab.run.settings.seed)").strip() == "1"


def test_the_code_is_shown(opened: Opened) -> None:
    lab = opened(CELL)
    lab.press("Step one window")
    lab.page.get_by_text("1 of 1 decisions").wait_for()
    lab.press("Code")
    lab.page.get_by_text("history = fit(").wait_for()


def test_a_kept_picture_is_there_after_reopening(
    opened: Opened, shoot: Callable[[str], None]
) -> None:
    lab = opened(CELL + "\n")
    lab.press("Step one window")
    lab.page.get_by_text("1 of 1 decisions").wait_for()
    lab.press("Keep picture")
    image = lab.page.locator(PNG)
    image.wait_for()
    assert lab.page.get_by_role("button", name="Play").count() == 0
    alive = (
        "import threading; print([t.name for t in threading.enumerate() if 'exptest' in t.name])"
    )
    assert lab.ask(alive).strip() == "[]"
    reopen(lab)
    image.wait_for()
    assert image.evaluate("image => image.naturalWidth") > 900
    shoot("training-lab-reopened")


def test_a_live_panel_that_was_saved_reopens_as_its_picture(opened: Opened) -> None:
    lab = opened(CELL)
    lab.page.locator(".widget-image").wait_for()
    reopen(lab)
    lab.page.locator(PNG).wait_for()
    assert "Error displaying widget" not in lab.page.inner_text("body")


# Longer than the browser's heartbeat: what writes to a closed panel complains within it.
BEATS_MS = 2500


def test_a_panel_closes_while_it_plays_by_its_cell_and_under_a_hand(opened: Opened) -> None:
    lab = opened(CELL)
    ready = picture(lab)
    lab.press("Play")
    changed(lab, ready)
    lab.ask("first = lab")
    lab.run_all()
    lab.page.locator(".widget-image").wait_for()
    assert lab.ask("print(first is lab, first.worker.alive)").strip() == "False False"
    lab.press("Play")
    lab.page.wait_for_timeout(BEATS_MS)
    assert lab.errors == []
    mouse, handle = lab.page.mouse, lab.page.locator(".widget-slider:has-text('seed') .noUi-handle")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 30, y, steps=3)
    assert int(lab.ask("print(lab.seed)")) > 0
    lab.ask("lab.freeze()")
    lab.page.locator(PNG).wait_for()
    mouse.move(x + 60, y, steps=3)
    mouse.up()
    lab.page.wait_for_timeout(BEATS_MS)
    assert lab.errors == []


WATCH = """
import threading
from pathlib import Path
import exptest.widgets.training_lab as module

def watch():
    lab.join()
    Path("ended").touch()

threading.Thread(target=watch, daemon=True).start()
module.SILENCE_S = 3.0
"""


def test_a_closed_browser_ends_the_thread(opened: Opened, browser: Any) -> None:
    lab = opened(CELL)
    lab.ask("lab.limit = 200_000; lab.speed = 'slow'")
    lab.press("Play")
    while lab.ask("print(lab._heard is not None)").strip() != "True":
        lab.page.wait_for_timeout(200)
    lab.ask(WATCH)
    path = lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")
    again = Lab(lab.url, lab.folder, browser.new_page())
    lab.page.close()
    while not (lab.folder / "ended").exists():
        again.page.wait_for_timeout(200)
    again.open(path)
    assert again.ask("print(lab.worker.alive)").strip() == "False"
    again.page.close()


def reopen(lab: Lab) -> None:
    """Save, end the kernel, open again."""
    lab.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    path = lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")
    lab.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    lab.open(path)
