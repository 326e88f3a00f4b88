"""The half of a translator that writes: a word at a time, looking back at the source."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.layers.attention import Attention, Memory
from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import LearnedEmbedding
from sluice.recurrent import RecurrentStack, State
from sluice.recurrent.products import linear
from sluice.recurrent.stepping import StackSteps


class DecoderState(NamedTuple):
    """All that a decoder needs to know to write the next word of every sentence."""

    cells: State
    """The stack's state, tensors (layers, B, H)."""
    feed: Tensor
    """(B, F), what the last step ended with; zeros at first."""
    fixed: Tensor
    """(B, M), the encoder's last state: all there is of the source without attention."""
    memory: Memory | None
    """What attention looks at; None without."""

    def select(self, rows: Tensor) -> "DecoderState":
        """The state of these rows (R,), in their order; a row may come more than once."""
        cells = type(self.cells)(*(tensor.index_select(1, rows) for tensor in self.cells))
        memory = None if self.memory is None else self.memory.select(rows)
        return DecoderState(cells, self.feed.index_select(0, rows), self.fixed.index_select(0, rows), memory)


class DecoderOutput(NamedTuple):
    """What a decoder makes of B sentences."""

    features: Tensor
    """(B, T, F), what the output layer reads; whatever beyond each length."""
    weights: Tensor | None
    """(B, T, S), where it looked; None without attention."""


