"""The README keeps its promises: short, its example runs, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import exptest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_readme_has_at_most_120_lines() -> None:
    assert len(README.splitlines()) <= 120


def parted(line: str) -> tuple[str, list[float]]:
    """Its words, and its numbers."""
    number = r"\d+(?:\.\d+)?"
    return re.sub(number, "#", line), [float(found) for found in re.findall(number, line)]


def test_the_example_runs_when_pasted_and_prints_what_it_says(
    capsys: pytest.CaptureFixture,
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    shown = re.findall(r"print\(.*\)  # (.*)", example)
    exec(example, {"__name__": "__main__"})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) > len(shown) == 2
    for promise, line in zip(shown, (printed[0], printed[-1]), strict=True):
        words, numbers = parted(promise.removesuffix(" …"))
        said = parted(line[: len(line) if "…" not in promise else len(promise) - 2])
        assert said[0] == words
        assert said[1] == pytest.approx(
            numbers, rel=0.05
        )  # other versions of torch differ a little


def test_changes_are_in_one_place() -> None:
    assert f"\n## {exptest.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
    assert "# Changelog" not in README


def test_links_lead_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "theory").glob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name}: {target}"
