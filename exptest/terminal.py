"""A terminal that lacks letters or stops listening is no reason to fail."""

from __future__ import annotations

import argparse
import codecs
import difflib
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

SPELLED = {
    "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "−": "-", "–": "-", "—": "-",
    "×": "x", "·": "*", "±": "+/-", "√": "sqrt ", "‖": "||", "∞": "inf", "⁄": "/", "’": "'",
    "‘": "'", "“": '"', "”": '"',
}  # fmt: skip
CLOSED_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE ended


def spell(text: str) -> str:
    """Return ``text`` in ASCII: Greek letters by name, signs as one types them.

    >>> spell("η 0.5 → 0.1, p ≥ α, ½ Σ …")
    'eta 0.5 -> 0.1, p >= alpha, 1/2 Sigma ...'
    """
    return "".join(character if character.isascii() else _spelled(character) for character in text)


def _spelled(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character)
    if character in SPELLED:
        return SPELLED[character]
    if plain != character:
        return spell("".join(c for c in plain if not unicodedata.combining(c)))
    words = unicodedata.name(character, "").split()
    if words[:1] == ["GREEK"] and "LETTER" in words:
        letter = words[words.index("LETTER") + 1]
        return letter.capitalize() if "CAPITAL" in words else letter.lower()
    return "?"


def _spell_instead(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return spell(error.object[error.start : error.end]), error.end


@contextmanager
def forgiving() -> Iterator[None]:
    """Spell what the terminal cannot show, and end quietly when nobody reads any more.

    Raises:
        SystemExit: the reader has closed the pipe, as ``exptest demo | head -1`` does.
    """
    codecs.register_error("exptest-spell", _spell_instead)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="exptest-spell")
    try:
        try:
            yield
        finally:
            print(end="", flush=True)  # here, not at exit, where a closed pipe is a traceback
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        raise SystemExit(CLOSED_PIPE) from None


def folded(text: str) -> str:
    """Return ``text`` with its lines broken between words, for a terminal; unchanged for a pipe."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(fold(line, width) for line in text.split("\n"))


def fold(line: str, width: int) -> str:
    """Return one line as several of at most ``width`` columns, the later ones further in.

    >>> print(fold("  step 9: keep η = 1, because it works", 24))
      step 9: keep η = 1,
        because it works
    """
    start = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.strip(), width, initial_indent=start, subsequent_indent=f"{start}  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return that there is no such thing, and which one is nearest.

    >>> unknown("command", "rplay", ["demo", "replay"])
    "no command 'rplay'; did you mean 'replay'? There are demo, replay"
    """
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {nearest[0]!r}? There" if nearest else "there"
    return f"no {what} {name!r}; {guess} are {', '.join(known)}"
