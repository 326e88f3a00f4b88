"""A trained model in memory, with everything its checkpoint says of it."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sluice.config.schema import Config
from sluice.plain import PlainMapping
from sluice.text.vocab import Vocab

DEFAULT_CACHE, DEFAULT_OUTPUT = "data/cache", "outputs"
"""As in conf/paths."""


@dataclass(frozen=True)
class SavedModel:
    """What a checkpoint holds."""

    path: Path
    config: Config
    network: Any
    """In evaluation mode, on the CPU."""
    parts: PlainMapping
    """What it carries besides the weights, see TaskRecipe.saved_parts."""
    data_source: str

    @cached_property
    def vocab(self) -> Vocab:
        """The words that a classifier or a language model knows."""
        return Vocab(self.parts["vocab"])

    @property
    def labels(self) -> tuple[str, ...]:
        """A classifier's class names."""
        return tuple(self.parts["labels"])

    def with_paths(self, data_dir: Path | None) -> "SavedModel":
        """The same model for a command that reads its data: where it reads and writes.

        The checkpoint's folders are of the machine of its training, or of whoever made it. Corpora are read where it
        says, unless the command or SLUICE_DATA says otherwise, but nothing is downloaded there; nothing else of it is
        used.

        Args:
            data_dir: folder with the corpora, as the command line gives it; None for SLUICE_DATA.
        """
        config, own = self.config, str(data_dir or os.environ.get("SLUICE_DATA") or "")
        task = config.task
        data = getattr(task, "data", None)
        if not own and getattr(data, "source", None) in ("auto", "download"):
            task = replace(task, data=replace(data, source="local"))  # type: ignore[type-var, call-arg]
        cache_dir = os.environ.get("SLUICE_CACHE") or DEFAULT_CACHE
        paths = replace(config.paths, data_dir=own or config.paths.data_dir, cache_dir=cache_dir)
        return replace(self, config=replace(config, task=task, paths=paths))
