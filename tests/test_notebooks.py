"""Notebooks are committed run, small-celled and free of widget state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 15


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_as_a_reader_should_find_it(path: Path) -> None:
    notebook = json.loads(path.read_text())
    cells = notebook["cells"]
    code = [c for c in cells if c["cell_type"] == "code" and "".join(c["source"]).strip()]
    opening = "".join(cells[0]["source"])
    assert opening.startswith("# "), "opens with its title"
    assert "**Question" in opening, "opens with its question"
    assert "theory/" in opening, "opens with its theory chapter"
    assert "widgets" not in notebook["metadata"], "widget state is saved"
    assert all(c["execution_count"] for c in code), "a cell was never run"
    assert any(c["outputs"] for c in code), "no outputs"
    outputs = [o for c in code for o in c["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert not [o["text"] for o in outputs if o.get("name") == "stderr"], "a warning is saved"
    long = ["".join(c["source"]) for c in code if "".join(c["source"]).count("\n") >= LONGEST_CELL]
    assert not long, f"a cell has more than {LONGEST_CELL} lines"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_ends_with_check_summary_exercises(path: Path) -> None:
    prose = "\n".join(
        "".join(c["source"])
        for c in json.loads(path.read_text())["cells"]
        if c["cell_type"] == "markdown"
    )
    order = [prose.find(f"## {title}") for title in ("Check", "Summary", "Exercises")]
    assert -1 not in order
    assert order == sorted(order)
