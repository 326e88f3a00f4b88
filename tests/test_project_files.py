"""The files that describe the project agree with each other."""

import re
from pathlib import Path

import pytest
import yaml

from sluice.version import __version__

ROOT = Path(__file__).resolve().parents[1]
tomllib = pytest.importorskip("tomllib")  # since Python 3.11
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_licence_is_that_of_the_project() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License")
    assert "The Sluice authors" in text
    assert PROJECT["project"]["license"] == "MIT"


def test_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (__version__, "MIT")


def test_every_test_tier_is_documented() -> None:
    markers = [line.partition(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    assert [marker for marker in markers if f"-m {marker}" not in CONTRIBUTING] == []


def test_paths_in_contributing_exist() -> None:
    named = set(re.findall(r"`((?:src|tests|conf|docs|\.github|\.ci)/[\w./-]*)`", CONTRIBUTING))
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists() and "name.yaml" not in name] == []


def test_linters_of_ci_are_those_of_pre_commit() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = " ".join(step.get("run", "") for step in workflow["jobs"]["lint"]["steps"])
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks if hook["entry"].removesuffix(" --force-exclude") not in steps] == []


def test_image_contains_what_the_wheel_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists()
                assert f"!{name}" in ignored
