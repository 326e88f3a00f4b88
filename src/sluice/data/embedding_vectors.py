"""Pretrained vectors in the embedding of a network."""

import logging
from pathlib import Path

import torch

from sluice.data.published_vectors import VECTORS, find_vectors
from sluice.errors import UserError
from sluice.layers.embedding import LearnedEmbedding
from sluice.text.pretrained import match_vectors
from sluice.text.vocab import Vocab

log = logging.getLogger(__name__)

LEAST_COVERAGE = 0.1
"""Fraction of the vocabulary found in a vector file below which a warning is logged."""


def load_vectors(embedding: object, given: str, words: list[str], *, data_dir: Path, seed: int) -> None:
    """Loads pretrained vectors into an embedding; words without a vector are initialised randomly.

    Args:
        embedding: the embedding.
        given: a file of vectors, a name of published vectors, or the folder of a run of task=word2vec.
        words: the vocabulary, in the order of ids.
        data_dir: the data folder.
        seed: seed of the random vectors.

    Raises:
        UserError: for an invalid or missing file, or an embedding that is not learned.
    """
    learned, path = _learned(embedding, "path"), find_vectors(given, data_dir)
    matched = match_vectors(path / VECTORS if path.is_dir() else path, Vocab(words), size=learned.output_size)
    with torch.no_grad():
        learned.table.weight.copy_(torch.from_numpy(matched.fill_missing(seed)))
    report = log.warning if matched.coverage < LEAST_COVERAGE else log.info
    report("%s: vectors for %d of %d words (%.1f %%).", given, matched.num_found, len(words), 100 * matched.coverage)
    if matched.coverage < LEAST_COVERAGE:
        log.warning("Nearly all words have random vectors: check the language, case and tokenizer of the file.")


def freeze_vectors(embedding: object) -> None:
    """Excludes the weights of an embedding from training.

    Raises:
        UserError: if the embedding is not learned.
    """
    _learned(embedding, "frozen").table.weight.requires_grad_(False)


def _learned(embedding: object, setting: str) -> LearnedEmbedding:
    if not isinstance(embedding, LearnedEmbedding):
        raise UserError(f"embedding.{setting} needs a learned embedding: leave it out")
    return embedding
