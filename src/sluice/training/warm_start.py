"""Initialising a network with the weights of another run, matched by name and by word."""

import logging
import os
import zipfile
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from sluice.config.schema import Config, find_schema
from sluice.distributed import global_rank
from sluice.errors import UserError
from sluice.plain import PlainMapping
from sluice.program import LAUNCHED
from sluice.recipes.registry import recipe_named
from sluice.recipes.task import AnyRecipe
from sluice.recurrent import RecurrentStack
from sluice.runs.checkpoint import did_you_mean, find_checkpoint, network_weights, read_checkpoint
from sluice.text.coder import MARKS
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.vocab import SPECIALS

log = logging.getLogger(__name__)


ADAPTIVE_ROWS = "head.rows."
"""Prefix of the untied rows of an adaptive softmax, which are ordered by word frequency."""
TOP_LAYERS = ("output.", "head.", "pooling.", "ngrams.")
NGRAMS, RECURRENT = "ngrams.", "recurrent."
"""Prefixes of the classifier of n-grams, whose rows depend on the vocabulary, and of the recurrent core."""
MIN_SHARED_WORDS = 0.1
"""Minimum fraction of the vocabulary that the other run must have for its word vectors to count as matched."""


class Network(Protocol):
    """A network that can be initialised with the weights of another run."""

    word_parameters: tuple[str, ...]
    """Names of the parameters with a row for each word."""

    def state_dict(self) -> dict[str, Tensor]:
        """The weights by name."""

    def load_state_dict(self, state_dict: dict[str, Tensor], strict: bool) -> object:
        """Loads weights by name."""


def check_source(config: Config, recipe: AnyRecipe) -> None:
    """Checks, before any data are read, that `init_from` names a checkpoint of the same kind of task.

    Resumed runs load no weights from it. Ranks other than 0 check nothing, since the first process does.

    Raises:
        UserError: if it does not exist, is not a checkpoint or damaged, or of another kind of task.
    """
    if config.init_from is None or config.resume is not None or LAUNCHED in os.environ or global_rank() > 0:
        return
    run = Path(config.init_from)
    if not (config.init_from and run.exists()):
        expected = f"give the path of a file or run folder{did_you_mean(run)}"
        raise UserError(f"init_from={config.init_from} does not exist: {expected}")
    if not zipfile.is_zipfile(find_checkpoint(run)):
        raise UserError(f"init_from={run} is not a checkpoint: give a run folder or its best.ckpt")
    _check_kind(run, read_checkpoint(run)[1]["sluice"], recipe)


def warm_start(network: Any, parts: PlainMapping, run: Path, recipe: AnyRecipe) -> None:
    """Loads another run's weights where name and shape match, and logs which ones.

    If the vocabularies differ, parameters with a row per word are matched by word. If the classes differ, the output
    layer keeps its random initialisation. The embedding and the core of a language model initialise a classifier.

    Args:
        network: the network to initialise, in place.
        parts: contents of its checkpoints, see TaskRecipe.saved_parts.
        run: a run folder or a checkpoint.
        recipe: recipe of the network's task.

    Raises:
        UserError: if `run` has no checkpoint, is of another kind of task, or has no matching weight matrix below the
            top layers (of word vectors, MIN_SHARED_WORDS must match).
    """
    path, checkpoint = read_checkpoint(run)
    _check_kind(run, checkpoint["sluice"], recipe)
    own, theirs = network.state_dict(), network_weights(checkpoint)
    matched = _matching_weights(network, own, parts, theirs, checkpoint["sluice"])
    if not matched:
        raise UserError(
            f"init_from={run} cannot be used: none of its weights matches this network; name a run with the same "
            "cell and sizes"
        )
    if not any(_is_significant(network, name, tensor, parts, checkpoint["sluice"]) for name, tensor in matched.items()):
        raise UserError(
            f"init_from={run} cannot be used: only {', '.join(matched)} match this network; name a run with the same "
            "cell, sizes and language"
        )
    network.load_state_dict(matched, strict=False)
    log.info("Initialised from %s: %d of %d weights matched: %s.", path, len(matched), len(own), ", ".join(matched))
    if missing := [name for name in own if name not in matched]:
        log.info("Randomly initialised (missing or mismatched): %s.", ", ".join(missing))


