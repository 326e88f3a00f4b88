"""A trained model in memory, with the contents of its checkpoint."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sluice.config.schema import Config
from sluice.plain import PlainMapping
from sluice.text.tokenizers import is_attached
from sluice.text.vocab import Vocab

DEFAULT_CACHE, DEFAULT_OUTPUT = "data/cache", "outputs"
"""Defaults of conf/paths."""
MAX_LONE_MARKS = 2
"""Maximum number of words that begin with a combining mark in a vocabulary whose words were not split at marks."""


@dataclass(frozen=True)
class SavedModel:
    """The contents of a checkpoint."""

    path: Path
    config: Config
    network: Any
    """In evaluation mode, on the CPU."""
    parts: PlainMapping
    """Contents besides the weights, see TaskRecipe.saved_parts."""
    data_source: str
    tokenized: bool | None = None
    """Whether the texts given to it are tokenised already, see `sluice.text.tokenization.given_tokenizer`."""

    @cached_property
    def vocab(self) -> Vocab:
        """Vocabulary of a classifier or language model."""
        return Vocab(self.parts["vocab"])

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of a classifier."""
        return tuple(self.parts["labels"])

    @property
    def has_split_words(self) -> bool:
        """Whether the training words were split at combining marks, as in earlier versions."""
        text = getattr(self.config.task, "text", None)
        if getattr(text, "unit", "words") != "words" or getattr(text, "tokenizer", "") not in ("words", "moses"):
            return False
        vocabularies = [self.parts, *(self.parts.get(side) or {} for side in ("source", "target"))]
        tokens = [token for each in vocabularies for token in each.get("vocab", ())]
        return sum(bool(token) and is_attached(token[0]) for token in tokens) > MAX_LONE_MARKS

    def with_paths(self, data_dir: Path | None) -> "SavedModel":
        """Replaces the folders stored in the checkpoint, for a command that reads data.

        The stored folders belong to the machine that trained the model. Only the stored data folder is used, to read
        corpora from, unless `data_dir` or SLUICE_DATA names another; nothing is downloaded to it.

        Args:
            data_dir: folder with the corpora; None for SLUICE_DATA.
        """
        config, own = self.config, str(data_dir or os.environ.get("SLUICE_DATA") or "")
        task = config.task
        data = getattr(task, "data", None)
        if not own and getattr(data, "source", None) in ("auto", "download"):
            task = replace(task, data=replace(data, source="local"))  # type: ignore[type-var, call-arg]
        cache_dir = os.environ.get("SLUICE_CACHE") or DEFAULT_CACHE
        paths = replace(config.paths, data_dir=own or config.paths.data_dir, cache_dir=cache_dir)
        return replace(self, config=replace(config, task=task, paths=paths))
