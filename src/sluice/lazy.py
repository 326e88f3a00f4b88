"""Lazy exports of a package."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def lazy_exports(package: str, exports: dict[str, Sequence[str]]) -> tuple[Callable[[str], Any], list[str]]:
    """Exports names of a package's modules that are imported on first access (PEP 562).

    The package lists the same names under `if TYPE_CHECKING:`, for type checkers and editors.

    Args:
        package: the package's `__name__`.
        exports: maps modules of the package to the names that they export.

    Returns:
        The package's `__getattr__` and `__all__`.

    Example:
        __getattr__, __all__ = lazy_exports(__name__, {"datamodule": ["ResumableData", "BucketedData"]})
    """
    module_of = {name: module for module, names in exports.items() for name in names}

    def getattr_of_package(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    return getattr_of_package, sorted(module_of)
