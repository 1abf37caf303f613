"""TrainingLab in JupyterLab, driven as a teacher drives it."""

from __future__ import annotations

from tests.browser.conftest import Opened

CELL = "from exptest.widgets import TrainingLab\nlab = TrainingLab()\nlab"


def test_play_pause_step_and_reset(opened: Opened) -> None:
    lab = opened(CELL)
    page = lab.page
    picture, status = page.locator(".widget-image"), page.locator(".widget-html").first
    picture.wait_for()
    lab.shoot("training-lab-ready")
    first = picture.get_attribute("src")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("src => document.querySelector('.widget-image').src !== src", arg=first)
    page.get_by_text("tuning").wait_for()
    lab.shoot("training-lab-playing")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(500)
    lab.shoot("training-lab-paused")
    print(status.inner_text())
