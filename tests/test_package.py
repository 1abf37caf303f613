"""What Jupyter users touch first: names after a dot, the version, what the wheel carries."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import exptest

ROOT = Path(__file__).parent.parent
COMPLETE = """
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
import exptest
shell = InteractiveShell.instance()
shell.user_ns["exptest"] = exptest
for shell.Completer.use_jedi in (True, False):
    with provisionalcompleter():
        found = shell.Completer.completions("exptest.", 8)
        print(*sorted({c.text.lstrip(".") for c in found}))
"""
OFFERED = """
import importlib, json, pkgutil
import exptest
found = [m for m in pkgutil.walk_packages(exptest.__path__, "exptest.") if m.ispkg]
for name in ["exptest", *(m.name for m in found)]:
    package = importlib.import_module(name)
    public = [each for each in dir(package) if not each.startswith("_")]
    print(json.dumps([name, getattr(package, "__all__", []), public]))
"""


def test_a_tab_offers_exactly_the_public_names() -> None:
    command = [sys.executable, "-W", "ignore", "-c", COMPLETE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with_jedi, without = done.stdout.strip().splitlines()
    assert with_jedi.split() == sorted(exptest.__all__)
    # Without jedi IPython looks at every value, which imports the modules that hold them.
    assert set(without.split()) - set(exptest.__all__) <= {
        "optim", "record", "recorded", "statistics", "training", "tuner",
    }  # fmt: skip
    assert set(exptest.__all__) <= set(without.split())


def test_dir_offers_public_names_the_version_and_what_was_imported() -> None:
    code = "import exptest; print(*dir(exptest)); import exptest.tuner; print(*dir(exptest))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(str.split, done.stdout.splitlines())
    assert before == [*exptest.__all__[:5], "__version__", *exptest.__all__[5:]]
    assert set(after) - set(before) == {"record", "statistics", "tuner"}


def test_a_package_offers_what_it_promises_and_its_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFERED], capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        name, promised, offered = json.loads(line)
        modules = {m.name for m in pkgutil.iter_modules(importlib.import_module(name).__path__)}
        assert set(promised) <= set(offered) <= set(promised) | modules, name


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'exptest' has no attribute 'Fit'"):
        exptest.Fit  # noqa: B018


def test_type_checkers_are_told_that_types_are_here() -> None:
    assert (ROOT / "exptest" / "py.typed").exists()
