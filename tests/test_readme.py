"""The README keeps its promises: short, its example runs, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from exptest.models import mlp

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_readme_has_at_most_120_lines() -> None:
    assert len(README.splitlines()) <= 120


def test_the_example_runs_and_decides() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    inputs = torch.randn(512, 4)
    targets = (inputs.sum(1) > 0).long()
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=8)
    scope = {"model": mlp([4, 8, 2]), "inputs": inputs, "loader": loader}
    exec(example, scope)
    assert len(scope["exptest"].record.losses) == 64


def test_links_lead_somewhere() -> None:
    documents = [ROOT / "README.md", *(ROOT / "theory").glob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name}: {target}"
