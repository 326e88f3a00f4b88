"""Checks that a run is resumed on the data it was started with."""

from pathlib import Path

from sluice.callbacks.checkpoints import LAST
from sluice.config.renamed import update_settings
from sluice.config.schema import Config
from sluice.data.corpus import Corpus
from sluice.data.fingerprints import fingerprint_of
from sluice.data.identity import DataIdentity, identity_changes
from sluice.errors import UserError
from sluice.plain import PlainMapping
from sluice.runs.checkpoint import read_checkpoint
from sluice.runs.data_checks import warn_of_no_record

PARTS = {
    "vocab": "the vocabulary",
    "labels": "the classes",
    "tags": "the tags",
    "source": "the vocabulary or tokenizer of the sources",
    "target": "the vocabulary or tokenizer of the targets",
}
"""Parts of a checkpoint that must not change, with their names in messages."""


TOKENIZATION_SETTINGS = ("unit", "tokenizer", "lowercase", "max_ngram", "buckets")
"""Settings of task.text that affect tokenisation."""


def write_split_hashes(folder: Path, identity: DataIdentity) -> None:
    """Writes the hashes of the texts of each split to the run folder; does nothing for data without texts.

    Args:
        folder: the run folder.
        identity: identity of the data.
    """
    if identity.hashes is not None:
        identity.hashes.save(folder)


def has_data_record(checkpoint: Path) -> bool:
    """Returns whether a checkpoint is intact and has a data record, which earlier versions did not write."""
    try:
        return "data" in read_checkpoint(checkpoint)[1]["sluice"]
    except UserError:
        return False


def check_same_sources(folder: Path, config: Config, corpus: Corpus) -> None:
    """Checks, before the data are prepared, that the source files of a resumed run have not changed.

    Args:
        folder: the run folder; without an intact checkpoint in it nothing is checked.
        config: the configuration.
        corpus: the corpus as it is now.

    Raises:
        UserError: if the sources have changed.
    """
    path = folder / LAST
    if not has_data_record(path):
        return
    before = read_checkpoint(path)[1]["sluice"]["data"]
    identity = DataIdentity(fingerprint_of(corpus.sources, Path(config.paths.cache_dir))).saved()
    _raise_if_changed(path, identity_changes(before, {**identity, "splits": before["splits"]}))


def check_same_data(checkpoint: Path | None, now: PlainMapping, identity: DataIdentity) -> None:
    """Refuses to resume a run on other data than it was trained on.

    Args:
        checkpoint: the checkpoint to resume from; None for a new run.
        now: what a checkpoint saved now would contain, see TaskRecipe.module_arguments.
        identity: identity of the data.

    Raises:
        UserError: if the data or their tokenisation have changed.
    """
    if checkpoint is None:
        return
    before = read_checkpoint(checkpoint)[1]["sluice"]
    differences = identity_changes(before["data"], now["data"]) if "data" in before else []
    differences += [meaning for name, meaning in PARTS.items() if before.get(name) != now.get(name)]
    configs = [update_settings(saved["config"], saved["schema"]) for saved in (before, now)]
    texts = [config["task"].get("text", {}) for config in configs]
    differences += [
        f"task.text.{name}" for name in TOKENIZATION_SETTINGS if len({str(text.get(name)) for text in texts}) > 1
    ]
    _raise_if_changed(checkpoint, differences)
    if "data" not in before and not identity.matches_legacy_split:
        raise UserError(
            f"{checkpoint} was written by an earlier version that split data differently (identical texts could be in "
            "several splits), so validation would use training texts: start a new run without resume="
        )
    if "data" not in before:
        warn_of_no_record(checkpoint)


def _raise_if_changed(checkpoint: Path, differences: list[str]) -> None:
    if differences:
        raise UserError(
            f"the data have changed since {checkpoint} was written: {', '.join(differences)}; restore them, or start a "
            "new run without resume="
        )
