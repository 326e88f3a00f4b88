"""Writing, suggesting and scoring with a trained language model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.corpora.readers import file_lines
from sluice.data.running_text import encode_lines
from sluice.decoding.sampling import beam, sample
from sluice.errors import UserError
from sluice.inference.lm_evaluation import Reader
from sluice.models.language import LanguageModel
from sluice.text.language_text import LanguageText
from sluice.text.vocab import UNKNOWN_ID, Vocab

MOST_CONTEXT = 400
"""Tokens before a suggestion that are read."""


class GeneratedText(NamedTuple):
    """A continued prompt."""

    text: str
    """The prompt and what follows it."""
    perplexity: float
    """Of what follows it."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; a value out of range is refused when it is used."""

    tokens: int = 60
    """How many are written."""
    temperature: float = 1.0
    """Divides the logits."""
    top_k: int | None = None
    """Only the k likeliest tokens; None for all."""
    top_p: float | None = None
    """Only the likeliest tokens that make up this probability; None for all."""
    beam: int | None = None
    """Hypotheses of a beam search; None samples."""
    seed: int | None = None
    """Of sampling; None for another text every time."""
    allow_unknown: bool = True
    """Whether `<unk>` may be written."""


class TokenScores(NamedTuple):
    """The tokens of a text, each with the natural logarithm of its probability."""

    ids: NDArray[np.int64]
    """(N,)."""
    log_probabilities: list[float]

    @property
    def perplexity(self) -> float:
        """exp(−Σ log p / N)."""
        return math.exp(-math.fsum(self.log_probabilities) / len(self.ids))

    @property
    def unknown(self) -> int:
        """Tokens that are not in the vocabulary."""
        return int((self.ids == UNKNOWN_ID).sum())


class TextGenerator:
    """A trained language model with its vocabulary and tokenizer."""

    wanted: ClassVar[str] = "writes"
    """What a command that takes such a model says it wants."""

    def __init__(self, *, network: LanguageModel, vocab: Vocab, tokenizer: str, chunk_length: int) -> None:
        """
        Args:
            network: in evaluation mode.
            vocab: its words.
            tokenizer: name of the tokenizer of its training text.
            chunk_length: steps at a time, for scoring.
        """
        self.network, self.vocab, self.tokenizer, self.chunk_length = network, vocab, tokenizer, chunk_length
        self.text = LanguageText(vocab, tokenizer)

    def generate(self, prompt: str, sampling: Sampling, number: int = 1) -> list[GeneratedText]:
        """Continuations of a prompt; of a beam search the `number` best.

        Raises:
            ValueError: for a value of `sampling` out of range.
        """
        ids = self.text.prompt_ids(prompt)
        last, state = self.network.prefill(torch.tensor([ids]))
        never = self.text.never_written
        banned = never if sampling.allow_unknown else (*never, UNKNOWN_ID)
        if sampling.beam is not None:
            width = max(sampling.beam, number)
            found = beam(self.network.step, last, state, tokens=sampling.tokens, width=width, banned=banned)
        else:
            found = sample(
                self.network.step,
                last.expand(number),
                _repeated(state, number),
                tokens=sampling.tokens,
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
                banned=banned,
                generator=None if sampling.seed is None else torch.Generator().manual_seed(sampling.seed),
            )
        scores = found.log_probabilities.tolist()
        return [
            GeneratedText(self.text.join([*ids[1:], *own]), math.exp(-score / sampling.tokens))
            for own, score in zip(found.ids[:number].tolist(), scores, strict=False)
        ]

    def suggest(self, text: str, top: int) -> list[tuple[str, float]]:
        """The `top` likeliest next tokens after a text, with their probabilities."""
        ids = self.text.prompt_ids(text)
        last, state = self.network.prefill(torch.tensor([[ids[0], *ids[1:][-MOST_CONTEXT:]]]))
        with torch.no_grad():
            scores, _ = self.network.step(last, state)
        scores[:, list(self.text.never_written)] = -torch.inf
        likeliest: Any = scores[0].topk(min(top, scores.shape[1]))
        words = self.vocab.decode(likeliest.indices.tolist())
        return list(zip(words, likeliest.values.exp().tolist(), strict=True))

    def score_file(self, file: Path) -> TokenScores:
        """The log-probability of every token of a text file.

        Raises:
            UserError: if the file is empty or isn't text.
        """
        ids = encode_lines(file_lines(file), self._tokenizer_for(file), self.vocab)
        if not len(ids):
            raise UserError(f"{file} is empty: there is no word in it to score")
        reader = Reader(self.network, end_id=self.text.end_id, chunk_length=self.chunk_length)
        losses: Sequence[Tensor] = list(reader.losses(ids))
        return TokenScores(
            ids.astype(np.int64), [-loss for chunk in losses for loss in chunk.flatten().tolist()][: len(ids)]
        )

    def _tokenizer_for(self, file: Path) -> str:
        """The run's own; for words set apart by blanks, new text is cut unless it is set apart already."""
        if self.tokenizer != "whitespace":
            return self.tokenizer
        for line in file_lines(file):
            if any(word[-1:] in ".,;" and len(word) > 1 for word in line.split()):
                return "words"
        return self.tokenizer


def _repeated(state: Any, number: int) -> Any:
    """The state of one text as that of a number of texts."""
    return None if state is None else type(state)(*(part.expand(-1, number, -1) for part in state))
