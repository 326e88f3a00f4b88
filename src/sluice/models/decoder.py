"""Decoder of a sequence-to-sequence network."""

import functools
from collections.abc import Callable
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from sluice.layers.attention import Attention, Memory
from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import LearnedEmbedding
from sluice.layers.native_attention import attend_rows, attention_kernel
from sluice.models.feeding import FeedingInputs, can_run_feeding, run_feeding
from sluice.recurrent import RecurrentStack, StackState, State
from sluice.recurrent.fused.native import kernels
from sluice.recurrent.products import linear
from sluice.recurrent.states import map_state
from sluice.recurrent.stepping import StackStepper


class DecoderState(NamedTuple):
    """State of a decoder between two steps."""

    cells: StackState
    """State of the stack, tensors (layers, B, H), see StackOutput."""
    feed: Tensor
    """(B, F), features of the previous step for input feeding; zeros at first."""
    encoder_state: Tensor
    """(sentences, M), final state of the encoder; the only source context without attention."""
    memory: Memory | None
    """Encoder outputs of the sentences prepared for attention; None without attention."""
    sentences: Tensor | None = None
    """(B,) int64, each row's index in `memory` and `encoder_state`; None if they have the same rows."""

    def select(self, rows: Tensor) -> "DecoderState":
        """Returns the state of the rows (R,), in this order; rows may repeat."""
        cells = map_state(lambda tensor: tensor.index_select(1, rows), self.cells)
        sentences = rows if self.sentences is None else self.sentences.index_select(0, rows)
        return self._replace(cells=cells, feed=self.feed.index_select(0, rows), sentences=sentences)

    def to(self, dtype: torch.dtype) -> "DecoderState":
        """Returns the state with its numbers in this dtype."""
        memory = self.memory
        if memory is not None:
            memory = memory._replace(values=memory.values.to(dtype), keys=memory.keys.to(dtype))
        cells = map_state(lambda tensor: tensor.to(dtype), self.cells)
        return DecoderState(cells, self.feed.to(dtype), self.encoder_state.to(dtype), memory, self.sentences)

    def own_rows(self) -> "DecoderState":
        """Returns the state with a row of `memory` and `encoder_state` for each row."""
        if self.sentences is None:
            return self
        memory = None if self.memory is None else self.memory.select(self.sentences)
        encoder_state = self.encoder_state.index_select(0, self.sentences)
        return self._replace(memory=memory, encoder_state=encoder_state, sentences=None)


class DecoderOutput(NamedTuple):
    """Output of Decoder for B sentences."""

    features: Tensor
    """(B, T, F), input of the output layer; undefined beyond each length."""
    weights: Tensor | None
    """(B, T, S), attention weights; None without attention."""


P = ParamSpec("P")
T = TypeVar("T")


def _without_cpu_autocast(
    method: Callable[Concatenate["Decoder", Tensor, DecoderState, P], T],
) -> Callable[Concatenate["Decoder", Tensor, DecoderState, P], T]:
    """Runs a method of single steps without autocast on a CPU, where the kernels in float32 take less time."""

    @functools.wraps(method)
    def converted(self: "Decoder", inputs: Tensor, state: DecoderState, *args: P.args, **options: P.kwargs) -> T:
        weight = self.combine.weight
        if not torch.is_autocast_enabled("cpu") or kernels(weight) is None:
            return method(self, inputs, state, *args, **options)
        with torch.autocast("cpu", enabled=False):
            given = inputs.to(weight.dtype) if inputs.is_floating_point() else inputs
            return method(self, given, state.to(weight.dtype), *args, **options)

    return converted


