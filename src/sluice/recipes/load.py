"""A trained model, from its checkpoint alone."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sluice.config.compose import restored
from sluice.config.schema import Config
from sluice.errors import UserError
from sluice.recipes.outside_code import module_of_checkpoint
from sluice.recipes.registry import Family, family_of
from sluice.recurrent import CELLS
from sluice.runs.checkpoint import (
    check_contents,
    check_shapes,
    network_weights,
    read_checkpoint,
)
from sluice.text.vocab import Vocab

DEFAULT_CACHE = "data/cache"
"""As in conf/paths."""


@dataclass(frozen=True)
class SavedModel:
    """What a checkpoint holds."""

    path: Path
    config: Config
    network: Any
    """In evaluation mode, on the CPU."""
    parts: dict[str, Any]
    """What it carries beside the weights, see Family.saved_parts."""
    data_source: str

    @cached_property
    def vocab(self) -> Vocab:
        """The words that a classifier or a language model knows."""
        return Vocab(self.parts["vocab"])

    @property
    def family(self) -> Family:
        """What kind of task it is of."""
        return family_of(self.config)

    @property
    def labels(self) -> tuple[str, ...]:
        """A classifier's class names."""
        return tuple(self.parts["labels"])


def load_model(run: Path, family: Family | None = None) -> SavedModel:
    """Builds the network of a run's folder or checkpoint and gives it its weights.

    Args:
        run: a run's folder or a checkpoint.
        family: what it must be a model of, or of a kind of; None for any.

    Raises:
        UserError: as `read_checkpoint`, or if the checkpoint is of another family, or its parts don't fit together.
    """
    path, checkpoint = read_checkpoint(run)
    try:
        model = _assembled(path, checkpoint)
    except UserError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise UserError(f"the parts of {path} don't fit together: it was altered, give another one") from error
    if family is not None and not isinstance(model.family, type(family)):
        raise UserError(
            f"{path} is of task={model.config.task.name}, a model that {model.family.deed}; this command wants "
            f"one that {family.deed}: use {model.family.use.format(run=run)}"
        )
    return model


def _assembled(path: Path, checkpoint: dict[str, Any]) -> SavedModel:
    saved = checkpoint["sluice"]
    config = restored(saved["config"], saved["schema"])
    model = config.model
    if model.module is not None:  # unless the cell is registered already, by an import in this process
        registered = model.cell in CELLS
        model.module = None if registered else module_of_checkpoint(path, model.module, saved.get("module_checksum"))
    weights = network_weights(checkpoint)
    check_contents(path, saved, config, weights)
    family = family_of(config)
    if CELLS[config.model.cell].__module__.startswith("sluice.") if config.model.cell in CELLS else not model.module:
        with torch.device("meta"):  # a user-defined cell may need real numbers to be built
            check_shapes(path, family.build_network(config, saved), weights)
    network = family.build_network(config, saved)
    network.load_state_dict(weights)
    return SavedModel(path, config, network.eval(), saved, saved["data_source"])


def use_own_paths(model: SavedModel, data_dir: Path | None) -> None:
    """Settles where a command that reads the data of a checkpoint reads and writes.

    The checkpoint's folders are of the machine of its training, or of whoever made it. Corpora are read where it says,
    unless the command or SLUICE_DATA says otherwise, but nothing is downloaded there; nothing else of it is used.

    Args:
        model: of which the configuration is changed.
        data_dir: folder with the corpora, as the command line gives it; None for SLUICE_DATA.
    """
    paths, data = model.config.paths, model.config.task.data
    own = str(data_dir or os.environ.get("SLUICE_DATA") or "")
    if not own and getattr(data, "source", None) in ("auto", "download"):
        data.source = "local"
    paths.data_dir = own or paths.data_dir
    paths.cache_dir = os.environ.get("SLUICE_CACHE") or DEFAULT_CACHE
