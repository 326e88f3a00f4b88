"""Networks as functions of named tensors, with the inputs and outputs of their exported files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.errors import UserError
from sluice.export.backend import (
    Backend,
    States,
    run_stack,
    step_mask,
    step_positions,
    zero_column,
    zero_states,
)
from sluice.layers.attention import AdditiveAttention, DotAttention, Memory
from sluice.layers.pooling import AttentionPooling
from sluice.models.bridge import ZerosBridge
from sluice.models.classifier import TextClassifier
from sluice.models.language import LanguageModel
from sluice.models.pair_classifier import PairClassifier
from sluice.models.regressor import Regressor
from sluice.models.seq2seq import Seq2Seq
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.models.word2vec import Word2Vec
from sluice.recurrent import CELLS, Cell, RecurrentStack, State
from sluice.recurrent.states import split_state, state_of_tensors, state_tensors

Tensors: TypeAlias = dict[str, Tensor]


class Value(NamedTuple):
    """An input or output of a program."""

    name: str
    shape: tuple[int | str, ...]
    """Sizes, or names of dynamic dimensions."""
    description: str
    dtype: torch.dtype = torch.float32
    start: Tensor | None = None
    """Of a state: its value before the first step, with 1 in place of the batch size."""


@dataclass(frozen=True)
class Program:
    """One exported file: a function of named tensors."""

    name: str
    """Distinguishes the files of one network: "encoder", "decoder"; empty for a single file."""
    run: Callable[[Backend, Mapping[str, Tensor]], Tensors]
    """Computes the outputs by name."""
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


IDS = Value("ids", ("batch", "time"), "token ids, padded to the longest text", torch.int64)
LENGTHS = Value("lengths", ("batch",), "number of tokens of each text, at least 1", torch.int64)


def programs_of(network: nn.Module) -> list[Program]:
    """Returns the programs of a network.

    Raises:
        UserError: for a network or cell that is not part of Sluice.
    """
    builders: dict[type[nn.Module], Callable[..., list[Program]]] = {
        TextClassifier: _classifier,
        PairClassifier: _pair_classifier,
        SequenceLabeller: _labeller,
        Regressor: _regressor,
        LanguageModel: _language_model,
        Seq2Seq: _seq2seq,
        Word2Vec: _word_vectors,
    }
    kind = type(network)
    if kind not in builders:
        raise UserError(
            f"the network {kind.__name__} of a custom task cannot be exported: export --format safetensors, which "
            "stores the weights of any network"
        )
    for module in network.modules():
        _check_built_in(module)
    return builders[kind](network)


def _check_built_in(module: nn.Module) -> None:
    if isinstance(module, Cell) and not type(module).__module__.startswith("sluice."):
        known = ", ".join(sorted(name for name, cell in CELLS.items() if cell.__module__.startswith("sluice.")))
        raise UserError(
            f"the custom cell {type(module).__name__} cannot be exported, only {known} can: export --format "
            "safetensors, which stores the weights of any cell"
        )


def _classes(network: nn.Linear) -> int:
    return network.out_features


def _classifier(network: TextClassifier) -> list[Program]:
    classes = _classes(network.output)

    def run(backend: Backend, given: Mapping[str, Tensor]) -> Tensors:
        ids, lengths = given["ids"], given["lengths"]
        if network.padding == "left":
            ids = backend.reverse(backend.reverse(ids, torch.ones_like(ids, dtype=torch.int64).sum(1)), lengths)
        outputs, last = _pooled_outputs(backend, network, ids, lengths)
        mask = step_mask(ids, lengths)
        pooled = network.pooling(outputs, mask, last)
        logits = network.output(pooled.vector)
        found = _with_probabilities(logits if network.ngrams is None else logits + network.ngrams(ids, mask))
        return found if pooled.weights is None else {**found, "weights": pooled.weights}

    outputs = (*_class_outputs(("batch", classes)),)
    if isinstance(network.pooling, AttentionPooling):
        outputs = (
            *outputs,
            Value("weights", ("batch", "time"), "weights of attention pooling, without the padding on the left"),
        )
    side = "left, 1 is the id of padding" if network.padding == "left" else "right, padding is ignored"
    return [Program("", run, (IDS._replace(description=f"token ids, padded on the {side}"), LENGTHS), outputs)]


def _pooled_outputs(backend: Backend, network: TextClassifier, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the outputs (B, T, H) and the final hidden state (B, H) of the stack, by segments if it has them."""
    size = network.segment_length
    if size is None:
        run = run_stack(backend, network.recurrent, network.embedding(ids), lengths)
        return run.outputs, run.top_hidden(network.recurrent.directions)
    starts = backend.split_segments(step_positions(ids), size).select(1, 0)
    whole = backend.split_segments(torch.zeros_like(ids, dtype=torch.int64) + lengths.unsqueeze(1), size).select(1, 0)
    remaining = (whole - starts).clamp(0, size)
    segments = backend.split_segments(ids, size)
    outputs = run_stack(backend, network.recurrent, network.embedding(segments), remaining.clamp(1)).outputs
    outputs = outputs.masked_fill(~step_mask(segments, remaining).unsqueeze(-1), 0.0)
    joined = backend.join_segments(outputs, ids)
    return joined, joined.select(1, 0)


