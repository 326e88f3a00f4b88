"""A checkpoint file: finding it, reading it, and whether what it holds can be used."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sluice.callbacks.checkpoint_file import is_intact
from sluice.config.schema import Config, check_ranges
from sluice.errors import UserError, unreadable
from sluice.plain import Plain, PlainMapping

FORMAT = 2
"""Layout of what a checkpoint carries beside the weights."""
_PREFIX = "network."
WORD_LISTS = ("vocab", "labels", "tags")
"""Parts of a checkpoint that are lists of different texts."""


def find_checkpoint(run: Path) -> Path:
    """The checkpoint of a run's folder (the best, else the last), or the file itself.

    Raises:
        UserError: if there is none.
    """
    if run.is_file():
        return run
    for name in ("best.ckpt", "last.ckpt"):
        if (run / name).is_file():
            return run / name
    if run.is_dir():
        raise UserError(f"{run} holds no checkpoint: give a run's folder, which has best.ckpt, or a checkpoint file")
    raise UserError(f"there is no {run}: give a run's folder or a checkpoint file")


def read_checkpoint(run: Path) -> tuple[Path, Plain]:
    """Path and contents of a run's checkpoint.

    Raises:
        UserError: if there is none, the file is cut short, altered or no checkpoint, or not one of Sluice's.
    """
    path = find_checkpoint(run)
    check_whole(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what other bytes do to the unpickler cannot be foreseen
        raise UserError(
            f"{path} is no checkpoint, or is cut short or damaged: give another one, or train again"
        ) from error
    saved = checkpoint.get("sluice") if isinstance(checkpoint, dict) else None
    if not isinstance(saved, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{path} is not a checkpoint of Sluice's: give best.ckpt or last.ckpt of a run")
    if saved.get("format") != FORMAT:
        found = saved.get("format")
        raise UserError(f"{path} has format {found}, this version reads {FORMAT}: use the version that wrote it")
    return path, checkpoint


def network_weights(checkpoint: Plain) -> dict[str, torch.Tensor]:
    """The network's part of a task's state dict."""
    state = checkpoint["state_dict"]
    return {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}


def check_whole(path: Path) -> None:
    """Refuses a checkpoint file that is not as it was written.

    Raises:
        UserError: if the file is cut short, altered, cannot be read or is no checkpoint.
    """
    try:
        whole = is_intact(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if not whole:
        raise UserError(f"{path} is no checkpoint, or is cut short or damaged: give another, or train again")


def check_contents(path: Path, saved: PlainMapping, config: Config, weights: Mapping[str, Tensor]) -> None:
    """Refuses word lists, settings and weights that no training writes.

    Args:
        path: of the checkpoint, for the messages.
        saved: what it carries besides the weights.
        config: its settings.
        weights: of the network, by name.

    Raises:
        UserError: naming the first part that cannot be used.
    """
    for name, words in _word_lists(saved):
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise UserError(f"{path} cannot be used: its {name} is not a list of texts")
        if len(set(words)) != len(words):
            raise UserError(f"{path} cannot be used: its {name} has a text twice")
    try:
        check_ranges(config)
    except (UserError, TypeError) as error:
        raise UserError(f"{path} cannot be used: {error}") from error
    layers = config.model.num_layers
    if layers > len(weights):
        raise UserError(f"{path} cannot be used: model.num_layers={layers} is more than it has weights")
    for name, weight in weights.items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise UserError(
                f"{path} cannot be used: {name} has a weight that is NaN or infinite; the training diverged"
            )


def check_shapes(path: Path, network: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Refuses weights of other shapes than the settings ask for, before a network of these sizes takes memory.

    Args:
        path: of the checkpoint, for the message.
        network: built from the settings, on the meta device.
        weights: of the checkpoint.

    Raises:
        UserError: naming the first difference.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            raise UserError(
                f"{path} cannot be used: its settings ask for {name} of shape {wanted.get(name)}, its weights have "
                f"{found.get(name)}; it was altered, give another one"
            )


def _word_lists(saved: PlainMapping) -> Iterator[tuple[str, object]]:
    for name, part in saved.items():
        if name in WORD_LISTS and part is not None:
            yield name, part
        elif name in ("source", "target") and isinstance(part, Mapping):
            yield from ((f"{name} {own}", words) for own, words in _word_lists(part))
