"""Explorers in JupyterLab: move a control, see picture and words change, reopen the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copy

import pytest

from exptest.bench.jupyter_page import Lab
from tests.browser.conftest import Opened

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# Panel → a control that changes what it shows.
CONTROLS = {
    "WindowExplorer": "decay rate",
    "DecayTestExplorer": "window length",
    "StabilityExplorer": "η as part",
    "NetworkExplorer": "η as part",
    "ReplayLab": "decision",
}
PICTURE = ".widget-image"
PNG = ".jp-OutputArea-output img[src^='data:image/png']"
WORDS = ".widget-html:has(p)"


def cell(panel: str) -> str:
    return f"from exptest.widgets import {panel}\npanel = {panel}()\npanel"


@pytest.mark.parametrize("size", [(1400, 1000), (1024, 768)], ids=["1400", "1024"])
@pytest.mark.parametrize("panel", CONTROLS)
def test_a_moved_control_changes_picture_and_words(
    opened: Opened, shoot: Callable[[str], None], panel: str, size: tuple[int, int]
) -> None:
    lab = opened(cell(panel), width=size[0], height=size[1])
    page = lab.page
    page.locator(PICTURE).wait_for()
    before, said = page.locator(PICTURE).get_attribute("src"), page.locator(WORDS).inner_text()
    shoot(f"{panel}-{size[0]}")
    handle = page.locator(f".widget-slider:has-text('{CONTROLS[panel]}') .noUi-handle")
    handle.focus()
    for _ in range(3):
        handle.press("ArrowRight")
    page.wait_for_function("src => document.querySelector('.widget-image').src !== src", arg=before)
    page.wait_for_function("said => !document.body.innerText.includes(said)", arg=said)
    image = page.locator(PICTURE).bounding_box()
    assert image["x"] + image["width"] <= size[0]
    lab.come_to_rest("panel")  # what is refined after the first picture has arrived
    shoot(f"{panel}-{size[0]}-moved")


def test_the_next_decision_and_curves_that_one_brings(opened: Opened, tmp_path: Path) -> None:
    lab = opened(cell("ReplayLab"))
    words = lab.page.locator(WORDS)
    first = words.inner_text()
    lab.press("Next")
    lab.page.wait_for_function("said => !document.body.innerText.includes(said)", arg=first)
    box = lab.page.locator("textarea[placeholder*='paste']")
    box.fill("1, 2, banana")
    lab.press("Use pasted")
    lab.page.get_by_role("alert").wait_for()
    box.fill(", ".join(f"{0.9**t:.6f}" for t in range(60)))
    lab.press("Use pasted")
    lab.page.get_by_text("decay exponentially").first.wait_for()
    upload(lab, tmp_path / "two.csv", "a,b\n1,2\n2,3\n")
    lab.page.get_by_role("alert").wait_for()
    lab.page.locator("select:visible:has-text('which column')").select_option("b: 2, 3, …")
    lab.page.get_by_text("2 losses from column 'b'").wait_for()
    upload(lab, tmp_path / "flat.csv", "loss\n" + "1.0\n" * 60)
    lab.page.get_by_text("show no exponential decay").first.wait_for()


def upload(lab: Lab, file: Path, text: str) -> None:
    file.write_text(text)
    with lab.page.expect_file_chooser() as chooser:
        lab.press("Upload log")
    chooser.value.set_files(str(file))


@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def test_a_notebook_as_committed_opens_with_its_pictures(lab: Lab, name: str) -> None:
    copy(NOTEBOOKS / name, lab.folder / name)
    lab.open(name)
    lab.page.locator(PNG).first.wait_for()
    assert lab.page.locator(PNG).first.evaluate("image => image.naturalWidth") > 100
    assert "Error displaying widget" not in lab.page.inner_text("body")


def test_the_playground_runs_saves_and_reopens(lab: Lab, shoot: Callable[[str], None]) -> None:
    name = "10-playground.ipynb"
    copy(NOTEBOOKS / name, lab.folder / name)
    lab.open(name)
    lab.run_all()
    assert int(lab.ask("from exptest.widgets import cells; print(len(cells.alive()))")) == 7
    lab.page.locator(PICTURE).first.wait_for()
    shoot("playground-live")
    lab.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    lab.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    lab.open(name)
    lab.page.locator(PNG).first.wait_for()
    assert "Error displaying widget" not in lab.page.inner_text("body")
    assert (lab.folder / name).read_text().count("image/png") >= 7
    assert "widget-view" not in (lab.folder / name).read_text()
    shoot("playground-reopened")
