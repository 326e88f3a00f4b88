"""The embedding and the recurrent core that the groups `embedding` and `model` describe, for any task."""

import logging
from pathlib import Path
from typing import Any

import torch

from sluice.cli.own_cells import import_cells
from sluice.cli.schema import Config, Model
from sluice.cli.schema import Embedding as Settings
from sluice.errors import UserError
from sluice.layers.embedding import Embedding, LearnedEmbedding, make_embedding
from sluice.recurrent import CELLS, CellOptions, RecurrentStack
from sluice.text.pretrained import match_vectors
from sluice.text.vocab import PADDING_ID, Vocab

log = logging.getLogger(__name__)


def build_embedding(config: Config, vocab_size: int) -> Embedding:
    """What a word becomes.

    Raises:
        ValueError: for a size or share it refuses.
    """
    settings = config.embedding
    return make_embedding(
        settings.kind,
        vocab_size=vocab_size,
        size=settings.size,
        padding_id=PADDING_ID,
        word_dropout=settings.word_dropout,
        initial_std=settings.initial_std,
    )


def give_vectors(network: Any, settings: Settings, words: list[str], seed: int) -> None:
    """Gives the embedding the vectors of `embedding.path`, random ones to words it lacks; says how many.

    Raises:
        UserError: if the file is not as it should be, or the embedding isn't learned.
    """
    embedding = getattr(network, "embedding", None)
    if not isinstance(embedding, LearnedEmbedding):
        raise UserError("embedding.path needs learned vectors of one vocabulary: leave it out here")
    matched = match_vectors(Path(str(settings.path)), Vocab(words), size=settings.size)
    with torch.no_grad():
        embedding.table.weight.copy_(torch.from_numpy(matched.completed(seed)))
    log.info("%s: vectors for %d of %d words (%.0f %%).", settings.path, matched.words, len(words), 100 * matched.share)


def freeze_vectors(network: Any) -> None:
    """Keeps the embedding's vectors as they are.

    Raises:
        UserError: if it has none.
    """
    embedding = getattr(network, "embedding", None)
    if not isinstance(embedding, LearnedEmbedding):
        raise UserError("embedding.frozen=true needs learned vectors of one vocabulary: leave it out here")
    embedding.table.weight.requires_grad_(False)


def build_stack(model: Model, *, input_size: int, one_hot: bool = False) -> RecurrentStack:
    """The recurrent core on inputs of a size.

    Raises:
        UserError: for a cell that isn't there.
        ValueError: for settings that the stack or its cell refuses.
    """
    return RecurrentStack(
        cell=known_cell(model),
        input_size=input_size,
        hidden_size=model.hidden_size,
        num_layers=model.num_layers,
        bidirectional=model.bidirectional,
        dropout=model.dropout,
        variational=model.variational,
        residual=model.residual,
        initial_state=model.initial_state,
        one_hot=one_hot,
        options=cell_options(model),
    )


def known_cell(model: Model) -> str:
    """The cell's name, once the file that registers it has been imported.

    Raises:
        UserError: for a cell that isn't there.
    """
    if model.module:
        import_cells(Path(model.module))
    if model.cell not in CELLS:
        raise UserError(f"there is no model.cell={model.cell}: there are {', '.join(sorted(CELLS))}")
    return model.cell


def cell_options(model: Model) -> CellOptions:
    """What every cell of the core is told."""
    return CellOptions(
        activation=model.activation,
        cell_activation=model.cell_activation,
        forget_bias=model.forget_bias,
        recurrent_dropout=model.recurrent_dropout,
        weight_dropout=model.weight_dropout,
        recurrent_init=model.recurrent_init,
    )
