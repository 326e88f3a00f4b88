"""A trained model, from its checkpoint alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sluice.cli.building import FORMAT, build_network
from sluice.cli.composing import restored
from sluice.cli.runs import find_checkpoint
from sluice.cli.schema import Config
from sluice.errors import UserError
from sluice.models.classifier import TextClassifier
from sluice.text.vocab import Vocab

_PREFIX = "network."


@dataclass(frozen=True)
class SavedModel:
    """What a checkpoint holds."""

    path: Path
    config: Config
    network: TextClassifier
    """In evaluation mode, on the CPU."""
    vocab: Vocab
    labels: tuple[str, ...]
    metrics: dict[str, float]
    """The validation metrics when it was written."""
    data_source: str


def read_checkpoint(run: Path) -> tuple[Path, dict[str, Any]]:
    """Path and contents of a run's checkpoint.

    Raises:
        UserError: if there is none, the file is cut short or no checkpoint, or not one of Sluice's.
    """
    path = find_checkpoint(run)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what other bytes do to the unpickler cannot be foreseen
        raise UserError(f"{path} is no checkpoint or is cut short: give another one, or train again") from error
    saved = checkpoint.get("sluice") if isinstance(checkpoint, dict) else None
    if not isinstance(saved, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{path} is not a checkpoint of Sluice's: give best.ckpt or last.ckpt of a run")
    if saved.get("format") != FORMAT:
        found = saved.get("format")
        raise UserError(f"{path} has format {found}, this version reads {FORMAT}: use the version that wrote it")
    return path, checkpoint


def load_model(run: Path) -> SavedModel:
    """Builds the network of a run's folder or checkpoint and gives it its weights.

    Raises:
        UserError: as `read_checkpoint`, or if the checkpoint is of a task that doesn't classify, or its parts don't
            fit together.
    """
    path, checkpoint = read_checkpoint(run)
    try:
        return _assembled(path, checkpoint)
    except UserError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise UserError(f"the parts of {path} don't fit together: it was altered, give another one") from error


def _assembled(path: Path, checkpoint: dict[str, Any]) -> SavedModel:
    saved = checkpoint["sluice"]
    config = restored(saved["config"], saved["schema"])
    vocab, labels = Vocab(saved["vocab"]), tuple(saved["labels"])
    network = build_network(config, vocab_size=len(vocab), num_classes=len(labels))
    network.load_state_dict(network_weights(checkpoint))
    return SavedModel(path, config, network.eval(), vocab, labels, saved["metrics"], saved["data_source"])


def network_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The network's part of a task's state dict."""
    state = checkpoint["state_dict"]
    return {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
