"""Pictures of results: every function takes computed results and ``ax=None``, returns the Axes."""

from exptest.plots.style import COLORS, STYLE, use_style

__all__ = ["COLORS", "STYLE", "use_style"]
