"""Other people's frameworks are imported when they are used, and named when they are missing."""

from __future__ import annotations

import importlib
import sys

import pytest

FRAMEWORKS = ["lightning", "pytorch_lightning", "transformers", "accelerate", "skorch"]


@pytest.mark.parametrize("extra", ["lightning", "transformers"])
def test_a_missing_framework_is_named_with_its_extra(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FRAMEWORKS:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"exptest.integrations.{extra}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install -e '\.\[{extra}\]'"):
        importlib.import_module(f"exptest.integrations.{extra}")
