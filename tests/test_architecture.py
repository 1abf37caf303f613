"""Imports point down, the two wings never meet, a file holds one idea."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exptest"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up; a room may import from its own floor's room and from lower floors.
FLOORS = [
    {"_checks", "_words"},
    {"statistics", "linearized"},
    {"record", "_open_window", "_series"},
    {"_plain", "_judge"},
    {"tuner"},
    {"recorded", "models", "data"},
    {"optim"},
    {"training"},
    {"experiments", "integrations"},
    {"plots"},
    {"saved_pictures"},
    {"widgets", "bench"},
    {"lab", "terminal"},
    {"cli"},
]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def floor(name: str) -> int:
    (level,) = [i for i, rooms in enumerate(FLOORS) if name in rooms]
    return level


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "exptest" or len(parts) == 1:
            continue
        there = parts[1]
        allowed = there == here or floor(there) < floor(here)
        assert allowed, f"{path}: {here} imports {there}"


def top_level(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_know_only_their_own_libraries(path: Path) -> None:
    here, libraries = room(path), top_level(path)
    if here in {"statistics", "tuner", "record", "recorded", "_checks"}:
        assert not libraries & {"torch", "matplotlib", "ipywidgets"}
    if here == "linearized":
        assert not libraries & {"statsmodels", "matplotlib", "ipywidgets"}
    if here != "integrations":
        assert not libraries & {"lightning", "pytorch_lightning", "transformers"}
    if here in {"tuner", "record", "recorded"}:
        assert not any(name.startswith("exptest.linearized") for name in imports(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_stays_under_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 300


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_exptest_loads_neither_matplotlib_nor_ipywidgets() -> None:
    assert not loaded_by("import exptest") & {"matplotlib", "ipywidgets"}


def test_statistics_and_tuner_need_no_torch() -> None:
    assert "torch" not in loaded_by("import exptest.statistics, exptest.tuner, exptest.recorded")


def test_statistics_are_there_before_slow_libraries_are() -> None:
    slow = {"scipy.stats", "statsmodels", "pandas", "joblib"}
    assert not loaded_by("import exptest.statistics") & slow