def _check_kind(run: Path, saved: PlainMapping, recipe: AnyRecipe) -> None:
    name = saved["schema"]
    theirs = recipe_named(name) if find_schema(name) else None
    if theirs is not None and theirs.kind in (recipe.kind, *recipe.pretrained_as):
        return
    other = f"task={name}" + (f", a model that {theirs.description}" if theirs else "")
    hint = "; to use its word vectors set embedding.path" if name == "word2vec" else ""
    needed = " or one of ".join([f"a model that {recipe.description}", *recipe.pretrained_as])
    raise UserError(f"init_from={run} cannot be used: it is of {other}; this task needs {needed}{hint}")


def _is_significant(network: Network, name: str, tensor: Tensor, parts: PlainMapping, saved: PlainMapping) -> bool:
    """Whether a matched weight is a matrix below the top layers, and of word vectors, enough words match."""
    if tensor.ndim < 2 or name.startswith(TOP_LAYERS):
        return False
    if name not in getattr(network, "word_parameters", ()):
        return True
    words = set(_words_of(parts, name)) - {*SPECIALS, *MARKS, END_OF_LINE}
    return len(words & set(_words_of(saved, name))) >= max(1, MIN_SHARED_WORDS * len(words))


def _matching_weights(
    network: Network, own: dict[str, Tensor], parts: PlainMapping, theirs: dict[str, Tensor], saved: PlainMapping
) -> dict[str, Tensor]:
    """The other run's weights that match by name and shape, with word rows in the order of this vocabulary."""
    matched: dict[str, Tensor] = {}
    same_directions, same_ngrams = _same_directions(network, saved), _same_ngrams(network, saved)
    for name, tensor in own.items():
        if name not in theirs or (name.startswith(("output.", NGRAMS)) and _other_classes(saved, parts)):
            continue
        if name.startswith(RECURRENT) and not same_directions:
            continue
        if name.startswith((ADAPTIVE_ROWS, NGRAMS)) and _words_of(parts, name) != _words_of(saved, name):
            continue
        if name.startswith(NGRAMS) and not same_ngrams:
            continue
        if name in getattr(network, "word_parameters", ()):
            words, their_words = (_words_of(of, name) for of in (parts, saved))
            matched |= _copy_word_rows(name, tensor, words, theirs[name], their_words)
        elif theirs[name].shape == tensor.shape:
            matched[name] = theirs[name]
    return matched


def _same_directions(network: Network, saved: PlainMapping) -> bool:
    """Whether both recurrent cores have the same directions, without which equal names mean different layers."""
    stack = getattr(network, "recurrent", None)
    theirs = saved.get("config", {}).get("model", {}).get("bidirectional")
    if theirs is None or not isinstance(stack, RecurrentStack) or theirs == (stack.directions == 2):
        return True
    log.warning(
        "init_from: the weights of the recurrent core are not used, since it was trained with model.bidirectional=%s.",
        str(theirs).lower(),
    )
    return False


def _same_ngrams(network: Network, saved: PlainMapping) -> bool:
    """Whether the linear classifiers have n-grams of the same lengths, without which equal rows mean different ones."""
    theirs = saved.get("config", {}).get("task", {}).get("ngrams", {}).get("max_n")
    return getattr(getattr(network, "ngrams", None), "max_n", None) == theirs


def _words_of(parts: PlainMapping, name: str) -> list[str]:
    """The vocabulary that the rows of a parameter correspond to; a translation model has two."""
    if "source" in parts:
        parts = parts["source" if name.startswith(("source_embedding", "encoder")) else "target"]
    return list(parts.get("vocab", ()))


def _other_classes(theirs: PlainMapping, ours: PlainMapping) -> bool:
    return theirs.get("labels") != ours.get("labels")


def _copy_word_rows(
    name: str, own: Tensor, words: list[str], theirs: Tensor, their_words: list[str]
) -> dict[str, Tensor]:
    """Copies the rows of shared words; empty if the rows differ in size."""
    if theirs.shape[1:] != own.shape[1:]:
        return {}
    their_index = {word: index for index, word in enumerate(their_words)}
    shared = [(index, their_index[word]) for index, word in enumerate(words) if word in their_index]
    merged = own.clone()
    merged[[index for index, _ in shared]] = theirs[[index for _, index in shared]]
    if words != their_words:
        log.info("%s: %s of %s words matched.", name, f"{len(shared):,}", f"{len(words):,}")
    return {name: merged}
