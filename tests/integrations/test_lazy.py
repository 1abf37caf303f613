"""Other people's frameworks are imported when they are used, and named when they are missing."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

FRAMEWORKS = ["lightning", "pytorch_lightning", "transformers", "accelerate", "skorch"]


def test_importing_the_package_imports_no_framework() -> None:
    code = "import exptest, exptest.integrations, exptest.optim, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & set(FRAMEWORKS)


@pytest.mark.parametrize("extra", ["lightning", "transformers"])
def test_a_missing_framework_is_named_with_its_extra(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FRAMEWORKS:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"exptest.integrations.{extra}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install -e '\.\[{extra}\]'"):
        importlib.import_module(f"exptest.integrations.{extra}")
