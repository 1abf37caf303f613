"""A copy of the checkout in which the library may be broken."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.claims import ROOT, code_cells, tagged_cells
from tests.falsifiers.ledger import Falsifier, changed

FOLDERS = ("exptest", "tests", "notebooks", "theory")


class Workshop:
    """The copy, and one process in it whose forks run tests and cells."""

    def __init__(self, place: Path) -> None:
        self.copy, self.log = place / "copy", place / "log"
        for name in FOLDERS:
            shutil.copytree(
                ROOT / name, self.copy / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy2(path, self.copy)
        alone = {name: text for name, text in os.environ.items() if "PYTEST" not in name}
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.falsifiers.server"],
            cwd=self.copy,
            env={**alone, "PYTHONPATH": str(self.copy), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.changes = 0

    def close(self) -> None:
        self.server.communicate()

    @contextlib.contextmanager
    def broken(self, falsifier: Falsifier) -> Iterator[None]:
        path, text = self.copy / falsifier.file, changed(falsifier)
        before, original = path.read_text(), path.stat().st_mtime
        self.changes += 1
        path.write_text(text)
        # Compiled files are told apart by whole seconds: no two changes share one.
        os.utime(path, (original - self.changes, original - self.changes))
        try:
            yield
        finally:
            path.write_text(before)
            os.utime(path, (original, original))

    def tests(self, tests: Sequence[str]) -> str:
        return self._ask("tests", list(tests))

    def cells(self, notebook: str, last: int | None = None) -> str:
        """Run a notebook's code cells, up to the one in place ``last``."""
        sources = [source for source, _ in code_cells(notebook)]
        return self._ask("cells", sources if last is None else sources[: last + 1])

    def cells_of(self, claim: str) -> str:
        """Run each notebook that shows a claim, up to the cell that asserts it."""
        said = {self.cells(cell.notebook, cell.place) for cell in tagged_cells()[claim]}
        return next(word for word in ("red", "earlier", *said) if word in said)

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def _ask(self, *question: Any) -> str:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps([*question, str(self.log)]) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, "the process that runs the trials has ended"
        return json.loads(answer)