class Decoder(nn.Module):
    """A one-directional stack over the words written so far, attention, and what the output layer reads.

    features_t = tanh(W [context_t; h_t])  (Luong, Pham & Manning 2015, arXiv 1508.04025, equation 5)

    The context is the attention's answer to the query h_t. Without attention it is the encoder's last state c, which
    then also stands beside every input (Cho et al. 2014, arXiv 1406.1078, equation 8). With input feeding the features
    of a step stand beside the next step's input (Luong et al., section 3.3), so that steps come one after another;
    without, all steps of training are one run of the stack and one product of the attention.
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
            embedding: ids of the words written so far to vectors.
            stack: its input size is what `decoder_input_size` says.
            attention: None for the fixed vector.
            memory_size: M, units of the encoder's output.
            output_size: F, units of the features.
            input_feeding: whether a step's features enter the next step.
            input_dropout: variational dropout on the embedded words.
            hidden_dropout: variational dropout on h where the features are made of it.
            output_dropout: variational dropout on the features before the output layer.

        Raises:
            ValueError: if the stack has two directions or another input size, or for a dropout outside [0, 1).
        """
        super().__init__()
        if stack.directions != 1:
            raise ValueError("a decoder writes from left to right, it cannot be bidirectional: set bidirectional=false")
        sizes = {"embedding_size": embedding.output_size, "output_size": output_size, "memory_size": memory_size}
        wanted = decoder_input_size(**sizes, attention=attention is not None, input_feeding=input_feeding)
        first = stack.cell_list()[0]
        if first.input_size != wanted:
            raise ValueError(f"the decoder's stack takes {first.input_size} inputs, it is to be given {wanted}")
        self.embedding, self.stack, self.attention = embedding, stack, attention
        self.input_feeding, self.output_size = input_feeding, output_size
        self.input_dropout = VariationalDropout(input_dropout)
        self.hidden_dropout = VariationalDropout(hidden_dropout)
        self.output_dropout = VariationalDropout(output_dropout)
        self.combine = nn.Linear(memory_size + stack.hidden_size, output_size, bias=False)

    def init_state(self, cells: State, outputs: Tensor, last: Tensor, mask: Tensor) -> DecoderState:
        """The state before the first word.

        Args:
            cells: the stack's first state, tensors (layers, B, H).
            outputs: (B, S, M), the encoder's, zero beyond each length.
            last: (B, M), the encoder's last state.
            mask: (B, S) bool, True on each source's own steps.
        """
        memory = None if self.attention is None else self.attention.remember(outputs, mask)
        return DecoderState(cells, outputs.new_zeros(len(outputs), self.output_size), last, memory)

    def forward(self, words: Tensor, lengths: Tensor, state: DecoderState) -> DecoderOutput:
        """Every step of sentences that are known.

        Args:
            words: (B, T) int64, from the mark of the begin on.
            lengths: (B,) int64 on the CPU.
            state: from `start`.
        """
        known = self._known(self.input_dropout(self.embedding(words)), state)
        if self.input_feeding:
            return self._unroll(known, state)
        hidden = self.stack(known, lengths, state.cells).outputs
        features, weights = self._look(self.hidden_dropout(hidden), state)
        return DecoderOutput(self.output_dropout(features), weights)

    def forward_sampled(
        self, words: Tensor, state: DecoderState, choose: Callable[[Tensor], Tensor], probability: float
    ) -> DecoderOutput:
        """`forward` with a share of the words replaced by those that the model itself would have written.

        Scheduled sampling (Bengio et al. 2015, arXiv 1506.03099): before every step but the first a coin is tossed for
        each sentence. No gradient goes through the choice.

        Args:
            words: (B, T) int64, from the mark of the begin on.
            state: from `start`.
            choose: the most probable words (B,) from features (B, F).
            share: of words replaced, in [0, 1].
        """
        run, made = self._begin(state), []
        kept = self.input_dropout(state.feed.new_ones(len(words), 1, self.embedding.output_size))
        replaced = torch.rand(words.shape, device=words.device) < probability
        cells, features = run.steps.begin(state.cells), state.feed
        for step, given in enumerate(words.unbind(1)):
            own = torch.where(replaced[:, step], choose(features.detach()), given) if step else given
            known = self._known(self.embedding(own.unsqueeze(1)) * kept, state)
            features, weights, cells = self._step(run, run.steps.project(known)[:, 0], cells, features, state)
            made.append((features, weights))
        return self._gathered(made)

    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None, DecoderState]:
        """One step of every sentence.

        Args:
            words: (B,) int64, the words written last.
            state: from `start` or the step before.

        Returns:
            Features (B, F), weights (B, S) or None, and the state after it.
        """
        run = self._begin(state)
        projected = run.steps.project(self._known(self.embedding(words.unsqueeze(1)), state))[:, 0]
        features, weights, cells = self._step(run, projected, run.steps.begin(state.cells), state.feed, state)
        return features, weights, state._replace(cells=run.steps.end(cells), feed=features)

    def _unroll(self, known: Tensor, state: DecoderState) -> DecoderOutput:
        """One step after another, what is known of them projected at once."""
        run, made = self._begin(state), []
        cells, features = run.steps.begin(state.cells), state.feed
        for projected in run.steps.project(known).unbind(1):
            features, weights, cells = self._step(run, projected, cells, features, state)
            made.append((features, weights))
        return self._gathered(made)

    def _begin(self, state: DecoderState) -> "_Run":
        batch_size = len(state.feed)
        first = self.stack.cell_list()[0]
        steps = StackSteps(self.stack, batch_size, first.input_size - self.output_size * self.input_feeding)
        kept = None
        if self.training and self.hidden_dropout.p:
            kept = self.hidden_dropout(state.feed.new_ones(batch_size, 1, self.stack.hidden_size))
        return _Run(steps, kept)

    def _step(
        self, run: "_Run", projected: Tensor, cells: list[State], features: Tensor, state: DecoderState
    ) -> tuple[Tensor, Tensor | None, list[State]]:
        """The step of the equations, which training, greedy search and beam search share.

        Args:
            run: dropout's masks, and the stack.
            projected: (B, P), what the stack made of the word.
            cells: the layers' states.
            features: (B, F) of the step before.
            state: what doesn't change from step to step.

        Returns:
            Features (B, F), weights (B, S) or None, and the layers' next states.
        """
        hidden, cells = run.steps.step(projected, features if self.input_feeding else None, cells)
        query = hidden.unsqueeze(1)
        made, weights = self._look(query if run.kept is None else query * run.kept, state)
        return made.squeeze(1), None if weights is None else weights.squeeze(1), cells

    def _known(self, vectors: Tensor, state: DecoderState) -> Tensor:
        """(B, T, D) embedded words -> the input's columns that are known before the run."""
        if self.attention is not None:
            return vectors
        return torch.cat([vectors, state.fixed.unsqueeze(1).expand(-1, vectors.shape[1], -1)], -1)

    def _look(self, hidden: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None]:
        """Features (B, T, F) and weights (B, T, S) or None of hidden states (B, T, H)."""
        if self.attention is None:
            context, weights = state.fixed.unsqueeze(1).expand(-1, hidden.shape[1], -1), None
        else:
            assert state.memory is not None
            context, weights = self.attention(hidden, state.memory)
        return torch.tanh(linear(torch.cat([context, hidden], -1), self.combine.weight)), weights

    def _gathered(self, made: list[tuple[Tensor, Tensor | None]]) -> DecoderOutput:
        features, weights = zip(*made, strict=True)
        looked = None if self.attention is None else torch.stack(weights, 1)
        return DecoderOutput(self.output_dropout(torch.stack(features, 1)), looked)


class _Run(NamedTuple):
    """What stays the same over the steps of one run."""

    steps: StackSteps
    kept: Tensor | None
    """(B, 1, H), the mask of the dropout on h."""


def decoder_input_size(
    *, embedding_size: int, output_size: int, memory_size: int, attention: bool, input_feeding: bool
) -> int:
    """Columns that a decoder's stack takes: a word, without attention the fixed vector, with input feeding features."""
    return embedding_size + (0 if attention else memory_size) + (output_size if input_feeding else 0)