class Decoder(nn.Module):
    """Unidirectional stack over the preceding target words, attention, and the features for the output layer.

    features_t = tanh(W [context_t; h_t])  (Luong, Pham & Manning 2015, arXiv 1508.04025, equation 5)

    The context is the attention output for the query h_t. Without attention it is the final encoder state c, which is
    then also concatenated to every input (Cho et al. 2014, arXiv 1406.1078, equation 8). With input feeding the
    features of a step are concatenated to the next input (Luong et al., section 3.3), so that the steps run
    sequentially. Without it, training computes all steps in one run of the stack and one attention product.
    """

    def __init__(
        self,
        *,
        embedding: LearnedEmbedding,
        stack: RecurrentStack,
        attention: Attention | None,
        memory_size: int,
        output_size: int,
        input_feeding: bool = False,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        """
        Args:
            embedding: embedding of the target words.
            stack: recurrent stack; its input size is that of `decoder_input_size`.
            attention: attention over the encoder outputs; None to use the final encoder state only.
            memory_size: M, size of the encoder outputs.
            output_size: F, size of the features.
            input_feeding: whether the features of a step are an input of the next step.
            input_dropout: variational dropout on the embedded words.
            hidden_dropout: variational dropout on h before the features are computed.
            output_dropout: variational dropout on the features before the output layer.

        Raises:
            ValueError: if the stack is bidirectional or has another input size, or a dropout is outside [0, 1).
        """
        super().__init__()
        if stack.directions != 1:
            raise ValueError("a decoder cannot be bidirectional: set bidirectional=false")
        sizes = {"embedding_size": embedding.output_size, "output_size": output_size, "memory_size": memory_size}
        expected = decoder_input_size(**sizes, attention=attention is not None, input_feeding=input_feeding)
        first = stack.cell_list()[0]
        if first.input_size != expected:
            raise ValueError(f"the input size of the decoder's stack must be {expected}, got {first.input_size}")
        self.embedding, self.stack, self.attention = embedding, stack, attention
        self.input_feeding, self.output_size = input_feeding, output_size
        self.input_dropout = VariationalDropout(input_dropout)
        self.hidden_dropout = VariationalDropout(hidden_dropout)
        self.output_dropout = VariationalDropout(output_dropout)
        self.combine = nn.Linear(memory_size + stack.hidden_size, output_size, bias=False)

    def init_state(self, cells: StackState, outputs: Tensor, last: Tensor, mask: Tensor) -> DecoderState:
        """Returns the state before the first word.

        Args:
            cells: initial state of the stack, tensors (layers, B, H).
            outputs: (B, S, M), encoder outputs, zero beyond each length.
            last: (B, M), final state of the encoder.
            mask: (B, S) bool, True for the steps within each source length.
        """
        memory = None if self.attention is None else self.attention.prepare_memory(outputs, mask)
        return DecoderState(cells, outputs.new_zeros(len(outputs), self.output_size), last, memory)

    def forward(self, words: Tensor, lengths: Tensor, state: DecoderState) -> DecoderOutput:
        """Computes all steps of given target sentences (teacher forcing).

        Args:
            words: (B, T) int64, input words, starting with the begin-of-sentence token.
            lengths: (B,) int64 on the CPU.
            state: state from `init_state`.
        """
        inputs = self._inputs(self.input_dropout(self.embedding(words)), state)
        if self.input_feeding:
            return self._unroll(inputs, state)
        hidden = self.stack(inputs, lengths, state.cells).outputs
        features, weights = self._attend(self.hidden_dropout(hidden), state)
        return DecoderOutput(self.output_dropout(features), weights)

    @_without_cpu_autocast
    def forward_sampled(
        self, words: Tensor, state: DecoderState, choose: Callable[[Tensor], Tensor], probability: float
    ) -> DecoderOutput:
        """`forward` with input words randomly replaced by the predictions of the model.

        Scheduled sampling (Bengio et al. 2015, arXiv 1506.03099), drawn for each word except the first. The choice is
        not differentiated.

        Args:
            words: (B, T) int64, input words, starting with the begin-of-sentence token.
            state: state from `init_state`.
            choose: maps features (B, F) to the most probable words (B,).
            probability: probability of replacing a word, in [0, 1].
        """
        run, results = self._start_run(state), []
        mask = self.input_dropout(state.feed.new_ones(len(words), 1, self.embedding.output_size))
        replaced = torch.rand(words.shape, device=words.device) < probability
        cells, features = run.steps.split_state(state.cells), state.feed
        for step, target in enumerate(words.unbind(1)):
            word = torch.where(replaced[:, step], choose(features.detach()), target) if step else target
            inputs = self._inputs(self.embedding(word.unsqueeze(1)) * mask, state)
            features, weights, cells = self._step(run, run.steps.project(inputs)[:, 0], cells, features, state)
            results.append((features, weights))
        return self._stack_results(results)

    @_without_cpu_autocast
    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Computes one step.

        Args:
            words: (B,) int64, the previous words.
            state: state from `init_state` or the previous step.

        Returns:
            Features (B, F), weights (B, S) or None, and the next state.
        """
        if self.attention is None or state.memory is None or attention_kernel(self.attention, state.memory) is None:
            state = state.own_rows()
        run = self._start_run(state, single=True)
        projected = run.steps.project(self._inputs(self.embedding(words.unsqueeze(1)), state))[:, 0]
        features, weights, cells = self._step(run, projected, run.steps.split_state(state.cells), state.feed, state)
        return features, weights, state._replace(cells=run.steps.join_state(cells), feed=features)

    @_without_cpu_autocast
    def _unroll(self, inputs: Tensor, state: DecoderState) -> DecoderOutput:
        """Computes the steps sequentially; the projection of the inputs is computed at once."""
        run, results = self._start_run(state), []
        cells, features = run.steps.split_state(state.cells), state.feed
        if can_run_feeding(run.steps, self.attention, state.memory):
            return self._run_fused(run, inputs, cells, state)
        for projected in run.steps.project(inputs).unbind(1):
            features, weights, cells = self._step(run, projected, cells, features, state)
            results.append((features, weights))
        return self._stack_results(results)

    def _run_fused(self, run: "_Run", inputs: Tensor, cells: list[State], state: DecoderState) -> DecoderOutput:
        """`_unroll` in one autograd function; `cells` are the states of the layers."""
        assert self.attention is not None
        assert state.memory is not None
        projected = run.steps.project(inputs.transpose(0, 1).contiguous())
        mask = None if run.mask is None else run.mask.squeeze(1)
        given = FeedingInputs(projected, cells, state.feed, state.memory, mask)
        features, weights = run_feeding(run.steps, self.attention, self.combine.weight, given)
        return DecoderOutput(self.output_dropout(features.transpose(0, 1)), weights.transpose(0, 1))

    def _start_run(self, state: DecoderState, *, single: bool = False) -> "_Run":
        batch_size = len(state.feed)
        first = self.stack.cell_list()[0]
        known_size = first.input_size - self.output_size * self.input_feeding
        steps = StackStepper(self.stack, batch_size, known_size, single=single)
        mask = None
        if self.training and self.hidden_dropout.p:
            mask = self.hidden_dropout(state.feed.new_ones(batch_size, 1, self.stack.hidden_size))
        return _Run(steps, mask)

    def _step(
        self, run: "_Run", projected: Tensor, cells: list[State], features: Tensor, state: DecoderState
    ) -> tuple[Tensor, Tensor | None, list[State]]:
        """Computes one step of the equations; used in training and in decoding.

        Args:
            run: steps of the stack and dropout mask.
            projected: (B, P), input projection of the word.
            cells: states of the layers.
            features: (B, F) of the previous step.
            state: encoder state and memory, constant over the steps.

        Returns:
            Features (B, F), weights (B, S) or None, and the next states of the layers.
        """
        hidden, cells = run.steps.step(projected, features if self.input_feeding else None, cells)
        hidden = hidden if run.mask is None else hidden * run.mask.squeeze(1)
        if self.attention is None or state.memory is None:
            return self._features(state.encoder_state, hidden), None, cells
        context, weights = attend_rows(self.attention, hidden, state.memory, state.sentences)
        return self._features(context, hidden), weights, cells

    def _inputs(self, vectors: Tensor, state: DecoderState) -> Tensor:
        """(B, T, D) embedded words -> inputs of the stack without the fed features."""
        if self.attention is not None:
            return vectors
        return torch.cat([vectors, state.encoder_state.unsqueeze(1).expand(-1, vectors.shape[1], -1)], -1)

    def _attend(self, hidden: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None]:
        """(B, T, H) hidden states -> features (B, T, F) and weights (B, T, S) or None."""
        if self.attention is None:
            context, weights = state.encoder_state.unsqueeze(1).expand(-1, hidden.shape[1], -1), None
        else:
            assert state.memory is not None
            context, weights = self.attention(hidden, state.memory)
        return self._features(context, hidden), weights

    def _features(self, context: Tensor, hidden: Tensor) -> Tensor:
        return torch.tanh(linear(torch.cat([context, hidden], -1), self.combine.weight))

    def _stack_results(self, results: list[tuple[Tensor, Tensor | None]]) -> DecoderOutput:
        features, weights = zip(*results, strict=True)
        stacked = None if self.attention is None else torch.stack(weights, 1)
        return DecoderOutput(self.output_dropout(torch.stack(features, 1)), stacked)


class _Run(NamedTuple):
    """Constants of one run over the steps."""

    steps: StackStepper
    mask: Tensor | None
    """(B, 1, H), mask of the dropout on h."""


def decoder_input_size(
    *, embedding_size: int, output_size: int, memory_size: int, attention: bool, input_feeding: bool
) -> int:
    """Returns the input size of a decoder's stack.

    Args:
        embedding_size: size of the word vectors.
        output_size: F, size of the features; an input with input feeding.
        memory_size: M, size of the encoder outputs; the final encoder state is an input without attention.
        attention: whether the decoder has attention.
        input_feeding: whether the features of a step are an input of the next step.
    """
    return embedding_size + (0 if attention else memory_size) + (output_size if input_feeding else 0)
