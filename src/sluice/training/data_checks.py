"""Whether a run is resumed on the data that it was begun with."""

from pathlib import Path

from sluice.callbacks.checkpoints import LAST
from sluice.config.renamed import update_settings
from sluice.config.schema import Config
from sluice.data.corpus import Corpus
from sluice.data.fingerprints import fingerprint_of
from sluice.data.identity import DataIdentity, identity_changes
from sluice.errors import UserError
from sluice.plain import PlainMapping
from sluice.recipes.data_checks import warn_of_no_record
from sluice.runs.checkpoint import read_checkpoint

PARTS = {
    "vocab": "the vocabulary",
    "labels": "the classes",
    "tags": "the tags",
    "source": "the vocabulary or tokenizer of the sources",
    "target": "the vocabulary or tokenizer of the targets",
}
"""Of a checkpoint, with their names in messages."""


TOKENIZER = ("unit", "tokenizer", "lowercase", "max_ngram", "buckets")
"""Settings of task.text that say how a text is cut."""


def write_splits(folder: Path, identity: DataIdentity) -> None:
    """Writes into a run's folder which texts are in which split; nothing for data that don't consist of texts.

    Args:
        folder: the run's folder.
        identity: of the data.
    """
    if identity.hashes is not None:
        identity.hashes.save(folder)


def has_data_record(checkpoint: Path) -> bool:
    """Whether a sound checkpoint lies there that records its data; those of earlier versions don't."""
    try:
        return "data" in read_checkpoint(checkpoint)[1]["sluice"]
    except UserError:
        return False


def check_same_sources(folder: Path, config: Config, corpus: Corpus) -> None:
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
    _refuse(path, identity_changes(before, {**identity, "splits": before["splits"]}))


def check_same_data(checkpoint: Path | None, now: PlainMapping, identity: DataIdentity) -> None:
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
    found = identity_changes(before["data"], now["data"]) if "data" in before else []
    found += [meaning for name, meaning in PARTS.items() if before.get(name) != now.get(name)]
    configs = [update_settings(saved["config"], saved["schema"]) for saved in (before, now)]
    cutting = [config["task"].get("text", {}) for config in configs]
    found += [f"task.text.{name}" for name in TOKENIZER if len({str(text.get(name)) for text in cutting}) > 1]
    _refuse(checkpoint, found)
    if "data" not in before and not identity.matches_legacy_split:
        raise UserError(
            f"{checkpoint} is of an earlier version, which drew identical texts one by one: with the splits of this "
            "version, it would be validated on texts it was trained on; start a new run without resume="
        )
    if "data" not in before:
        warn_of_no_record(checkpoint)


def _refuse(checkpoint: Path, found: list[str]) -> None:
    if found:
        raise UserError(
            f"the data have changed since {checkpoint} was written: {', '.join(found)}; restore them, or start a new "
            "run without resume="
        )
