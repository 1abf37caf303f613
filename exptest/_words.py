"""Words of messages: numbers with nouns, what a file holds (shortened: files hold anything)."""

from __future__ import annotations

from collections.abc import Sequence


def quoted(text: str, limit: int = 40) -> str:
    """Return ``text`` in quotes, cut to ``limit`` characters.

    >>> quoted("loss"), quoted("x" * 50, limit=8)
    ("'loss'", "'xxxxxx…")
    """
    whole = repr(text[:limit])
    return whole if len(whole) <= limit and len(text) <= limit else f"{whole[: limit - 1]}…"


def listed(names: Sequence[str], limit: int = 180) -> str:
    """Return as many of ``names`` as fit, in quotes.

    >>> listed(["a", "b"]), listed(["a", "b", "c"], limit=8), listed([])
    ("'a', 'b'", "'a', 'b', … (3 in all)", 'none')
    """
    shown: list[str] = []
    for name in names:
        shown.append(quoted(name))
        if sum(map(len, shown)) + 2 * (len(shown) - 1) > limit:
            return ", ".join([*(shown[:-1] or shown), f"… ({len(names)} in all)"])
    return ", ".join(shown) or "none"


def plural(number: int, noun: str) -> str:
    """Return the number with its noun.

    >>> plural(1, "loss"), plural(1200, "blank cell"), plural(2, "loss")
    ('1 loss', '1,200 blank cells', '2 losses')
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
