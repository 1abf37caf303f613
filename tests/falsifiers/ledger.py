"""The falsifiers as their files tell them: what is changed, and which test must see it."""

from __future__ import annotations

import hashlib
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tests.claims import ROOT, index

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Falsifier:
    """The smallest change of ``file`` under which a claim, or what ``about`` says, is false."""

    file: str
    old: str
    new: str
    claim: str = ""
    about: str = ""
    tests: tuple[str, ...] = ()
    place: int = 0  # among those of the same claim

    @property
    def promise(self) -> str:
        return self.claim or self.about

    @property
    def seen_by(self) -> tuple[str, ...]:
        """The tests of which one must turn red."""
        return self.tests or (next(c.test for c in index() if c.number == self.claim),)

    def __str__(self) -> str:
        # xdist keeps together what agrees up to the last "::", here a claim's falsifiers.
        words = re.sub(r"\W+", "-", self.promise) if not self.claim else self.claim
        return f"{words}::{self.place}-{self.file.removeprefix('exptest/')}"


def ledger() -> list[Falsifier]:
    """Every falsifier of every file beside this one."""
    known = {field.name for field in fields(Falsifier)} - {"place"}
    seen: Counter[str] = Counter()
    found = []
    for path in sorted(HERE.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["falsifier"]:
            assert set(entry) <= known, f"{path.name}: {sorted(set(entry) - known)} in {entry}"
            entry["tests"] = tuple(entry.get("tests", ()))
            promise = entry.get("claim") or entry.get("about")
            assert promise, f"{path.name}: neither claim nor about in {entry}"
            seen[promise] += 1
            found.append(Falsifier(**entry, place=seen[promise]))
    return found


def sample(falsifiers: Sequence[Falsifier], share: float, seed: str) -> list[Falsifier]:
    """A share of them, the same wherever it is drawn with the same seed."""

    def lot(falsifier: Falsifier) -> str:
        return hashlib.sha256(f"{seed} {falsifier}".encode()).hexdigest()

    drawn = sorted(falsifiers, key=lot)[: math.ceil(share * len(falsifiers))]
    return [falsifier for falsifier in falsifiers if falsifier in drawn]


def changed(falsifier: Falsifier) -> str:
    """The file's text under the change, which must find its place exactly once."""
    path = ROOT / falsifier.file
    assert path.is_file(), f"{falsifier}: there is no {falsifier.file}"
    text = path.read_text()
    times = text.count(falsifier.old)
    assert times == 1, f"{falsifier}: stands {times} times in {falsifier.file}: {falsifier.old!r}"
    assert falsifier.new != falsifier.old, f"{falsifier}: changes nothing"
    return text.replace(falsifier.old, falsifier.new)
