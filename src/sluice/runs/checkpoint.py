"""Finding, reading and validating checkpoint files."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sluice.callbacks.checkpoint_file import is_intact
from sluice.config.schema import Config, check_ranges
from sluice.errors import UserError, unreadable
from sluice.plain import Plain, PlainMapping

FORMAT = 2
"""Version of the layout of a checkpoint's contents besides the weights."""
_PREFIX = "network."
WORD_LISTS = ("vocab", "labels", "tags")
"""Parts of a checkpoint that are lists of distinct strings."""


def find_checkpoint(run: Path) -> Path:
    """Returns the checkpoint in a run folder (best.ckpt, else last.ckpt), or the given file itself.

    Raises:
        UserError: if there is none.
    """
    if run.is_file():
        return run
    for name in ("best.ckpt", "last.ckpt"):
        if (run / name).is_file():
            return run / name
    if run.is_dir():
        raise UserError(f"{run} has no checkpoint: give a run folder, which has best.ckpt, or a checkpoint file")
    if run.exists():
        raise UserError(f"{run} is not a file: give a run folder or a checkpoint file")
    raise UserError(f"there is no {run}: give a run folder or a checkpoint file{did_you_mean(run)}")


def did_you_mean(run: Path) -> str:
    """Returns a hint at the run of this name on generated data, or at one with a similar name; empty for none."""
    names = [path.name for path in run.parent.glob("*") if path.is_dir()]
    sample = [name for name in names if name == f"sample-{run.name}"]
    found = sample or difflib.get_close_matches(run.name, names, n=1)
    return f" (did you mean {run.with_name(found[0])}?)" if found else ""


def read_checkpoint(run: Path) -> tuple[Path, Plain]:
    """Path and contents of a run's checkpoint.

    Raises:
        UserError: if there is none, or the file is truncated, corrupted or not a Sluice checkpoint.
    """
    path = find_checkpoint(run)
    check_intact(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # arbitrary bytes can raise anything in the unpickler
        raise UserError(f"{path} is truncated, corrupted or not a checkpoint: give another, or train again") from error
    saved = checkpoint.get("sluice") if isinstance(checkpoint, dict) else None
    if not isinstance(saved, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{path} is not a Sluice checkpoint: give best.ckpt or last.ckpt of a run")
    if saved.get("format") != FORMAT:
        version = saved.get("format")
        raise UserError(f"{path} has format {version}, this version reads {FORMAT}: use the version that wrote it")
    return path, checkpoint


def network_weights(checkpoint: Plain) -> dict[str, torch.Tensor]:
    """The state dict of the network, from that of the LightningModule."""
    state = checkpoint["state_dict"]
    return {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}


def check_intact(path: Path) -> None:
    """Verifies the checksum of a checkpoint file.

    Raises:
        UserError: if the file is truncated, corrupted, unreadable or not a checkpoint.
    """
    try:
        intact = is_intact(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if not intact:
        raise UserError(f"{path} is truncated, corrupted or not a checkpoint: give another, or train again")


def check_contents(path: Path, saved: PlainMapping, config: Config, weights: Mapping[str, Tensor]) -> None:
    """Checks word lists, settings and weights of a checkpoint.

    Args:
        path: path of the checkpoint, for messages.
        saved: its contents besides the weights.
        config: its settings.
        weights: weights of the network by name.

    Raises:
        UserError: naming the first invalid part.
    """
    for name, words in _word_lists(saved):
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise UserError(f"{path} cannot be used: its {name} is not a list of strings")
        if len(set(words)) != len(words):
            raise UserError(f"{path} cannot be used: its {name} has duplicates")
    try:
        check_ranges(config)
    except (UserError, TypeError) as error:
        raise UserError(f"{path} cannot be used: {error}") from error
    layers = config.model.num_layers
    if layers > len(weights):
        raise UserError(f"{path} cannot be used: model.num_layers={layers} exceeds the number of its weights")
    for name, weight in weights.items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise UserError(
                f"{path} cannot be used: {name} has a weight that is NaN or infinite, since training diverged"
            )


def check_shapes(path: Path, network: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Checks that the weights have the shapes given by the settings, before the network is allocated.

    Args:
        path: path of the checkpoint, for messages.
        network: the network built from the settings, on the meta device.
        weights: weights of the checkpoint by name.

    Raises:
        UserError: naming the first difference.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    actual = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted({*expected, *actual}):
        if expected.get(name) != actual.get(name):
            raise UserError(
                f"{path} is inconsistent or corrupted: its settings need {name} of shape {expected.get(name)}, its "
                f"weights have {actual.get(name)}; give another checkpoint"
            )


def _word_lists(saved: PlainMapping) -> Iterator[tuple[str, object]]:
    for name, part in saved.items():
        if name in WORD_LISTS and part is not None:
            yield name, part
        elif name in ("source", "target") and isinstance(part, Mapping):
            yield from ((f"{name} {inner}", words) for inner, words in _word_lists(part))
