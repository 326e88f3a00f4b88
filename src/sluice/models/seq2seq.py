"""Sequence-to-sequence network: encoder and decoder."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.decoding.search import DecodingSettings, decode
from sluice.decoding.steps import Hypothesis, StepOutput
from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import Embedding, LearnedEmbedding
from sluice.layers.output_loss import OutputLoss, exclude, linear_cross_entropy
from sluice.layers.pooling import step_mask
from sluice.layers.r_drop import r_drop_cross_entropy
from sluice.models.bridge import make_bridge
from sluice.models.decoder import Decoder, DecoderOutput, DecoderState
from sluice.options import TIED_WEIGHTS
from sluice.recurrent import OneHot, RecurrentStack, StackState
from sluice.recurrent.devices import to_device
from sluice.recurrent.products import linear
from sluice.recurrent.states import top_hidden


class SpecialIds(NamedTuple):
    """Token ids with a special meaning in decoding."""

    begin: int
    end: int
    forbidden: tuple[int, ...] = ()
    """Tokens that have probability 0 as next words, such as padding."""


class Seq2Seq(nn.Module):
    """Encoder, bridge, decoder and an output layer over the target vocabulary.

    Example:
        >>> from sluice.layers.attention import make_attention
        >>> from sluice.recurrent import RecurrentStack
        >>> source, target = (LearnedEmbedding(vocab_size=50, size=8, padding_id=1) for _ in range(2))
        >>> decoder = Decoder(
        ...     embedding=target,
        ...     stack=RecurrentStack(cell="gru", input_size=8, hidden_size=16),
        ...     attention=make_attention("general", query_size=16, memory_size=16),
        ...     memory_size=16,
        ...     output_size=8,
        ... )
        >>> encoder = RecurrentStack(cell="gru", input_size=8, hidden_size=8, bidirectional=True)
        >>> ids = SpecialIds(begin=2, end=3, forbidden=(1, 2))
        >>> model = Seq2Seq(source_embedding=source, encoder=encoder, decoder=decoder, ids=ids)
        >>> sources, lengths = torch.randint(4, 50, (3, 7)), torch.tensor([7, 5, 2])
        >>> translations = model.translate(sources, lengths, DecodingSettings(beam=4))
        >>> len(translations)
        3
    """

    def __init__(
        self,
        *,
        source_embedding: Embedding,
        encoder: RecurrentStack,
        decoder: Decoder,
        ids: SpecialIds,
        bridge: str = "learned",
        tie_weights: str = "output",
        input_dropout: float = 0.0,
        memory_dropout: float = 0.0,
    ) -> None:
        """
        Args:
            source_embedding: maps source ids to the input of the encoder.
            encoder: recurrent stack, unidirectional or bidirectional.
            decoder: decoder; its memory size is the output size of the encoder.
            ids: ids of the begin and end tokens and of tokens that are never next words.
            bridge: "zeros", "last" or "learned".
            tie_weights: "none"; "output": the output layer uses the weights of the target embedding; "all": so does the
                source embedding (needs a joint vocabulary).
            input_dropout: variational dropout on the embedded source words (features only, not one-hot rows).
            memory_dropout: variational dropout on the encoder outputs.

        Raises:
            ValueError: for an unknown bridge or tie_weights, sizes that do not fit, or a dropout outside [0, 1).
        """
        super().__init__()
        self.source_embedding, self.encoder, self.decoder, self.ids = source_embedding, encoder, decoder, ids
        self.bridge = make_bridge(bridge, encoder, decoder.stack)
        self.input_dropout = VariationalDropout(input_dropout)
        self.memory_dropout = VariationalDropout(memory_dropout)
        self.output = nn.Linear(decoder.output_size, decoder.embedding.vocab_size)
        nn.init.zeros_(self.output.bias)
        self._tie_weights(tie_weights)

    def _tie_weights(self, tie_weights: str) -> None:
        if tie_weights not in TIED_WEIGHTS:
            raise ValueError(f"unknown tie_weights={tie_weights!r}: expected one of {', '.join(TIED_WEIGHTS)}")
        target, source = self.decoder.embedding, self.source_embedding
        if tie_weights != "none":
            if target.output_size != self.decoder.output_size:
                raise ValueError(
                    f"tie_weights={tie_weights} requires equal sizes: the output size of the decoder is "
                    f"{self.decoder.output_size}, that of the target embedding {target.output_size}"
                )
            self.output.weight = target.table.weight
        if tie_weights == "all":
            if not isinstance(source, LearnedEmbedding) or source.table.weight.shape != target.table.weight.shape:
                raise ValueError(
                    "tie_weights=all uses one embedding for both languages: it requires a joint vocabulary "
                    "(task.text.joint=true) and learned embeddings of equal size"
                )
            source.table.weight = target.table.weight

    @property
    def word_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that have one row per vocabulary word."""
        tables = ("source_embedding.table.weight", "decoder.embedding.table.weight", "output.weight", "output.bias")
        names = tuple(name for name, _ in self.named_parameters(remove_duplicate=False) if name in tables)
        first = range(self.encoder.directions) if self.source_embedding.one_hot else ()
        return (*names, *(f"encoder.cells.{direction}.weight_ih" for direction in first))

    def encode(self, source: Tensor, lengths: Tensor) -> DecoderState:
        """Encodes the sources.

        Args:
            source: (B, S) int64.
            lengths: (B,) int64 on the CPU.

        Returns:
            The initial state of the decoder.
        """
        outputs, state = self.run_encoder(source, lengths)
        last = top_hidden(state, self.encoder.directions)
        mask = step_mask(lengths, outputs.shape[1], outputs.device)
        return self.decoder.init_state(self.bridge(state), self.memory_dropout(outputs), last, mask)

    def run_encoder(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, StackState]:
        """Returns the encoder outputs (B, S, M) for sources (B, S) of `lengths` (B,), and the final state."""
        embedded = self.source_embedding(source)
        features = embedded if isinstance(embedded, OneHot) else self.input_dropout(embedded)
        outputs, state = self.encoder(features, lengths)
        return outputs, state

    def forward(
        self, source: Tensor, source_lengths: Tensor, words: Tensor, lengths: Tensor, sampling: float = 0.0
    ) -> DecoderOutput:
        """Computes all steps of given targets (teacher forcing).

        Args:
            source: (B, S) int64.
            source_lengths: (B,) int64 on the CPU.
            words: (B, T) int64, input words of the decoder, starting with the begin token.
            lengths: (B,) int64 on the CPU.
            sampling: probability of replacing an input word by a predicted one, see `Decoder.forward_sampled`.

        Returns:
            Features (B, T, F) for `loss` and `log_probabilities`, and attention weights.
        """
        state = self.encode(source, source_lengths)
        if sampling:
            return self.decoder.forward_sampled(words, state, self._most_probable, sampling)
        return self.decoder(words, lengths, state)

    def loss(
        self, features: Tensor, labels: Tensor, lengths: Tensor, *, smoothing: float = 0.0, r_drop: float = 0.0
    ) -> OutputLoss:
        """Returns the loss summed over the words; padding is skipped.

        Args:
            features: (B, T, F); with R-Drop (2 B, T, F), whose second half is another prediction of the same sentences.
            labels: (B, T) int64, the words to predict.
            lengths: (B,) int64 on the CPU.
            smoothing: probability mass spread over all words that are not forbidden.
            r_drop: α of R-Drop, see `r_drop_cross_entropy`; 0 for a single prediction.
        """
        steps = labels.shape[1]
        inside = (torch.arange(steps) < lengths.unsqueeze(1)).flatten().nonzero().squeeze(1)
        rows = to_device(inside, labels.device)
        targets = labels.flatten().index_select(0, rows)
        weight, bias = self.output.weight, self.output.bias
        if not r_drop:
            inputs = features.flatten(0, 1).index_select(0, rows)
            return linear_cross_entropy(inputs, weight, bias, targets, smoothing=smoothing, excluded=self.ids.forbidden)
        inputs = features.flatten(0, 1).index_select(0, torch.cat([rows, rows + labels.numel()]))
        return r_drop_cross_entropy(
            inputs, weight, bias, targets, alpha=r_drop, smoothing=smoothing, excluded=self.ids.forbidden
        )

    def log_probabilities(self, features: Tensor) -> Tensor:
        """(..., F) features -> (..., V) log-probabilities."""
        return self._logits(features).float().log_softmax(-1)

    def step(self, words: Tensor, state: DecoderState) -> StepOutput:
        """Computes one step of decoding: previous words (R,) -> logits (R, V) of the next words."""
        features, weights, state = self.decoder.step(words, state)
        return StepOutput(self._logits(features), state, weights)

    @torch.no_grad()
    def translate(self, source: Tensor, lengths: Tensor, settings: DecodingSettings) -> list[list[Hypothesis]]:
        """Returns the best translations of each source, best first, with the network in evaluation mode.

        Args:
            source: (B, S) int64.
            lengths: (B,) int64 on the CPU.
            settings: decoding settings.
        """
        was_training = self.training
        self.eval()
        try:
            state = self.encode(source, lengths)
            special = {"begin_id": self.ids.begin, "end_id": self.ids.end}
            return decode(self.step, state, lengths, settings, **special, device=source.device)
        finally:
            self.train(was_training)

    def _most_probable(self, features: Tensor) -> Tensor:
        with torch.no_grad():
            return self._logits(features).argmax(-1)

    def _logits(self, features: Tensor) -> Tensor:
        return linear(features, self.output.weight, exclude(self.output.bias, self.ids.forbidden))