def _with_probabilities(logits: Tensor) -> Tensors:
    return {"logits": logits, "probabilities": logits.softmax(-1)}


def _class_outputs(shape: tuple[int | str, ...]) -> list[Value]:
    return [
        Value("logits", shape, "scores of the classes before the softmax"),
        Value("probabilities", shape, "probabilities of the classes"),
    ]


def _pair_classifier(network: PairClassifier) -> list[Program]:
    def encoded(backend: Backend, words: Tensor, index: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        embedded = F.embedding(index, words)
        outputs = run_stack(backend, network.recurrent, embedded, lengths).outputs
        return embedded, network.query(embedded), outputs, step_mask(index, lengths)

    def compared(text: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> Tensor:
        embedded, queries, outputs, mask = text
        aligned, _ = network.attention(queries, Memory(other[0], other[1], other[3]))
        parts = [embedded, aligned, (embedded - aligned).abs(), embedded * aligned, outputs]
        return (network.compare(torch.cat(parts, -1)) * mask.unsqueeze(-1)).sum(1)

    def run(backend: Backend, given: Mapping[str, Tensor]) -> Tensors:
        words = _word_vectors_of(network.embedding.weight, given["ngrams"])
        first = encoded(backend, words, given["first"], given["first_lengths"])
        second = encoded(backend, words, given["second"], given["second_lengths"])
        return _with_probabilities(network.output(compared(first, second) + compared(second, first)))

    inputs = (
        Value(
            "ngrams",
            ("words", "ngrams"),
            "buckets of the character n-grams of each distinct word, padded with -1",
            torch.int64,
        ),
        Value("first", ("batch", "first_time"), "rows of ngrams of the words of the first texts", torch.int64),
        Value("first_lengths", ("batch",), "number of words of each first text, at least 1", torch.int64),
        Value("second", ("batch", "second_time"), "rows of ngrams of the words of the second texts", torch.int64),
        Value("second_lengths", ("batch",), "number of words of each second text, at least 1", torch.int64),
    )
    return [Program("", run, inputs, tuple(_class_outputs(("batch", _classes(network.output)))))]


def _word_vectors_of(table: Tensor, ngrams: Tensor) -> Tensor:
    """Returns the vectors (W, D) of words from their n-grams (W, N), padded with −1, as CharNgramEmbedding does."""
    present = (ngrams >= 0).unsqueeze(-1).to(torch.float32)
    summed = (F.embedding(ngrams.clamp(0), table) * present).sum(1)
    return summed * present.sum(1).clamp(1.0).rsqrt()


def _labeller(network: SequenceLabeller) -> list[Program]:
    stack, size = network.recurrent, _classes(network.output)
    carried = _state_values(stack) if stack.directions == 1 else []

    def run(backend: Backend, given: Mapping[str, Tensor]) -> Tensors:
        states = _given_states(stack, given, given["lengths"]) if carried else None
        inputs = given["features"] if network.embedding is None else network.embedding(given["ids"])
        after = run_stack(backend, stack, inputs, given["lengths"], states)
        logits = network.output(after.outputs)
        found = {"values": logits} if network.embedding is None else _with_probabilities(logits)
        return {**found, **(_named_states(stack, after.finals, "next_") if carried else {})}

    shape = ("batch", "time", size)
    outputs = _class_outputs(shape) if network.embedding is not None else [Value("values", shape, "predicted values")]
    first = IDS if network.embedding is not None else _features(stack)
    return [Program("", run, (first, LENGTHS, *carried), (*outputs, *map(_after, carried)))]


def _features(stack: RecurrentStack) -> Value:
    return Value(
        "features", ("batch", "time", stack.cell_list()[0].input_size), "features, padded to the longest sequence"
    )


def _regressor(network: Regressor) -> list[Program]:
    def run(backend: Backend, given: Mapping[str, Tensor]) -> Tensors:
        after = run_stack(backend, network.recurrent, given["features"], given["lengths"])
        return {"values": network.output(after.top_hidden(network.recurrent.directions))}

    values = Value("values", ("batch", _classes(network.output)), "predicted values")
    return [Program("", run, (_features(network.recurrent), LENGTHS), (values,))]


def _language_model(network: LanguageModel) -> list[Program]:
    stack = network.recurrent
    carried = _state_values(stack)

    def run(backend: Backend, given: Mapping[str, Tensor]) -> Tensors:
        states = _given_states(stack, given, given["lengths"])
        after = run_stack(backend, stack, network.embedding(given["ids"]), given["lengths"], states)
        features = after.outputs if network.projection is None else network.projection(after.outputs)
        scores = backend.join_segments(network.head.log_probabilities(features.flatten(0, 1)), given["ids"])
        return {"log_probabilities": scores, **_named_states(stack, after.finals, "next_")}

    shape = ("batch", "time", network.embedding.vocab_size)
    outputs = (Value("log_probabilities", shape, "log-probabilities of the token after each token"),)
    return [Program("", run, (IDS, LENGTHS, *carried), (*outputs, *map(_after, carried)))]


def _word_vectors(network: Word2Vec) -> list[Program]:
    def run(backend: Backend, given: Mapping[str, Tensor]) -> Tensors:
        return {"vectors": F.embedding(given["ids"], network.vectors)}

    size = network.vectors.shape[1]
    vectors = Value("vectors", ("batch", "time", size), "word vectors")
    return [Program("", run, (IDS._replace(description="word ids"),), (vectors,))]


def _seq2seq(network: Seq2Seq) -> list[Program]:
    decoder = network.decoder
    carried = _state_values(decoder.stack)
    if decoder.input_feeding:
        size = decoder.output_size
        carried = [
            *carried,
            Value("feed", ("batch", size), "features of the preceding step", start=torch.zeros(1, size)),
        ]
    context, vocab_size = _context_values(network), decoder.embedding.vocab_size

    def encode(backend: Backend, given: Mapping[str, Tensor]) -> Tensors:
        return _encoded(backend, network, given["source"], given["source_lengths"])

    def decode(backend: Backend, given: Mapping[str, Tensor]) -> Tensors:
        return _decoded(network, given)

    source = Value("source", ("batch", "source_time"), "source ids, each sentence followed by <eos>", torch.int64)
    lengths = Value("source_lengths", ("batch",), "number of source ids of each sentence, with <eos>", torch.int64)
    words = Value("words", ("batch",), "the preceding target words, <bos> at first", torch.int64)
    weights = Value("weights", ("batch", "source_time"), "attention weights over the source")
    outputs = [
        Value("log_probabilities", ("batch", vocab_size), "log-probabilities of the next words"),
        *([weights] if decoder.attention is not None else []),
        *map(_after, carried),
    ]
    return [
        Program("encoder", encode, (source, lengths), (*carried, *context)),
        Program(
            "decoder", decode, (words, *(value._replace(start=None) for value in (*carried, *context))), tuple(outputs)
        ),
    ]


def _context_values(network: Seq2Seq) -> list[Value]:
    """Returns what the decoder reads of the source at every step."""
    size, attention = network.encoder.output_size, network.decoder.attention
    if attention is None:
        return [Value("encoder_state", ("batch", size), "final state of the encoder")]
    shape = ("batch", "source_time")
    keys = (
        network.decoder.stack.hidden_size
        if not isinstance(attention, AdditiveAttention)
        else attention.key.out_features
    )
    found = [
        Value("memory_values", (*shape, size), "outputs of the encoder"),
        Value("memory_keys", (*shape, keys), "keys of the attention"),
        Value("memory_mask", shape, "whether a source position is within its length", torch.bool),
    ]
    return found if not isinstance(attention, DotAttention) else [found[0], found[2]]


def _encoded(backend: Backend, network: Seq2Seq, source: Tensor, lengths: Tensor) -> Tensors:
    """Encodes the source: the initial values of the state and the context of the decoder, by name."""
    decoder, directions = network.decoder, network.encoder.directions
    run = run_stack(backend, network.encoder, network.source_embedding(source), lengths)
    if isinstance(network.bridge, ZerosBridge):
        first = zero_states(decoder.stack.cell_list(), lengths)
    else:
        starts = range(0, len(run.finals), directions)
        layers = tuple(_stacked(run.finals[start : start + directions]) for start in starts)
        first = network.bridge.layer_states(layers)
    found = _named_states(decoder.stack, first)
    if decoder.input_feeding:
        found["feed"] = zero_column(lengths) + torch.zeros(1, decoder.output_size)
    if decoder.attention is None:
        return {**found, "encoder_state": run.top_hidden(directions)}
    memory = decoder.attention.prepare_memory(run.outputs, step_mask(source, lengths))
    return {**found, **{f"memory_{name}": part for name, part in memory._asdict().items()}}


def _decoded(network: Seq2Seq, given: Mapping[str, Tensor]) -> Tensors:
    """Computes one step of the decoder, like `Decoder.step`."""
    decoder, words = network.decoder, given["words"]
    inputs = [decoder.embedding(words)]
    if decoder.attention is None:
        inputs.append(given["encoder_state"])
    if decoder.input_feeding:
        inputs.append(given["feed"])
    features, finals = torch.cat(inputs, -1), list[State]()
    states = _given_states(decoder.stack, given, words)
    for layer, (cell, state) in enumerate(zip(decoder.stack.cell_list(), states, strict=True)):
        after, _ = cell.step(cell.project(features), state, cell.recurrence(1))
        features = after.hidden + features if decoder.stack.residual and layer else after.hidden
        finals.append(after)
    found = Tensors()
    if decoder.attention is None:
        context = given["encoder_state"]
    else:
        values, mask = given["memory_values"], given["memory_mask"]
        memory = Memory(values, given.get("memory_keys", values), mask)
        attended, weights = decoder.attention(features.unsqueeze(1), memory)
        context, found["weights"] = attended.squeeze(1), weights.squeeze(1)
    combined = torch.tanh(F.linear(torch.cat([context, features], -1), decoder.combine.weight))
    if decoder.input_feeding:
        found["next_feed"] = combined
    states_after = _named_states(decoder.stack, finals, "next_")
    return {"log_probabilities": network.log_probabilities(combined), **found, **states_after}


def _state_values(stack: RecurrentStack) -> list[Value]:
    """Returns the state of a stack as inputs, in the order of `state_tensors`."""
    tensors = state_tensors(stack.make_initial_state(1))
    names = _state_names(stack)
    return [
        Value(name, (tensor.shape[0], "batch", tensor.shape[2]), "state before the first token", start=tensor.detach())
        for name, tensor in zip(names, tensors, strict=True)
    ]


def _state_names(stack: RecurrentStack) -> list[str]:
    fields = stack.state_type._fields
    if len(set(stack.hidden_sizes)) == 1:
        return list(fields)
    return [f"{name}_{layer}" for layer in range(1, stack.num_layers + 1) for name in fields]


def _after(value: Value) -> Value:
    return value._replace(name=f"next_{value.name}", description="state after the last token", start=None)


def _given_states(stack: RecurrentStack, given: Mapping[str, Tensor], rows: Tensor) -> States:
    """Returns the state of each cell from the inputs, expanded to the batch of `rows` (B,)."""
    tensors = [given[name] + zero_column(rows) for name in _state_names(stack)]
    return split_state(state_of_tensors(tensors, stack.state_type))


def _named_states(stack: RecurrentStack, states: States, prefix: str = "") -> Tensors:
    """Returns the states of the cells as outputs by name: inverse of `_given_states`."""
    directions = stack.directions
    starts = range(0, len(states), directions)
    if len(set(stack.hidden_sizes)) == 1:
        blocks = [_stacked(states)]
    else:
        blocks = [_stacked(states[start : start + directions]) for start in starts]
    tensors = [tensor for block in blocks for tensor in block]
    return {f"{prefix}{name}": tensor for name, tensor in zip(_state_names(stack), tensors, strict=True)}


def _stacked(states: States) -> State:
    return type(states[0])(*(torch.stack(parts) for parts in zip(*states, strict=True)))
