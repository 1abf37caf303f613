"""``python -m tests.falsifiers.server``, in the copy: a fork of it runs each trial.

Its parent has the slow libraries loaded, but neither the package nor the tests: those are read as
the copy holds them then. A line of JSON asks, a line answers.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

LIBRARIES = (
    "IPython.display", "beartype", "hypothesis", "ipywidgets", "jaxtyping", "joblib",
    "jupyter_client", "matplotlib.pyplot", "nbformat", "pandas", "scipy.optimize", "scipy.stats",
    "sklearn.datasets", "statsmodels.api", "torch.func",
)  # fmt: skip
LONGEST = 1800  # seconds
# The change broke the code instead of making it wrong.
BROKEN = (NameError, SyntaxError, ImportError)


class Watch:
    """Of a pytest run: what the first failing test raised."""

    def __init__(self) -> None:
        self.raised: list[BaseException] = []

    def pytest_exception_interact(self, call: Any, report: Any) -> None:
        if getattr(report, "when", "collect") == "call" and call.excinfo:
            self.raised.append(call.excinfo.value)


def run_tests(tests: Sequence[str]) -> str:
    """``red`` if a test fails, ``green`` if all pass, else what went wrong."""
    import pytest

    watch = Watch()
    early = "ignore::pytest.PytestAssertRewriteWarning"  # of a library that the parent loaded
    options = ["-q", "-x", "-n0", "-p", "no:cacheprovider", "-W", early]
    options += ["--hypothesis-profile", "falsifiers"]  # red is red: no smaller example is sought
    code = pytest.main([*options, *tests], plugins=[watch])
    if code == 0:
        return "green"
    if not watch.raised or isinstance(watch.raised[0], BROKEN):
        return f"no test fails, {code!r}: {[repr(error) for error in watch.raised]}"
    return "red"


def run_cells(sources: Sequence[str]) -> str:
    """``red`` if the last cell fails, ``earlier`` if one before it does, else ``green``."""
    from IPython.display import display

    os.chdir("notebooks")
    names: dict[str, Any] = {"__name__": "__main__", "display": display}
    for place, source in enumerate(sources, start=1):
        try:
            exec(compile(source, f"cell {place}", "exec"), names)
        except Exception as error:
            print(f"cell {place}: {error!r}")
            return "red" if place == len(sources) else "earlier"
    return "green"


def forked(task: Callable[[Any], str], argument: Any, log: str) -> str:
    """Run it in a fork whose output goes to a file."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        signal.alarm(LONGEST)  # a loop may have lost its end
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            os.write(writing, task(argument).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said or "the process died"


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in LIBRARIES:
        importlib.import_module(name)
    tasks = {"tests": run_tests, "cells": run_cells}
    for line in sys.stdin:
        kind, argument, log = json.loads(line)
        print(json.dumps(forked(tasks[kind], argument, log)), file=answers, flush=True)


if __name__ == "__main__":
    main()
