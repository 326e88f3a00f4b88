"""The data of a trained model, read again: compared with what its checkpoint recorded of them."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.data.identity import FILE_NAME, Chosen, DataIdentity, Hashes, SplitHashes, changes
from sluice.errors import UserError
from sluice.recipes.saved_model import SavedModel

log = logging.getLogger(__name__)


def repeated_texts(identity: DataIdentity) -> list[str]:
    """How many texts of validation and test are also in the training split, in words; published splits have such."""
    hashes = identity.hashes
    counts = {} if hashes is None else hashes.repeated()
    return [f"{count:,} texts of {split} are also in train, and stay there" for split, count in counts.items() if count]


def rows_of_split(
    model: SavedModel,
    split: str,
    given: NDArray[np.str_],
    hashes: Hashes,
    earlier: Callable[[], Mapping[str, NDArray[np.int64]]],
) -> Chosen:
    """The rows of a corpus that are in a split of the model's run; how many are in none is logged.

    Args:
        model: the model.
        split: "train", "val" or "test".
        given: (N,) the split that the corpus gives each row.
        hashes: (N,) of the rows' texts.
        earlier: gives the rows of each split as earlier versions cut them, for their checkpoints.

    Raises:
        UserError: if the checkpoint isn't in its run's folder, or none of the rows is in the split.
    """
    saved = model.parts.get("data")
    if saved is None:
        warn_of_no_record(model.path)
        return Chosen(earlier()[split], 0)
    path = model.path.parent / FILE_NAME
    if not path.is_file():
        raise UserError(
            f"{model.path} is not in the folder of its run, where {FILE_NAME} records which texts are in which split: "
            "put it back there; without it, a checkpoint can be evaluated on --file only, which classifiers of single "
            "texts take"
        )
    stored = SplitHashes.load(path, saved["splits"])
    chosen = stored.choose(split, given, hashes)
    missing = len(stored.splits[split]) - len(chosen.rows)
    if chosen.left_out:
        log.warning("Left out, in no split of this run (added or changed since): %d texts.", chosen.left_out)
    if missing > 0:
        log.warning("Texts of the %s split that are no longer there: %d.", split, missing)
    if not len(chosen.rows):
        raise UserError(f"none of the texts of the {split} split of this run is there: restore its files")
    return chosen


def check_unchanged(model: SavedModel, identity: DataIdentity, instead: str = "") -> None:
    """Refuses data that are used whole and are not those of the model's training.

    Args:
        model: the model.
        identity: of the data as they are today.
        instead: what else the person may do, for the message.

    Raises:
        UserError: naming what has changed.
    """
    before, now = model.parts.get("data"), identity.saved()
    if before is None:
        warn_of_no_record(model.path)
        return
    same_texts = before["splits"] is not None and before["splits"] == now["splits"]  # if perhaps in another archive
    found = [] if same_texts else changes(before, now)
    if found:
        raise UserError(
            f"the data have changed since {model.path} was trained: {', '.join(found)}; restore them{instead}"
        )


def warn_of_no_record(path: Path) -> None:
    """Logs that a checkpoint of an earlier version cannot be compared with its data."""
    log.warning("%s has no record of its data (it is of an earlier version): they cannot be verified.", path)
