"""sluice doctor: describes the environment, and what to do about what is missing."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict

from sluice.diagnostics.finding import BROKEN, OK, Finding
from sluice.errors import UserError
from sluice.terminal import print_line

WIDTH, INDENT = 80, 34
"""Width of the lines, and the column at which values begin."""
WRAPPER = textwrap.TextWrapper(WIDTH - INDENT, break_long_words=False, break_on_hyphens=False)


def examine(*, as_json: bool) -> None:
    """Prints what was found, with advice where something is missing.

    Args:
        as_json: print one JSON object per finding instead of text.

    Raises:
        UserError: if something is broken that Sluice needs.
    """
    broken, section = [], ""
    for finding in _findings():
        if as_json:
            print(json.dumps(asdict(finding)))
        else:
            if finding.section != section:
                print_line(f"\n{finding.section}" if section else finding.section)
                section = finding.section
            _print(finding)
        if finding.state == BROKEN:
            broken.append(finding.name)
    if broken:
        raise UserError(f"{', '.join(broken)} cannot be used: follow the advice above")


def _findings() -> Iterator[Finding]:
    from sluice.diagnostics.packages import check_packages, check_python

    yield from check_python()
    packages = list(check_packages())
    yield from packages
    if any(finding.state == BROKEN and finding.name == "torch" for finding in packages):
        return
    from sluice.diagnostics.folders import check_folders, check_slurm
    from sluice.diagnostics.hardware import check_devices, check_kernels

    yield from check_devices()
    yield from check_kernels()
    yield from check_folders()
    yield from check_slurm()


def _print(finding: Finding) -> None:
    mark = {OK: " ", BROKEN: "!"}.get(finding.state, "-")
    texts = [finding.value, *([] if finding.advice is None else [finding.advice])]
    value, *rest = [line for text in texts for line in WRAPPER.wrap(text) or [""]]
    print_line(f"{mark} {finding.name:<{INDENT - 3}} {value}".rstrip())
    for line in rest:
        print_line(f"{'':{INDENT}}{line}")
