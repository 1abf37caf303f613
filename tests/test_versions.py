"""One set of bounds for pip and conda, a tested version of everything within them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIRED = [Requirement(x) for x in (*PROJECT["dependencies"], *EXTRAS["lab"], *EXTRAS["test"])]
BOUNDS = {requirement.name: requirement.specifier for requirement in REQUIRED}
CONSTRAINTS = "tests/constraints.txt"


def pins() -> dict[str, str]:
    """The versions of the constraints file that apply to this Python on this machine."""
    lines = (line.split("#")[0].strip() for line in (ROOT / CONSTRAINTS).read_text().splitlines())
    pinned = [Requirement(line) for line in lines if line]
    here = [pin for pin in pinned if pin.marker is None or pin.marker.evaluate()]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in here}


def test_conda_users_get_the_same_bounds() -> None:
    text = (ROOT / "environment.yml").read_text()
    names = {"matplotlib-base": "matplotlib", "pytorch": "torch"}
    conda = {
        names.get(name, name): SpecifierSet(bounds)
        for name, bounds in re.findall(r"^  - ([\w-]+)([<>=!].*)$", text, re.MULTILINE)
    }
    assert conda.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert conda == BOUNDS


def test_every_requirement_has_a_tested_version_within_its_bounds() -> None:
    versions = pins()
    here = [each for each in REQUIRED if each.marker is None or each.marker.evaluate()]
    assert [each for each in here if versions[each.name] not in each.specifier] == []


def test_the_readmes_commands_install_the_tested_versions() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r'^python -m pip install -e "\.\[(\w+)\]" -c (\S+) &&', readme, re.M)
    assert commands == [("lab", CONSTRAINTS), ("test", CONSTRAINTS)]
