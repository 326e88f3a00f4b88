"""Text generation, next-token suggestion and scoring with a trained language model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.running_text import encode_lines
from sluice.decoding.sampling import Continuations, check_sampling, fixed_length_beam_search, sample
from sluice.errors import UserError
from sluice.inference.lm_evaluation import LMEvaluator
from sluice.memory import require_memory
from sluice.models.language import LanguageModel
from sluice.recurrent.states import StackState, map_state
from sluice.text.language_text import LanguageText
from sluice.text.lines import read_parts
from sluice.text.vocab import UNKNOWN_ID, Vocab

MAX_CONTEXT = 400
"""Maximum number of tokens from which the next token is suggested."""


class GeneratedText(NamedTuple):
    """A prompt and its continuation."""

    text: str
    """The prompt as given, and the continuation."""
    perplexity: float
    """Perplexity of the continuation under the model, before temperature, top-k and top-p."""


@dataclass(frozen=True)
class Sampling:
    """Settings of text generation, see `TextGenerator.generate`, which raises a ValueError for values out of range.

    Example:
        >>> from sluice.inference import Sampling
        >>> Sampling(tokens=20, temperature=0.8, top_p=0.9, seed=1).top_p
        0.9
    """

    tokens: int = 60
    """Number of tokens to generate."""
    temperature: float = 1.0
    """Divides the logits before the softmax, above 0: below 1 sharpens the distribution, above 1 flattens it."""
    top_k: int | None = None
    """Samples from the k most probable tokens only, at least 1; None for all tokens."""
    top_p: float | None = None
    """Nucleus sampling: samples from the smallest set of most probable tokens whose probabilities sum to at least
    top_p, in (0, 1]; applied after top_k; None for all tokens."""
    beam: int | None = None
    """Number of hypotheses of a beam search, at least 1 (greedy), which takes none of temperature, top_k, top_p and
    seed; None samples."""
    seed: int | None = None
    """Seed of the sampling; None draws from torch's global generator."""
    allow_unknown: bool = True
    """Whether `<unk>` may be generated."""

    def check(self, vocab_size: int) -> None:
        """Checks the settings.

        Args:
            vocab_size: number of words of the model.

        Raises:
            ValueError: for a value out of range, or options of sampling together with a beam.
        """
        check_sampling(self.temperature, self.top_k, self.top_p)
        if self.tokens < 1:
            raise ValueError(f"tokens must be at least 1, got {self.tokens}")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ValueError(f"the seed must be at least 0 and below 2^63, got {self.seed}")
        if self.beam is None:
            return
        if not 1 <= self.beam <= vocab_size:
            raise ValueError(f"the beam size must lie between 1 and the vocabulary size, {vocab_size}, got {self.beam}")
        given = {
            "temperature": self.temperature != 1,
            "top-k": self.top_k,
            "top-p": self.top_p,
            "a seed": self.seed is not None,
        }
        unused = [name for name, value in given.items() if value not in (None, False)]
        if unused:
            raise ValueError(f"a beam search cannot be combined with {unused[0]}, which is for sampling: leave one out")


class TokenScores(NamedTuple):
    """The log-probabilities of a text's tokens."""

    ids: NDArray[np.int64]
    """(N,) token ids."""
    log_probabilities: list[float]
    """Natural logarithms of the N tokens' probabilities, each given all tokens before it."""

    @property
    def perplexity(self) -> float:
        """exp(−Σ log p / N)."""
        return math.exp(-math.fsum(self.log_probabilities) / len(self.ids))

    @property
    def unknown(self) -> int:
        """Number of tokens that are not in the vocabulary."""
        return int((self.ids == UNKNOWN_ID).sum())


