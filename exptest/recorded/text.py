"""A log's text: encodings, line ends, comments; nothing in it can stall or surprise the reader."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from os import PathLike

from exptest._words import quoted

LONGEST_LINE = 1 << 20
BLOCK = 1 << 20
BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins as UTF-16's does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError) or error.encoding != "utf-8":
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("exptest.latin-1", _as_latin_1)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


@dataclass(frozen=True)
class Source:
    """A log that can be read more than once.

    Attributes:
        content: the path of a file, or its bytes.
        name: what messages call it.
    """

    content: str | PathLike[str] | bytes
    name: str

    def lines(self, longest: int = LONGEST_LINE) -> Iterator[str]:
        """Return the lines that are neither blank nor comments, without their ends.

        Raises:
            ValueError: a line is longer than ``longest`` characters, or no text.
        """
        return chain.from_iterable(
            [line for line in lines if "#" not in line or not _is_comment(line)]
            for lines in self._blocks(longest)
        )

    def opening(self, longest: int) -> tuple[str, str]:
        """Return the comment right above the first line, without its #, and that line."""
        comment = ""
        for lines in self._blocks(longest):
            for line in lines:
                if not _is_comment(line):
                    return comment, line
                comment = line.strip().lstrip("#").strip()
        raise ValueError(f"{self.name} is empty; try one loss per line.")

    def _blocks(self, longest: int) -> Iterator[list[str]]:
        """Yield the lines that are not blank, many at a time."""
        rest = ""
        with self._open() as file:
            try:
                while text := file.read(BLOCK):
                    *lines, rest = (rest + text).split("\n")
                    if len(rest) > longest:
                        raise ValueError(
                            f"{self.name} holds a line of more than {longest:,} characters; "
                            "try one row per line."
                        )
                    yield [line for line in lines if line and not line.isspace()]
            except UnicodeError:
                raise ValueError(
                    f"{self.name} begins as {file.encoding.upper()} text, but is none; "
                    "try saving it as UTF-8."
                ) from None
        if rest and not rest.isspace():
            yield [rest]

    def _open(self) -> io.TextIOWrapper:
        raw = self._bytes()
        head = raw.read(4096)
        raw.seek(0)
        encoding = next((BOMS[bom] for bom in BOMS if head.startswith(bom)), "utf-8-sig")
        if encoding == "utf-8-sig" and b"\0" in head:
            raw.close()
            raise ValueError(
                f"{self.name} is no text but a binary file; try exporting the losses as CSV or "
                "JSON (a program that wrote it can)."
            )
        errors = "exptest.latin-1" if encoding == "utf-8-sig" else "strict"
        return io.TextIOWrapper(raw, encoding, errors)

    def _bytes(self) -> io.BytesIO | io.BufferedReader:
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        if not os.path.exists(self.content):
            raise FileNotFoundError(
                f"no file {self.name}; pass the path of a log, for example a CSV file."
            )
        if not os.path.isfile(self.content):  # a pipe or a device may never end
            kind = "a folder" if os.path.isdir(self.content) else "a pipe or a device"
            raise ValueError(f"{self.name} is {kind}; pass the path of a file.")
        try:
            return open(self.content, "rb")
        except OSError as error:
            raise type(error)(f"{self.name} cannot be opened: {error.strerror}.") from error


def source(content: str | PathLike[str] | bytes, name: str | None = None) -> Source:
    """Return ``content`` as a source, under its path's name if none is given."""
    known = name or ("the file" if isinstance(content, bytes) else os.fspath(content))
    return Source(content, quoted(known, 80))
