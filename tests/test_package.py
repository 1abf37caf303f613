"""What Jupyter users touch first: names after a dot, the version, what the wheel carries."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import exptest
from tests.integrations.test_lazy import FRAMEWORKS

ROOT = Path(__file__).parent.parent
# What a new process offers, in the order in which it comes to know of more.
SESSION = """
import importlib, json, pkgutil, sys, warnings
import exptest

warnings.simplefilter("ignore")
said = {"before": dir(exptest)}
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.user_ns["exptest"] = exptest

def after_a_tab(jedi):
    shell.Completer.use_jedi = jedi
    with provisionalcompleter():
        return sorted({c.text.lstrip(".") for c in shell.Completer.completions("exptest.", 8)})

said["jedi"] = after_a_tab(True)
import exptest.tuner
said["after"] = dir(exptest)
said["no jedi"] = after_a_tab(False)
said["packages"] = {}
found = [m.name for m in pkgutil.walk_packages(exptest.__path__, "exptest.") if m.ispkg]
for name in ["exptest", *found]:
    package = importlib.import_module(name)
    public = [each for each in dir(package) if not each.startswith("_")]
    said["packages"][name] = [getattr(package, "__all__", []), public]
said["modules"] = list(sys.modules)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SESSION], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_a_tab_offers_exactly_the_public_names(said: dict[str, Any]) -> None:
    assert said["jedi"] == sorted(exptest.__all__)
    # Without jedi IPython looks at every value, which imports the modules that hold them.
    assert set(said["no jedi"]) - set(exptest.__all__) <= {
        "optim", "record", "recorded", "statistics", "training", "tuner",
    }  # fmt: skip
    assert set(exptest.__all__) <= set(said["no jedi"])


def test_dir_offers_public_names_the_version_and_what_was_imported(said: dict[str, Any]) -> None:
    assert said["before"] == [*exptest.__all__[:5], "__version__", *exptest.__all__[5:]]
    assert set(said["after"]) - set(said["before"]) == {"record", "statistics", "tuner"}


def test_a_package_offers_what_it_promises_and_its_modules(said: dict[str, Any]) -> None:
    assert len(said["packages"]) > 5
    for name, (promised, offered) in said["packages"].items():
        modules = {m.name for m in pkgutil.iter_modules(importlib.import_module(name).__path__)}
        assert set(promised) <= set(offered) <= set(promised) | modules, name


def test_importing_every_package_imports_no_framework(said: dict[str, Any]) -> None:
    assert {"exptest.integrations", "exptest.optim"} <= set(said["modules"])
    assert not set(said["modules"]) & {*FRAMEWORKS}


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'exptest' has no attribute 'Fit'"):
        exptest.Fit  # noqa: B018


def test_type_checkers_are_told_that_types_are_here() -> None:
    assert (ROOT / "exptest" / "py.typed").exists()
