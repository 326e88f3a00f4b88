"""What data a model was trained on, and how other data differ from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.data.fingerprints import FileDigest, Fingerprint
from sluice.data.split_hashes import SplitHashes

MOST_NAMED = 5
"""Files named in a message."""


@dataclass(frozen=True)
class DataIdentity:
    """Prepared data: their sources and their splits."""

    fingerprint: Fingerprint
    hashes: SplitHashes | None = None
    """Of data that consist of separate texts."""
    text_digest: str | None = None
    """Of running text: over all lines."""
    split_as_earlier: bool = True
    """Whether versions that recorded nothing of the data, and drew identical texts one by one, cut the same splits."""

    def saved(self) -> dict[str, Any]:
        """What a checkpoint carries of it: plain containers."""
        return {
            "fingerprint": self.fingerprint.digest,
            "recipe": self.fingerprint.recipe,
            "seed": self.fingerprint.seed,
            "files": [list(file) for file in self.fingerprint.files],
            "splits": self.hashes.digest if self.hashes else self.text_digest,
        }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two identities as `DataIdentity.saved` gives them, in words; empty if nothing does."""
    found = _changed_files(
        [FileDigest(*file) for file in before["files"]], [FileDigest(*file) for file in now["files"]]
    )
    if before["recipe"] != now["recipe"]:
        found.append(f"how the texts are read or generated ({before['recipe']!r} then, {now['recipe']!r} now)")
    if before["seed"] != now["seed"]:
        found.append(f"the seed of the generated data ({before['seed']} then, {now['seed']} now)")
    if not found and before["fingerprint"] != now["fingerprint"]:
        found.append("the order or the roles of the source files")
    if not found and before["splits"] != now["splits"]:
        found.append("the split into training, validation and test")
    return found


def _changed_files(before: Sequence[FileDigest], now: Sequence[FileDigest]) -> list[str]:
    """Paths of the files that are new or have another content, and of those that are gone."""
    then, today = ({(file.role, file.digest) for file in files} for files in (before, now))
    changed = [file.name for file in now if (file.role, file.digest) not in then]
    names = {Path(name).name for name in changed}
    gone = [file.name for file in before if (file.role, file.digest) not in today and Path(file.name).name not in names]
    found = [*changed, *(f"{name} (no longer read)" for name in gone)]
    more = len(found) - MOST_NAMED
    return [*found[:MOST_NAMED], f"{more} more files"] if more > 0 else found
