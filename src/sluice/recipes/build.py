"""Building the embedding and the recurrent core from the groups `embedding` and `model`."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from sluice.config.fields import shown
from sluice.config.schema import Config, Model
from sluice.config.tasks.translation import DecoderSettings, Translating
from sluice.config.user_code import import_module
from sluice.errors import UserError
from sluice.layers.attention import make_attention
from sluice.layers.embedding import Embedding, LearnedEmbedding, make_embedding
from sluice.memory import require_memory
from sluice.models.decoder import Decoder, decoder_input_size
from sluice.recurrent import CELLS, CellOptions, RecurrentStack
from sluice.recurrent.sizing import hidden_size_within, num_params_of, size_of
from sluice.text.vocab import PADDING_ID

log = logging.getLogger(__name__)


def build_embedding(config: Config, vocab_size: int) -> Embedding:
    """Builds the embedding of a task.

    Raises:
        ValueError: for an invalid size or probability.
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


def build_stack(model: Model, *, input_size: int, one_hot: bool = False) -> RecurrentStack:
    """Builds the recurrent core.

    Args:
        model: its settings.
        input_size: features per step.
        one_hot: whether the inputs are token ids, read as one-hot vectors.

    Raises:
        UserError: for an unknown cell, or a model.num_params that is too small.
        ValueError: for settings that the stack or its cell rejects.
    """
    make = partial(_stack_of, model, known_cell(model), input_size, one_hot)
    if model.num_params is None:
        return make(model.hidden_size)
    hidden_size = hidden_size_within(model.num_params, make)
    if not hidden_size:
        raise UserError(f"model.num_params={model.num_params} is too small: one unit has {size_of(make, 1)} parameters")
    log.info("%d units for model.num_params=%d parameters.", hidden_size, model.num_params)
    return make(hidden_size)


BYTES_PER_PARAMETER = 16
"""Weight, gradient and the two moments of Adam, each in float32."""


def check_core(config: Config) -> None:
    """Checks the settings of the recurrent core without allocating its weights.

    Raises:
        UserError: for an unknown cell, settings that it rejects, or more parameters than fit into memory.
    """
    model = config.model
    known_cell(model)
    if model.module is not None:
        return
    one_unit = replace(model, num_params=None, hidden_size=1)  # accepts the same options as any other size
    try:
        with torch.device("meta"):
            stack = build_stack(model if model.num_params is None else one_unit, input_size=config.embedding.size)
    except ValueError as error:
        raise UserError(str(error)) from error
    if model.layernorm_init_gain is not None and not any("gain" in name for name, _ in stack.named_parameters()):
        raise UserError(
            f"model.layernorm_init_gain={model.layernorm_init_gain:g} has no effect on model.cell={model.cell}: it has "
            "no layer normalisation, leave it out"
        )
    if model.forget_bias != 1 and CELLS[model.cell].forget_bias_gate is None:
        raise UserError(
            f"model.forget_bias={model.forget_bias:g} has no effect on model.cell={model.cell}: it has no forget or "
            "update gate, leave it out"
        )
    if model.num_layers == 1 and (model.dropout or model.variational):
        log.warning("model.dropout and model.variational have no effect with model.num_layers=1.")
    if model.num_params is not None:
        _check_memory(model.num_params, f"model.num_params={model.num_params}")
        return
    sizes = f"model.hidden_size={shown(model.hidden_size)}, model.num_layers={model.num_layers} and "
    _check_memory(num_params_of(stack), f"{sizes}embedding.size={config.embedding.size}")


def check_parameters(network: nn.Module) -> None:
    """Checks that the parameters of a network fit into memory.

    Raises:
        UserError: if they do not.
    """
    _check_memory(num_params_of(network), "the network")


def _check_memory(num_params: int, what: str) -> None:
    require_memory(BYTES_PER_PARAMETER * num_params, f"{what} ({num_params:,} parameters)", "choose smaller sizes")


def _stack_of(model: Model, cell: str, input_size: int, one_hot: bool, hidden_size: int | list[int]) -> RecurrentStack:
    return RecurrentStack(
        cell=cell,
        input_size=input_size,
        hidden_size=hidden_size,
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
    """Returns the name of the cell, after importing the file that registers a custom cell.

    Raises:
        UserError: for an unknown cell.
    """
    if model.module:
        import_module(Path(model.module))
    if model.cell == "none":
        cells = ", ".join(sorted(CELLS))
        raise UserError(f"model=none has no recurrent core, which this task needs: choose one of {cells}")
    if model.cell not in CELLS:
        raise UserError(f"there is no model.cell={model.cell}: there are {', '.join(sorted(CELLS))}")
    return model.cell


def cell_options(model: Model) -> CellOptions:
    """Returns the options of every cell of the core."""
    return CellOptions(
        activation=model.activation,
        cell_activation=model.cell_activation,
        forget_bias=model.forget_bias,
        layernorm_init_gain=model.layernorm_init_gain,
        recurrent_dropout=model.recurrent_dropout,
        weight_dropout=model.weight_dropout,
        recurrent_init=model.recurrent_init,
    )


def build_decoder(config: Config, settings: Translating, *, memory_size: int, vocab_size: int) -> Decoder:
    """Builds the decoder of a sequence-to-sequence network.

    Args:
        config: the configuration.
        settings: settings of the task.
        memory_size: size of the encoder outputs.
        vocab_size: size of the target vocabulary.

    Raises:
        UserError: for an unknown cell.
        ValueError: for settings that a layer rejects.
    """
    own = settings.decoder
    if own.cell not in CELLS and config.model.module is None:
        raise UserError(f"there is no task.decoder.cell={own.cell}: there are {', '.join(sorted(CELLS))}")
    embedding = LearnedEmbedding(
        vocab_size=vocab_size,
        size=config.embedding.size,
        padding_id=PADDING_ID,
        word_dropout=config.embedding.word_dropout,
        initial_std=config.embedding.initial_std,
    )
    attention = make_attention(
        settings.attention, query_size=own.hidden_size, memory_size=memory_size, size=own.attention_size
    )
    output_size = own.output_size or embedding.output_size
    input_size = decoder_input_size(
        embedding_size=embedding.output_size,
        output_size=output_size,
        memory_size=memory_size,
        attention=attention is not None,
        input_feeding=own.input_feeding,
    )
    return Decoder(
        embedding=embedding,
        stack=build_stack(_decoder_core(config.model, own), input_size=input_size),
        attention=attention,
        memory_size=memory_size,
        output_size=output_size,
        input_feeding=own.input_feeding,
        input_dropout=config.model.input_dropout,
        hidden_dropout=own.hidden_dropout,
        output_dropout=settings.output_dropout,
    )


def _decoder_core(model: Model, own: DecoderSettings) -> Model:
    """Settings of the recurrent core of the decoder."""
    return replace(
        model,
        cell=own.cell,
        hidden_size=own.hidden_size,
        num_params=None,
        num_layers=own.num_layers,
        bidirectional=False,
        residual=model.residual and own.num_layers > 1,
        dropout=model.dropout if own.num_layers > 1 else 0.0,
    )
