"""The README's animation: TrainingLab in JupyterLab, filmed."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from matplotlib.colors import to_rgb
from PIL import Image

from exptest.bench.jupyter_page import Lab, chromium, jupyter
from exptest.plots.style import COLORS

CELL = "from exptest.widgets import TrainingLab\n\nTrainingLab()"
TOP, HEIGHT, WIDTH = 95, 705, 1040


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=Path("notebooks/images/training-lab.gif"))
    parser.add_argument("--frames", type=int, default=60, help="pictures (60)")
    parser.add_argument("--colors", type=int, default=240, help="colours (240)")


def run(arguments: argparse.Namespace) -> int:
    """Press Play, film, write the GIF."""
    with (
        tempfile.TemporaryDirectory() as home,
        jupyter(Path(home)) as (url, folder),
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        lab = Lab(url, folder, page)
        lab.write("film.ipynb", CELL)
        lab.open("film.ipynb")
        lab.run_all()
        page.locator(".widget-image").wait_for()
        page.wait_for_timeout(500)
        pictures = [_shot(lab)]
        lab.press("Play")
        for _ in range(arguments.frames):
            page.wait_for_timeout(150)
            pictures.append(_shot(lab))
        lab.press("Pause")
        page.wait_for_timeout(500)
        pictures.append(_shot(lab))
    palette = _palette(pictures[-1], arguments.colors)
    few = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [900, *[160] * (len(few) - 2), 3000]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    few[0].save(
        arguments.out, save_all=True, append_images=few[1:], duration=times, loop=0, optimize=True
    )
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB, {len(few)} pictures")
    return 0


def _palette(picture: Image.Image, colors: int) -> Image.Image:
    """The picture's commonest colours, and the project's own, which may fill few pixels."""
    common = picture.quantize(colors).getpalette() or []
    own = [round(255 * part) for color in COLORS.values() for part in to_rgb(color)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*common[: 3 * (256 - len(COLORS))], *own])
    return palette


def _shot(lab: Lab) -> Image.Image:
    clip = {"x": 30, "y": TOP, "width": WIDTH, "height": HEIGHT}
    shot = Image.open(io.BytesIO(lab.page.screenshot(clip=clip)))
    return shot.convert("RGB")
