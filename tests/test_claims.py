"""Every claim has a proof or an experiment, a test and a cell; the index says what they say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from itertools import takewhile

import pytest

from tests.claims import ROOT, Claim, code_cells, index, marked_tests, tagged_cells

KINDS = {"exact", "approximate", "statistical", "empirical"}
PROOF = re.compile(r"\*Proof\b.*?∎", re.DOTALL)
# What was drawn, and how often.
EXPERIMENT = re.compile(
    r"\bseeds?\b|\breplications\b|\d+ (windows|runs|curves|trials)|\d+ (of|times in) \d+"
    r"|measured \(\d+\)|n = \d|\d+ losses"
)
every_claim = pytest.mark.parametrize("claim", index(), ids=lambda claim: claim.number)


def chapter(claim: Claim) -> str:
    number = claim.number[1:].split(".")[0].zfill(2)
    (path,) = (ROOT / "theory").glob(f"{number}-*.md")
    return path.read_text()


def told(claim: Claim) -> tuple[str, str]:
    """The kind that the chapter gives a claim, and what follows up to the next claim or section."""
    start = re.escape(f"**{claim.number} (")
    pattern = rf"{start}([^)]*)\)\.?\*\*(.*?)(?=\n(?:- )?\*\*C\d+\.\d+ \(|\n## |\Z)"
    found = re.search(pattern, chapter(claim), re.DOTALL)
    assert found is not None, "no statement in its chapter"
    return found[1], found[2]


def section(claim: Claim) -> str:
    parts = re.split(r"\n(?=## )", chapter(claim))
    return next(part for part in parts if f"**{claim.number} (" in part)


def stems(text: str) -> set[str]:
    return {word[:5] for word in re.findall(r"[a-z]{5,}", text.lower())}


@every_claim
def test_a_claim_is_of_the_kind_that_its_chapter_says(claim: Claim) -> None:
    assert claim.kind in KINDS
    assert told(claim)[0] == claim.kind


@every_claim
def test_an_exact_claim_is_proved_and_a_measured_one_says_how(claim: Claim) -> None:
    text = told(claim)[1]
    if claim.kind in {"exact", "approximate"}:
        assert PROOF.search(text), "*Proof.* … ∎ does not follow the statement"
    else:
        assert EXPERIMENT.search(text), "no seeds, no replications, no lengths"


@every_claim
def test_the_index_says_nothing_that_the_chapter_does_not(claim: Claim) -> None:
    """Numbers and signs of the row stand in the claim's section, and most of its words."""
    there = section(claim)
    signs = re.findall(r"\d*\.?\d+|[^\x00-\x7f]", claim.statement)
    assert not [sign for sign in signs if sign.lstrip("0") not in there], "not in its section"
    words = stems(claim.statement)
    strange = {word for word in words if word not in there.lower()}
    assert len(strange) <= len(words) / 2, f"words that its section does not use: {strange}"


@every_claim
def test_a_claim_has_its_test_and_its_cell(claim: Claim) -> None:
    tests = marked_tests().get(claim.number, set())
    assert claim.test in tests, f"index names {claim.test}, marked are {sorted(tests)}"
    cells = tagged_cells().get(claim.number, [])
    assert claim.notebook in [cell.notebook for cell in cells], "no cell tagged in notebook"


def names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} | {
        part.arg for part in ast.walk(node) if isinstance(part, ast.arg)
    }


def of_the_library(statements: Iterable[ast.stmt], known: set[str]) -> set[str]:
    """The names that stand for something of exptest, or for what was computed with it."""
    known = set(known)
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            whole = getattr(statement, "module", "") or ""
            for alias in statement.names:
                if f"{whole}.{alias.name}".strip(".").startswith("exptest"):
                    known.add(alias.asname or alias.name.split(".")[0])
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            if names(statement) & known:
                known.add(statement.name)
        elif names(statement) & known:
            known |= {name for part in ast.walk(statement) for name in written(part)}
    return known


def written(node: ast.AST) -> set[str]:
    """The names that a node binds or fills: x, x[0] = …, x.append(…)."""
    if isinstance(node, ast.Name | ast.Subscript) and isinstance(node.ctx, ast.Store):
        return names(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return names(node.func.value)
    return set()


def assertions(statements: Iterable[ast.stmt]) -> list[ast.AST]:
    found = []
    for part in (part for statement in statements for part in ast.walk(statement)):
        called = ast.unparse(part.func) if isinstance(part, ast.Call) else ""
        if isinstance(part, ast.Assert) or re.search(r"\bassert_|\braises$", called):
            found.append(part)
    return found


@every_claim
def test_a_claim_s_cell_asserts_something_of_the_library(claim: Claim) -> None:
    for cell in tagged_cells()[claim.number]:
        known: set[str] = set()
        for source, _ in code_cells(cell.notebook)[: cell.place + 1]:
            known = of_the_library(ast.parse(source).body, known)
        found = assertions(ast.parse(cell.source).body)
        assert found, f"{cell.notebook}: a tagged cell asserts nothing"
        said = [ast.unparse(part) for part in found]
        assert any(names(part) & known for part in found), f"nothing of exptest in {said}"


@every_claim
def test_a_claim_s_test_asserts_something_of_the_library(claim: Claim) -> None:
    file, name = claim.test.split("::")
    module = ast.parse((ROOT / file).read_text()).body
    known = of_the_library(module, of_the_library(module, set()))
    test = next(part for part in module if getattr(part, "name", None) == name)
    assert isinstance(test, ast.FunctionDef)
    imports = takewhile(lambda part: isinstance(part, ast.Import | ast.ImportFrom), test.body)
    inside = of_the_library(test.body, of_the_library(imports, known - {name}))
    found = assertions(test.body)
    helpers = {part.id for part in ast.walk(test) if isinstance(part, ast.Name)} & known
    checks = any(names(part) & inside for part in found) or (not found and helpers)
    assert checks, f"nothing of exptest in {[ast.unparse(part) for part in found]}"


def test_every_marker_and_tag_names_a_claim() -> None:
    numbers = [claim.number for claim in index()]
    assert len(numbers) == len(set(numbers)), "a claim is listed twice"
    assert set(marked_tests()) <= set(numbers)
    assert set(tagged_cells()) <= set(numbers)
