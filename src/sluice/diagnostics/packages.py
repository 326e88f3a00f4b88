"""Python, the installed packages and the optional extras."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from sluice.diagnostics.finding import BROKEN, OK, OPTIONAL, Finding
from sluice.errors import UserError
from sluice.installation import PACKAGE, find_conf, repository
from sluice.version import __version__

DISTRIBUTION = "sluice-rnn"
FOR_DEVELOPMENT = ("dev", "docs")
"""The extras that are not reported."""


def check_python() -> Iterator[Finding]:
    """Yields Python, the operating system, and where Sluice is installed."""
    yield Finding("System", "python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("System", "platform", platform.platform())
    root = repository()
    yield Finding("System", "sluice", f"{__version__} ({PACKAGE if root is None else f'checkout {root}'})")
    try:
        yield Finding("System", "configuration", str(find_conf()))
    except UserError as error:
        yield Finding("System", "configuration", "not found", BROKEN, str(error))


def check_packages() -> Iterator[Finding]:
    """Yields every required package, then those of the optional extras."""
    requirements = _requirements()
    if not requirements:
        advice = f"install Sluice to have them checked: pip install {DISTRIBUTION}, or pip install -e . in a checkout"
        yield Finding("Packages", DISTRIBUTION, "not installed, its requirements are unknown", OPTIONAL, advice)
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _required(requirement)
    for extra in _extras():
        for requirement in requirements:
            marker = requirement.marker
            if marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
                yield _optional(extra, requirement)


def _requirements() -> list[Requirement]:
    found = []
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    for line in lines:
        try:
            found.append(Requirement(line))
        except InvalidRequirement:
            continue
    return found


def _extras() -> list[str]:
    try:
        extras: list[str] = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return []
    return [extra for extra in extras if extra not in FOR_DEVELOPMENT]


def _required(requirement: Requirement) -> Finding:
    version = _version(requirement.name)
    install = f"pip install '{requirement.name}{requirement.specifier}'"
    if version is None:
        return Finding("Packages", requirement.name, "not installed", BROKEN, install)
    if not requirement.specifier.contains(version, prereleases=True):
        value = f"{version}, but Sluice needs {requirement.specifier}"
        return Finding("Packages", requirement.name, value, BROKEN, install)
    return Finding("Packages", requirement.name, version, OK)


def _optional(extra: str, requirement: Requirement) -> Finding:
    version, name = _version(requirement.name), f"[{extra}] {requirement.name}"
    install = f"to use it: pip install '{DISTRIBUTION}[{extra}]'"
    if version is None:
        return Finding("Extras", name, "not installed", OPTIONAL, install)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding("Extras", name, f"{version}, but Sluice needs {requirement.specifier}", OPTIONAL, install)
    return Finding("Extras", name, version, OK)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
