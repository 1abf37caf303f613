"""The falsifiers fit the code as it stands, and leave no promise and no module out."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.claims import ROOT, functions_of, index
from tests.falsifiers import table
from tests.falsifiers.ledger import Falsifier, changed, ledger, sample

FEWEST, FEWEST_A_CLAIM = 150, 2
# No test of the default set can run them: a browser, a peer or a framework, hours, a download.
EXEMPT = {
    "exptest/bench/film.py",
    "exptest/bench/jupyter_page.py",
    "exptest/bench/neural_tangents_peer.py",
    "exptest/bench/resnet.py",
    "exptest/bench/widgets.py",
    "exptest/integrations/lightning.py",
    "exptest/integrations/transformers.py",
}


def modules() -> set[str]:
    """The files of the library that hold more than imports."""
    paths = (ROOT / "exptest").rglob("*.py")
    return {str(path.relative_to(ROOT)) for path in paths if holds_code(path)}


def holds_code(path: Path) -> bool:
    return "\ndef " in (text := path.read_text()) or "\nclass " in text


@pytest.mark.parametrize("falsifier", ledger(), ids=str)
def test_a_falsifier_finds_its_place(falsifier: Falsifier) -> None:
    assert falsifier.file.startswith("exptest/")
    ast.parse(changed(falsifier))


@pytest.mark.parametrize("falsifier", ledger(), ids=str)
def test_a_falsifier_names_a_claim_or_tests(falsifier: Falsifier) -> None:
    if falsifier.claim:
        assert falsifier.claim in [claim.number for claim in index()]
    else:
        assert falsifier.tests, "what no claim covers needs its tests"
    for test in falsifier.tests:
        file, *name = test.partition("[")[0].split("::")
        assert (ROOT / file).is_file(), f"there is no {file}"
        assert set(name) <= set(functions_of(ROOT / file)), f"there is no {test}"


def test_no_change_is_listed_twice() -> None:
    times = Counter((f.promise, f.file, f.old, f.new) for f in ledger())
    assert not [change for change, count in times.items() if count > 1]


def test_every_claim_has_two_falsifiers() -> None:
    listed = Counter(falsifier.claim for falsifier in ledger())
    few = [claim.number for claim in index() if listed[claim.number] < FEWEST_A_CLAIM]
    assert not few


def test_there_are_enough_and_no_module_is_left_out() -> None:
    assert len(ledger()) >= FEWEST
    assert modules() - {falsifier.file for falsifier in ledger()} == EXEMPT


def test_a_share_is_drawn_again_by_its_seed_and_seeds_differ() -> None:
    everything = [Falsifier("f", "old", "new", about=f"promise {k}") for k in range(95)]
    drawn = sample(everything, 0.1, "a")
    assert drawn == sample(everything, 0.1, "a") != sample(everything, 0.1, "b")
    assert len(drawn) == 10
    assert sample(everything, 1.0, "a") == everything


def test_the_table_ends_with_what_was_seen_by_what() -> None:
    rows = [
        ("C1.1", "exptest/a.py", "+ → -", "red", "red", "40"),
        ("C1.1", "exptest/a.py", "1 → 2", "red", "earlier", "20"),
        ("C1.2", "exptest/a.py", "2 → 3", "green", "green", "1"),
        ("a colour", "exptest/b.py", "x" * 99, "red", "", "9"),
    ]
    assert table.summary(rows) == (
        "4 falsifiers: 3 turn their test red; of the 3 of a claim, 2 turn its notebook red, "
        "1 in the claim's own cell; 2 minutes of one core."
    )
    assert table.summary(rows[3:]) == (
        "1 falsifiers: 1 turn their test red; no notebook was run; 1 minutes of one core."
    )
    assert max(len(table.line(row)) for row in rows) <= sum(table.WIDTHS) + 10
