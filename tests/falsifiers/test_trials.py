"""``python -m pytest -m falsifier``: each change of the library turns its test red."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

import pytest

from tests.claims import tagged_cells
from tests.falsifiers.ledger import Falsifier, ledger, sample
from tests.falsifiers.workshop import Workshop

pytestmark = pytest.mark.falsifier


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    workshop = Workshop(tmp_path_factory.mktemp("workshop"))
    yield workshop
    workshop.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    share = metafunc.config.getoption("falsifiers_share")
    everything = ledger()
    if "falsifier" in metafunc.fixturenames:
        drawn = sample(everything, share, metafunc.config.getoption("falsifiers_seed"))
        metafunc.parametrize("falsifier", drawn, ids=str)
    if "tests" in metafunc.fixturenames:
        seen = sorted({test for falsifier in everything for test in falsifier.seen_by})
        files = sorted({test.split("::")[0] for test in seen}) if share == 1 else []
        groups = [[test for test in seen if test.split("::")[0] == file] for file in files]
        metafunc.parametrize("tests", groups, ids=[f"{file}::" for file in files])
    if "notebook" in metafunc.fixturenames:
        cells = {cell.notebook for cells in tagged_cells().values() for cell in cells}
        notebooks = sorted(cells) if share == 1 else []
        metafunc.parametrize("notebook", notebooks, ids=[f"{name}::" for name in notebooks])


def test_the_untouched_copy_passes_its_tests(workshop: Workshop, tests: list[str]) -> None:
    assert workshop.tests(tests) == "green", workshop.output()


def test_the_untouched_copy_runs_its_notebooks(workshop: Workshop, notebook: str) -> None:
    assert workshop.cells(notebook) == "green", workshop.output()


def test_a_falsifier_is_caught(
    workshop: Workshop,
    falsifier: Falsifier,
    record_property: Callable[[str, object], None],
    pytestconfig: pytest.Config,
) -> None:
    all_of_them = pytestconfig.getoption("falsifiers_share") == 1
    start = perf_counter()
    with workshop.broken(falsifier):
        test = workshop.tests(falsifier.seen_by)
        output = workshop.output()
        # Counted, not asserted: theory/README.md keeps the count of all of them.
        cell = workshop.cells_of(falsifier.claim) if falsifier.claim and all_of_them else ""
    seconds = f"{perf_counter() - start:.0f}"
    change = f"{falsifier.old.strip()} → {falsifier.new.strip()}"
    row = (falsifier.promise, falsifier.file, " ".join(change.split()), test, cell, seconds)
    record_property("falsifier", row)
    assert test == "red", f"{test} under {change} in {falsifier.file}\n{output}"


WINDOW = "exptest/statistics/window.py"
SEEN_BY = ("tests/statistics/test_window.py::test_the_latest_knee_is_root_two_l0_over_e",)


def test_a_crash_is_no_falsifier_and_a_harmless_change_is_not_caught(workshop: Workshop) -> None:
    old, about = "WINDOW_CONSTANT = ", "the runner itself"
    for new, said in (("WINDOW_CONSTANT = nothing + ", "no test fails"), (f"{old} ", "green")):
        with workshop.broken(Falsifier(WINDOW, old, new, about=about, tests=SEEN_BY)):
            assert workshop.tests(SEEN_BY).startswith(said)
    assert workshop.tests(SEEN_BY) == "green"


def test_a_cell_is_run_after_those_before_it(workshop: Workshop) -> None:
    (cell,) = tagged_cells()["C4.2"]
    assert workshop.cells(cell.notebook, cell.place) == "green"
    old = "steepness = math.sqrt(2.0) * loss * b"
    with workshop.broken(Falsifier(WINDOW, old, old.replace("2.0", "3.0"), claim="C4.2")):
        assert workshop.cells_of("C4.2") in {"red", "earlier"}
