"""A matplotlib figure drawn off screen and shown through an `ipywidgets.Image`."""

from __future__ import annotations

import io
import textwrap
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from ipywidgets import Image, Layout
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image as Pillow

from exptest.plots.style import COLORS, project_style

DPI = 100
# Matplotlib's style, fonts and text layout are shared by all threads: one panel draws at a time.
DRAWING = threading.RLock()


class Canvas:
    """What a panel draws on.

    `draw` redraws everything; `settle`, `restore` and `paint` change a finished picture, which
    costs a tenth of it (blitting). `show` sends the picture to the browser.

    Args:
        width, height: in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        unmanaged: Any = "none"  # set later, it would leave a placeholder of the style's engine
        self.figure = Figure((width / DPI, height / DPI), dpi=DPI, layout=unmanaged)
        self.agg = FigureCanvasAgg(self.figure)
        self.image = Image(format="png", layout=Layout(width="100%", max_width=f"{width}px"))
        self.png = b""

    def draw(self) -> None:
        """Draw all artists but the animated ones, and take this as the settled picture."""
        self.agg.draw()
        self.settle()

    def settle(self) -> None:
        """Take the present pixels as the picture that `restore` goes back to."""
        self._settled = self.agg.copy_from_bbox(self.figure.bbox)

    def restore(self) -> None:
        """Go back to the settled picture."""
        self.agg.restore_region(self._settled)

    def paint(self, artists: Iterable[Artist]) -> None:
        """Draw ``artists`` over the present pixels."""
        for artist in artists:
            if artist.axes is not None:
                artist.axes.draw_artist(artist)

    def show(self) -> None:
        """Encode the pixels in few colours and send them."""
        few = self._pixels().quantize(palette=_palette(), dither=Pillow.Dither.NONE)
        self.png = _encoded(few)
        self.image.value = self.png

    def picture(self, caption: str = "") -> bytes:
        """Return the pixels as a PNG in full colour, a caption below."""
        with DRAWING, project_style():
            pixels = self._pixels()
            lines = textwrap.wrap(caption, pixels.width // 8)
            below = Figure((pixels.width / DPI, 0.1 + 0.22 * len(lines)), dpi=DPI)
            below.text(0.01, 0.95, "\n".join(lines), va="top", fontsize=11, color=COLORS["ink"])
            strip = FigureCanvasAgg(below)
            strip.draw()
        words = _pillow(strip)
        whole = Pillow.new("RGB", (pixels.width, pixels.height + words.height), "white")
        whole.paste(pixels, (0, 0))
        whole.paste(words, (0, pixels.height))
        return _encoded(whole)

    def _pixels(self) -> Pillow.Image:
        return _pillow(self.agg)


@cache
def _palette() -> Pillow.Image:
    """The project's colours, each in some mixtures with white and with the shades of windows."""
    colors = np.array([to_rgb(color) for color in COLORS.values()])
    papers = [np.ones(3)] + [
        1 - 0.16 * (1 - np.array(to_rgb(COLORS[k]))) for k in ("accepted", "rejected", "muted")
    ]
    shares = np.linspace(0.0, 1.0, 7)[:, None, None]
    mixed = np.concatenate([(shares * colors + (1 - shares) * paper) for paper in papers])
    levels = np.unique((255 * mixed.reshape(-1, 3)).round().astype(np.uint8), axis=0)
    image = Pillow.new("P", (1, 1))
    image.putpalette(levels[:256].tobytes())
    return image


def _pillow(agg: FigureCanvasAgg) -> Pillow.Image:
    size = agg.get_width_height()
    pixels = Pillow.frombuffer("RGBA", size, agg.buffer_rgba(), "raw", "RGBA", 0, 1)
    return pixels.convert("RGB")


def _encoded(image: Pillow.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
