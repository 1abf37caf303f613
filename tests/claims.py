"""The claims as three places tell them: the index, the tests' marks, the notebooks' tags."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\|\s*(C\d+\.\d+)\s*\|(.+)\|\s*$")


class Claim(NamedTuple):
    number: str
    statement: str
    kind: str
    test: str
    notebook: str


class Cell(NamedTuple):
    """A tagged cell: its notebook, its place among the code cells, its source."""

    notebook: str
    place: int
    source: str


@cache
def index() -> list[Claim]:
    claims = []
    for line in (ROOT / "theory" / "README.md").read_text().splitlines():
        if match := ROW.match(line):
            cells = [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", match[2])]
            assert len(cells) == 4, f"{match[1]}: expected statement | kind | test | notebook"
            claims.append(Claim(match[1], *cells))
    return claims


@cache
def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {
        node.name: node
        for node in nodes
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@cache
def marked_tests() -> dict[str, set[str]]:
    """Claim number → the tests marked with it, as ``path::name``."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, node in functions_of(path).items():
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(
                    ".claim"
                ):
                    for argument in decorator.args:
                        test = f"{path.relative_to(ROOT)}::{name}"
                        found.setdefault(ast.literal_eval(argument), set()).add(test)
    return found


@cache
def code_cells(notebook: str) -> list[tuple[str, list[str]]]:
    """Source and tags of every code cell."""
    cells = json.loads((ROOT / "notebooks" / notebook).read_text())["cells"]
    return [
        ("".join(cell["source"]), cell["metadata"].get("tags", []))
        for cell in cells
        if cell["cell_type"] == "code"
    ]


@cache
def tagged_cells() -> dict[str, list[Cell]]:
    """Claim number → the cells tagged with it."""
    found: dict[str, list[Cell]] = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for place, (source, tags) in enumerate(code_cells(path.name)):
            for tag in tags:
                if tag.startswith("claim-"):
                    number = tag.removeprefix("claim-")
                    found.setdefault(number, []).append(Cell(path.name, place, source))
    return found
