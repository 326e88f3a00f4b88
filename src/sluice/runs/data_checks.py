"""Comparing the data of a trained model with the record in its checkpoint."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.composition.checks import FILES
from sluice.data.identity import FILE_NAME, DataIdentity, Hashes, SelectedRows, SplitHashes, identity_changes
from sluice.errors import UserError
from sluice.runs.saved_model import SavedModel

log = logging.getLogger(__name__)


def repeated_texts(hashes: SplitHashes | None, name: str = "texts") -> list[str]:
    """Lines reporting texts of the validation and test splits that also occur in the training split."""
    counts = {} if hashes is None else hashes.overlap_with_train()
    return [
        f"{count:,} {name} of {split} also occur in train (they are kept)" for split, count in counts.items() if count
    ]


def check_own_files(models: Iterable[SavedModel]) -> None:
    """Checks that the user's files exist, whose stored paths may be relative to another folder.

    Raises:
        UserError: for the first that does not.
    """
    for model in models:
        data = getattr(model.config.task, "data", None)
        for name in FILES:
            path = getattr(data, name, None)
            if path is not None and not Path(path).exists():
                raise UserError(
                    f"task.data.{name}={path} does not exist: name the file of {model.path} as --set data.{name}=FILE, "
                    "or change to the folder of the training"
                )


def rows_of_split(
    model: SavedModel,
    split: str,
    given: NDArray[np.str_],
    hashes: Hashes,
    earlier: Callable[[], Mapping[str, NDArray[np.int64]]],
) -> SelectedRows:
    """Selects the rows of a corpus that belong to a split of the training run; logs how many belong to none.

    Args:
        model: the model.
        split: "train", "val" or "test".
        given: (N,) split of each row according to the corpus.
        hashes: (N,) hashes of the texts.
        earlier: splits the rows as earlier versions did, for their checkpoints.

    Raises:
        UserError: if the checkpoint is not in its run folder, or no row belongs to the split.
    """
    saved = model.parts.get("data")
    if saved is None:
        warn_of_no_record(model.path)
        return SelectedRows(earlier()[split], 0)
    path = model.path.parent / FILE_NAME
    if not path.is_file():
        raise UserError(
            f"{model.path} is not in its run folder, where {FILE_NAME} records the splits: move it back, or, for a "
            "classifier or tagger, evaluate it with --file"
        )
    stored = SplitHashes.load(path, saved["splits"])
    chosen = stored.select(split, given, hashes)
    missing = len(stored.splits[split]) - len(chosen.rows)
    if chosen.left_out:
        log.warning("Skipped %d texts that belong to no split of this run (added or changed since).", chosen.left_out)
    if missing > 0:
        log.warning("%d texts of the %s split are missing.", missing, split)
    if not len(chosen.rows):
        raise UserError(f"all texts of the {split} split of this run are missing: restore its files")
    return chosen


def check_unchanged(model: SavedModel, identity: DataIdentity, instead: str = "") -> None:
    """Checks that data are unchanged since training, for tasks that evaluate whole corpora.

    Args:
        model: the model.
        identity: identity of the current data.
        instead: alternative for the user, for the error message.

    Raises:
        UserError: if the data have changed.
    """
    before, now = model.parts.get("data"), identity.saved()
    if before is None:
        warn_of_no_record(model.path)
        return
    same_texts = (
        before["splits"] is not None and before["splits"] == now["splits"]
    )  # the files may be packed differently
    found = [] if same_texts else identity_changes(before, now)
    if found:
        raise UserError(
            f"the data have changed since {model.path} was trained: {', '.join(found)}; restore them{instead}"
        )


def warn_of_no_record(path: Path) -> None:
    """Warns that a checkpoint of an earlier version has no record of its data."""
    log.warning("%s was written by an earlier version without a record of its data, which cannot be verified.", path)
