"""TrainingLab in a browser: first frame, updates per second, cost to training, latency."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from exptest.bench.jupyter_page import Lab, chromium, jupyter

CELL = "from exptest.widgets import TrainingLab\nlab = TrainingLab(speed='full speed')\nlab"
# Every change of the picture, with the time at which the browser had it ready to paint.
WATCH = """() => {
  if (!window.frames_seen)
    document.querySelector('.widget-image').addEventListener(
      'load', () => window.frames_seen.push(performance.now()));
  window.frames_seen = [];
}"""
# A press of the button, and the next change of what is said or shown.
PRESS = """label => new Promise(resolve => {
  const panel = document.querySelector('.jp-OutputArea-output');
  const button = [...panel.querySelectorAll('button')].find(b => b.textContent.includes(label));
  const seen = () => { observer.disconnect(); resolve(performance.now() - pressed); };
  const observer = new MutationObserver(seen);
  const what = {subtree: true, childList: true, attributes: true, attributeFilter: ['src']};
  observer.observe(panel.querySelector('.widget-image'), {attributes: true});
  const pressed = performance.now();
  button.click();
  setTimeout(() => { observer.disconnect(); resolve(NaN); }, 5000);
})"""
ALONE = """
from time import perf_counter
from exptest.widgets.training_run import WatchedRun
alone = WatchedRun(lab.settings)
began = perf_counter()
while perf_counter() - began < {seconds}:
    alone.training.step()
print(alone.training.steps / (perf_counter() - began))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--seconds", type=float, default=10, help="of watched training (10)")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement (3)")
    parser.add_argument("--presses", type=int, default=40, help="to measure latency (40)")


def run(arguments: argparse.Namespace) -> int:
    """Measure in one browser session and print a table."""
    with (
        tempfile.TemporaryDirectory() as home,
        jupyter(Path(home)) as (url, folder),
        chromium() as browser,
    ):
        lab = Lab(url, folder, browser.new_page(viewport={"width": 1400, "height": 1000}))
        lab.write("bench.ipynb", CELL)
        lab.open("bench.ipynb")
        lab.run_all()
        lab.page.locator(".widget-image").wait_for()
        first = lab.page.evaluate(PRESS, "Play") / 1000
        rounds = [_watched(lab, arguments.seconds) for _ in range(arguments.rounds)]
        latency = _latencies(lab, arguments.presses)
    updates, watched, alone = (np.array(column) for column in zip(*rounds, strict=True))
    ratios = watched / alone
    print(f"first frame after Play        {first:.2f} s")
    print(f"updates seen by the browser   {np.median(updates):.1f} per second")
    print(f"steps per second              {np.median(watched):.0f} watched")
    print(f"                              {np.median(alone):.0f} without a panel")
    print(f"ratio, median of {len(ratios)} rounds     {np.median(ratios):.0%}", end="")
    print(f" ({ratios.min():.0%} to {ratios.max():.0%})")
    print(
        f"press to visible change       {np.median(latency):.0f} ms median, "
        f"{np.quantile(latency, 0.95):.0f} ms p95 of {len(latency)}"
    )
    return 0


def _watched(lab: Lab, seconds: float) -> tuple[float, float, float]:
    """Updates per second, steps per second with the panel, and without it."""
    lab.ask("lab.limit = 200_000; lab.reset(); lab.join(); lab.play()")
    lab.page.wait_for_timeout(1500)
    lab.page.evaluate(WATCH)
    before = _steps(lab)
    lab.page.wait_for_timeout(1000 * seconds)
    after = _steps(lab)
    frames = lab.page.evaluate("() => window.frames_seen")
    lab.ask("lab.pause(); lab.join()")
    alone = float(lab.ask(ALONE.format(seconds=seconds)))
    took = (after[1] - before[1]) / 1000
    return len(frames) / seconds, (after[0] - before[0]) / took, alone


def _steps(lab: Lab) -> tuple[int, float]:
    steps = int(lab.ask("print(len(lab.run.losses))"))
    return steps, lab.page.evaluate("() => performance.now()")


def _latencies(lab: Lab, presses: int) -> Any:
    """Milliseconds from a press to the next picture, at rest, one window at a time or a reset."""
    lab.ask("lab.speed = 'full speed'; lab.reset(); lab.join()")
    found = []
    for k in range(presses):
        lab.page.wait_for_timeout(150)
        found.append(lab.page.evaluate(PRESS, "Reset" if k % 4 == 3 else "Step one window"))
        lab.ask("lab.join()")
    return np.array(found)
