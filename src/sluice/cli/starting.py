"""Starting from another run's weights, name by name and word by word."""

import logging
from pathlib import Path
from typing import Any

from torch import Tensor

from sluice.cli.saved import network_weights, read_checkpoint
from sluice.errors import UserError
from sluice.models.classifier import TextClassifier

log = logging.getLogger(__name__)


def start_from(network: TextClassifier, words: list[str], labels: tuple[str, ...], run: Path) -> None:
    """Takes another run's weights where name and shape agree, and says what matched.

    Where the vocabularies differ, what belongs to a word goes to the same word. Where the classes differ, the output
    layer stays fresh.

    Args:
        network: the network that takes them, in place.
        words: its vocabulary, by id.
        labels: its class names, by id.
        run: a run's folder or a checkpoint.

    Raises:
        UserError: if `run` has no checkpoint or nothing matches.
    """
    path, checkpoint = read_checkpoint(run)
    own, theirs = network.state_dict(), network_weights(checkpoint)
    matched: dict[str, Tensor] = {}
    for name, tensor in own.items():
        if name not in theirs or (name.startswith("output.") and checkpoint["sluice"]["labels"] != list(labels)):
            continue
        if name in network.word_parameters:
            matched |= _by_word(name, tensor, words, theirs[name], checkpoint["sluice"]["vocab"])
        elif theirs[name].shape == tensor.shape:
            matched[name] = theirs[name]
    if not matched:
        raise UserError(f"init_from={run} cannot be used: none of its weights has a name and shape of this network's")
    network.load_state_dict(matched, strict=False)
    log.info("Weights from %s: %d of %d matched.", path, len(matched), len(own))
    if fresh := [name for name in own if name not in matched]:
        log.info("Not found there, or of another shape or other classes, and so fresh: %s.", ", ".join(fresh))


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
