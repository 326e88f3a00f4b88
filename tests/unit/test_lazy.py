"""Packages export their API."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
PACKAGES = sorted(
    file.parent.relative_to(SOURCE).as_posix().replace("/", ".") for file in (SOURCE / "sluice").glob("*/__init__.py")
)


@pytest.mark.parametrize("name", PACKAGES)
def test_package_exports_names_that_exist(name: str) -> None:
    package = import_module(name)
    assert package.__doc__
    assert all(getattr(package, export) is not None for export in getattr(package, "__all__", []))


def test_unknown_export_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'sluice.loggers' has no attribute 'Nothing'"):
        import_module("sluice.loggers").Nothing  # noqa: B018


def test_lazy_package_imports_its_modules_on_first_use() -> None:
    code = "import sys, sluice.data as data; assert 'torch' not in sys.modules; data.BucketBatchSampler; import torch"
    subprocess.run([sys.executable, "-c", code], check=True)