class TextGenerator:
    """Generates and scores text with a trained language model, its vocabulary and its tokenizer.

    Example:
        >>> from sluice.inference import Sampling, TextGenerator
        >>> from sluice.layers.embedding import LearnedEmbedding
        >>> from sluice.layers.heads import make_head
        >>> from sluice.models.language import LanguageModel
        >>> from sluice.recurrent import RecurrentStack
        >>> from sluice.text.vocab import Vocab
        >>> vocab = Vocab(["<unk>", "<pad>", "<eos>", "the", "sea", "sleeps"])
        >>> network = LanguageModel(
        ...     embedding=LearnedEmbedding(vocab_size=6, size=8, padding_id=1),
        ...     recurrent=RecurrentStack(cell="gru", input_size=8, hidden_size=8),
        ...     head=make_head("full", input_size=8, vocab_size=6),
        ... ).eval()
        >>> generator = TextGenerator(network=network, vocab=vocab, tokenizer="words", chunk_length=50)
        >>> [text] = generator.generate("the sea", Sampling(tokens=3, seed=1))
        >>> text.text.startswith("the sea")
        True
    """

    description: ClassVar[str] = "generates text"
    """Completes "a model that ..." in error messages."""

    def __init__(self, *, network: LanguageModel, vocab: Vocab, tokenizer: str, chunk_length: int) -> None:
        """
        Args:
            network: the network, in evaluation mode.
            vocab: its vocabulary.
            tokenizer: name of the tokenizer of its training text.
            chunk_length: steps per forward pass in `score_file`.
        """
        self.network, self.vocab, self.chunk_length = network, vocab, chunk_length
        self.text = LanguageText(vocab, tokenizer)

    def generate(
        self, prompt: str, sampling: Sampling, number: int = 1, *, tokenized: bool = False
    ) -> list[GeneratedText]:
        """Generates continuations of a prompt.

        Args:
            prompt: the text to continue.
            sampling: how tokens are chosen.
            number: number of continuations; of a beam search, which has at least `number` hypotheses, the best ones.
            tokenized: whether the prompt is already tokenised, and only split at white space.

        Returns:
            `number` texts, those of a beam search by decreasing probability.

        Raises:
            ValueError: if a value of `sampling` is out of range, or for tokenised text and a model of characters.
        """
        sampling.check(len(self.vocab))
        rows = number if sampling.beam is None else max(sampling.beam, number)
        needed = 8 * rows * (sampling.tokens + len(self.vocab))
        require_memory(needed, f"{rows:,} texts of {sampling.tokens:,} tokens", "generate fewer or shorter texts")
        found = self._continue(self.text.prompt_ids(prompt, tokenized), sampling, number)
        scores = found.log_probabilities.tolist()
        return [
            GeneratedText(self.text.append(prompt, continuation, tokenized), math.exp(-score / sampling.tokens))
            for continuation, score in zip(found.ids[:number].tolist(), scores, strict=False)
        ]

    def _continue(self, ids: list[int], sampling: Sampling, number: int) -> Continuations:
        last, state = self.network.prefill(torch.tensor([ids]))
        banned = self.text.banned_ids
        if not sampling.allow_unknown:
            banned = (*banned, UNKNOWN_ID)
        if sampling.beam is not None:
            width = max(sampling.beam, number)
            return fixed_length_beam_search(
                self.network.step, last, state, tokens=sampling.tokens, width=width, banned=banned
            )
        return sample(
            self.network.step,
            last.expand(number),
            _expand(state, number),
            tokens=sampling.tokens,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            banned=banned,
            generator=None if sampling.seed is None else torch.Generator().manual_seed(sampling.seed),
        )

    def suggest(self, text: str, top: int, *, tokenized: bool = False) -> list[tuple[str, float]]:
        """Returns the most probable next tokens after a text, with their probabilities.

        Args:
            text: the preceding text.
            top: number of tokens; fewer are returned if the vocabulary has fewer that can be generated.
            tokenized: whether the text is already tokenised, and only split at white space.

        Raises:
            UserError: for tokenised text and a model of characters.
        """
        ids = self.text.prompt_ids(text, tokenized)
        last, state = self.network.prefill(torch.tensor([[ids[0], *ids[1:][-MAX_CONTEXT:]]]))
        with torch.no_grad():
            scores, _ = self.network.step(last, state)
        banned = list(self.text.banned_ids)
        scores[:, banned] = -torch.inf
        likeliest: Any = scores[0].topk(min(top, scores.shape[1] - len(banned)))
        words = self.vocab.decode(likeliest.indices.tolist())
        return list(zip(words, likeliest.values.exp().tolist(), strict=True))

    def score_file(self, file: Path, *, tokenized: bool | None = None) -> TokenScores:
        """Computes the log-probability of every token of a text file, ends of lines included.

        By default the tokens are those of a test on the file, and so is the perplexity if the test has one stream
        (`task.data.test_streams`); with more, each stream begins without the preceding text.

        Args:
            file: path of the file.
            tokenized: whether the text is already tokenised, and only split at white space. None for text like the
                training text: tokenised if the training tokenizer is "whitespace".

        Raises:
            UserError: if the file is empty or not a text file, or for tokenised text and a model of characters.
        """
        split = self.text.trained_on_tokenized if tokenized is None else tokenized
        self.text.check(split)
        parts = read_parts(file, anywhere=self.text.char_level)
        ids = encode_lines(parts, lambda line: self.text.tokenize(line, split), self.vocab)
        if not len(ids):
            raise UserError(f"{file} is empty: it has no words to score")
        evaluator = LMEvaluator(self.network, end_id=self.text.end_id, chunk_length=self.chunk_length)
        losses: Sequence[Tensor] = list(evaluator.losses(ids))
        return TokenScores(
            ids.astype(np.int64), [-loss for chunk in losses for loss in chunk.flatten().tolist()][: len(ids)]
        )


def _expand(state: StackState | None, number: int) -> StackState | None:
    """The state of one text, expanded to a batch of `number` texts."""
    return None if state is None else map_state(lambda part: part.expand(-1, number, -1), state)
