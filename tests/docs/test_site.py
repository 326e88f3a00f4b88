"""The web site of docs/ is built without warnings, with a reference from the docstrings (`pytest -m docs`)."""

import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

pytestmark = pytest.mark.docs


def test_site_builds_without_warnings(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    models = (tmp_path / "site" / "reference" / "models" / "index.html").read_text(encoding="utf-8")
    assert 'id="sluice.Classifier.predict_proba"' in models
    assert "&gt;&gt;&gt;" in models or 'class="gp"' in models, "examples of docstrings"
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis.com" not in home, "no requests to other servers"
