"""Starting from another run's weights, name by name and word by word."""

import logging
from pathlib import Path
from typing import Any

from torch import Tensor

from sluice.cli.saved import network_weights, read_checkpoint
from sluice.errors import UserError

log = logging.getLogger(__name__)


BY_PLACE = "head.rows."
"""Rows of an adaptive output layer that has its own: words by their place among the frequent and the rare ones."""


def start_from(network: Any, parts: dict[str, Any], run: Path) -> None:
    """Takes another run's weights where name and shape agree, and says what matched.

    Where the vocabularies differ, what belongs to a word goes to the same word. Where the classes differ, the output
    layer stays fresh.

    Args:
        network: the network that takes them, in place.
        parts: what its checkpoints carry, see Family.saved_parts.
        run: a run's folder or a checkpoint.

    Raises:
        UserError: if `run` has no checkpoint or nothing matches.
    """
    path, checkpoint = read_checkpoint(run)
    own, theirs = network.state_dict(), network_weights(checkpoint)
    matched: dict[str, Tensor] = {}
    for name, tensor in own.items():
        if name not in theirs or (name.startswith("output.") and _other_classes(checkpoint["sluice"], parts)):
            continue
        if name.startswith(BY_PLACE) and _words_of(parts, name) != _words_of(checkpoint["sluice"], name):
            continue
        if name in network.word_parameters:
            words, their_words = (_words_of(of, name) for of in (parts, checkpoint["sluice"]))
            matched |= _by_word(name, tensor, words, theirs[name], their_words)
        elif theirs[name].shape == tensor.shape:
            matched[name] = theirs[name]
    if not matched:
        raise UserError(f"init_from={run} cannot be used: none of its weights has a name and shape of this network's")
    network.load_state_dict(matched, strict=False)
    log.info("Weights from %s: %d of %d matched.", path, len(matched), len(own))
    if fresh := [name for name in own if name not in matched]:
        log.info("Not found there, or of another shape or other classes, and so fresh: %s.", ", ".join(fresh))


def _words_of(parts: dict[str, Any], name: str) -> list[str]:
    """The vocabulary whose words are the rows of a parameter; a translator has two."""
    if "source" in parts:
        parts = parts["source" if name.startswith(("source_embedding", "encoder")) else "target"]
    return list(parts.get("vocab", ()))


def _other_classes(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    return theirs.get("labels") != ours.get("labels")


def _by_word(name: str, own: Tensor, words: list[str], theirs: Tensor, their_words: list[Any]) -> dict[str, Tensor]:
    """A parameter with a row a word, its rows taken from the same words; empty where the rows are of another size."""
    if theirs.shape[1:] != own.shape[1:]:
        return {}
    places = {word: place for place, word in enumerate(their_words)}
    shared = [(place, places[word]) for place, word in enumerate(words) if word in places]
    merged = own.clone()
    merged[[place for place, _ in shared]] = theirs[[place for _, place in shared]]
    if words != their_words:
        log.info("%s: %s of %s words found there.", name, f"{len(shared):,}", f"{len(words):,}")
    return {name: merged}
