"""Every claim has a test and a notebook cell, and the index in theory/README.md agrees."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
KINDS = {"exact", "approximate", "statistical", "empirical"}
ROW = re.compile(r"^\|\s*(C\d+\.\d+)\s*\|(.+)\|\s*$")


class Claim(NamedTuple):
    number: str
    statement: str
    kind: str
    test: str
    notebook: str


def index() -> list[Claim]:
    claims = []
    for line in (ROOT / "theory" / "README.md").read_text().splitlines():
        if match := ROW.match(line):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", match[2])]
            assert len(cells) == 4, f"{match[1]}: expected statement | kind | test | notebook"
            claims.append(Claim(match[1], *cells))
    return claims


def marked_tests() -> dict[str, set[str]]:
    """Claim number → the tests marked with it, as ``path::name``."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(
                    ".claim"
                ):
                    name = f"{path.relative_to(ROOT)}::{node.name}"
                    for argument in decorator.args:
                        found.setdefault(ast.literal_eval(argument), set()).add(name)
    return found


def tagged_cells() -> dict[str, list[tuple[str, str]]]:
    """Claim number → (notebook, source) of the cells tagged with it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            for tag in cell["metadata"].get("tags", []):
                if tag.startswith("claim-"):
                    source = "".join(cell["source"])
                    found.setdefault(tag.removeprefix("claim-"), []).append((path.name, source))
    return found


@pytest.mark.parametrize("claim", index(), ids=lambda claim: claim.number)
def test_claim_has_proof_test_and_notebook_cell(claim: Claim) -> None:
    chapter = claim.number[1:].split(".")[0].zfill(2)
    texts = [path.read_text() for path in (ROOT / "theory").glob(f"{chapter}-*.md")]
    assert any(f"**{claim.number}" in text for text in texts), "no statement in its chapter"
    assert claim.kind in KINDS
    tests = marked_tests().get(claim.number, set())
    assert claim.test.strip("`") in tests, f"index names {claim.test}, marked are {sorted(tests)}"
    cells = tagged_cells().get(claim.number, [])
    assert claim.notebook.strip("`") in [name for name, _ in cells], "no cell tagged in notebook"
    assert all("assert" in source for _, source in cells), "a tagged cell asserts nothing"


def test_every_marker_and_tag_names_a_claim() -> None:
    numbers = [claim.number for claim in index()]
    assert len(numbers) == len(set(numbers)), "a claim is listed twice"
    assert set(marked_tests()) <= set(numbers)
    assert set(tagged_cells()) <= set(numbers)
