"""Allocations that cannot fit are refused before they are tried."""

from pathlib import Path

import pytest

from sluice import memory
from sluice.errors import UserError


def test_allocation_above_the_total_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "total_memory", lambda: 4 * memory.GIB)
    memory.require_memory(4 * memory.GIB, "it", "choose less")
    with pytest.raises(UserError, match=r"the network would need 8 GiB of memory, .*this machine has 4: choose less"):
        memory.require_memory(8 * memory.GIB, "the network", "choose less")


@pytest.mark.parametrize(("content", "limited"), [("1024\n", True), ("max\n", False), (None, False)])
def test_limit_of_a_container_counts(
    content: str | None, limited: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CGROUP_LIMIT", tmp_path / "memory.max")
    if content is not None:
        (tmp_path / "memory.max").write_text(content)
    assert (memory.total_memory() == 1024) == limited
