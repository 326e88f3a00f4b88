"""The data of a trained model, read again: compared with what its checkpoint recorded of them."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.callbacks.checkpoints import LAST
from sluice.config.schema import Config
from sluice.data.fingerprints import fingerprint_of
from sluice.data.identity import DataIdentity, changes
from sluice.data.split_hashes import FILE_NAME, Chosen, Hashes, SplitHashes
from sluice.errors import UserError
from sluice.recipes.saved_model import SavedModel
from sluice.runs.checkpoint import read_checkpoint

log = logging.getLogger(__name__)

PARTS = {
    "vocab": "the vocabulary",
    "labels": "the classes",
    "tags": "the tags",
    "source": "the vocabulary or tokenizer of the sources",
    "target": "the vocabulary or tokenizer of the targets",
}
"""Of a checkpoint, with their names in messages."""
TOKENIZER = ("unit", "tokenizer", "lowercase", "longest_ngram", "buckets")
"""Settings of task.text that say how a text is cut."""


def write_splits(folder: Path, identity: DataIdentity) -> None:
    """Writes into a run's folder which texts are in which split; nothing for data that don't consist of texts.

    Args:
        folder: the run's folder.
        identity: of the data.
    """
    if identity.hashes is not None:
        identity.hashes.save(folder)


def repeated_texts(identity: DataIdentity) -> list[str]:
    """How many texts of validation and test are also in the training split, in words; published splits have such."""
    hashes = identity.hashes
    counts = {} if hashes is None else hashes.repeated()
    return [f"{count:,} texts of {split} are also in train, and stay there" for split, count in counts.items() if count]


def has_data_record(checkpoint: Path) -> bool:
    """Whether a sound checkpoint lies there that records its data; those of earlier versions don't."""
    try:
        return "data" in read_checkpoint(checkpoint)[1]["sluice"]
    except UserError:
        return False


def check_same_sources(folder: Path, config: Config, corpus: Any) -> None:
    """Refuses to resume a run whose source files have changed, before they are prepared.

    Args:
        folder: the run's folder; without a sound checkpoint in it nothing is checked.
        config: with the cache folder.
        corpus: the corpus as it is today.

    Raises:
        UserError: naming what has changed.
    """
    path = folder / LAST
    if not has_data_record(path):
        return
    before = read_checkpoint(path)[1]["sluice"]["data"]
    identity = DataIdentity(fingerprint_of(corpus.sources, Path(config.paths.cache_dir))).saved()
    _refuse(path, changes(before, {**identity, "splits": before["splits"]}))


def check_same_data(checkpoint: Path | None, now: Mapping[str, Any], identity: DataIdentity) -> None:
    """Refuses to resume a run on other data than it was trained on.

    Args:
        checkpoint: the one to resume from; None for a new run.
        now: what a checkpoint written now would carry, see TaskRecipe.module_arguments.
        identity: of the data.

    Raises:
        UserError: naming what has changed.
    """
    if checkpoint is None:
        return
    before = read_checkpoint(checkpoint)[1]["sluice"]
    found = changes(before["data"], now["data"]) if "data" in before else []
    found += [meaning for name, meaning in PARTS.items() if before.get(name) != now.get(name)]
    cutting = [saved["config"]["task"].get("text", {}) for saved in (before, now)]
    found += [f"task.text.{name}" for name in TOKENIZER if len({str(text.get(name)) for text in cutting}) > 1]
    _refuse(checkpoint, found)
    if "data" not in before and not identity.split_as_earlier:
        raise UserError(
            f"{checkpoint} is of an earlier version, which drew identical texts one by one: with the splits of this "
            "version, it would be validated on texts it was trained on; start a new run without resume="
        )
    if "data" not in before:
        _warn_of_no_record(checkpoint)


def _refuse(checkpoint: Path, found: list[str]) -> None:
    if found:
        raise UserError(
            f"the data have changed since {checkpoint} was written: {', '.join(found)}; restore them, or start a new "
            "run without resume="
        )


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
        _warn_of_no_record(model.path)
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
        _warn_of_no_record(model.path)
        return
    same_texts = before["splits"] is not None and before["splits"] == now["splits"]  # if perhaps in another archive
    found = [] if same_texts else changes(before, now)
    if found:
        raise UserError(
            f"the data have changed since {model.path} was trained: {', '.join(found)}; restore them{instead}"
        )


def _warn_of_no_record(path: Path) -> None:
    log.warning("%s has no record of its data (it is of an earlier version): they cannot be verified.", path)
