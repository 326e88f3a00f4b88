"""Text generation, next-token suggestion and scoring with a trained language model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sluice.data.running_text import encode_lines
from sluice.decoding.sampling import Continuations, check_sampling, fixed_length_beam_search, sample
from sluice.errors import UserError
from sluice.inference.base import InferenceModel
from sluice.inference.hidden_states import record_hidden_states
from sluice.inference.inputs import batches_by_length, list_of_texts
from sluice.inference.lm_evaluation import LMEvaluator
from sluice.inference.predictor import BATCH_SIZE
from sluice.inference.trace import StepPrediction, Trace, TracedStates, require_tokens
from sluice.layers.output_loss import IGNORED
from sluice.memory import require_memory
from sluice.models.language import LanguageModel as LanguageModelNetwork
from sluice.recurrent.states import StackState, map_state
from sluice.text.language_text import LanguageText
from sluice.text.lines import LinePart, read_parts
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.vocab import UNKNOWN, UNKNOWN_ID, Vocab

if TYPE_CHECKING:
    from sluice.data.language_modeling import LanguageData

MAX_CONTEXT = 400
"""Maximum number of tokens from which the next token is suggested."""
POSITIONS = 2048
"""Approximate number of tokens of a batch of texts that are scored per forward pass."""
ROWS = 100
"""Number of steps of a trace for which the distribution over the next token is computed at a time."""


class GeneratedText(NamedTuple):
    """A prompt and its continuation."""

    text: str
    """The prompt as given, and the continuation."""
    perplexity: float
    """Perplexity of the continuation under the model, before temperature, top-k and top-p."""


@dataclass(frozen=True)
class Sampling:
    """Settings of text generation, see `LanguageModel.generate`, which raises a ValueError for values out of range.

    Example:
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

    def check(self, vocab_size: int, number: int) -> None:
        """Checks the settings.

        Args:
            vocab_size: number of words of the model.
            number: number of texts.

        Raises:
            ValueError: for a value out of range, or options of sampling together with a beam.
        """
        check_sampling(self.temperature, self.top_k, self.top_p)
        if self.tokens < 1:
            raise ValueError(f"tokens must be at least 1, got {self.tokens}")
        if number < 1:
            raise ValueError(f"number must be at least 1, got {number}")
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


class Suggestion(NamedTuple):
    """A possible next token."""

    token: str
    """The token, `<eos>` for the end of a line."""
    probability: float
    """Its probability."""


class TextScore(NamedTuple):
    """The log-probabilities of a text's N tokens, ends of lines included."""

    tokens: list[str]
    """The N tokens, `<unk>` for unknown ones and `<eos>` for the end of a line."""
    log_probabilities: list[float]
    """Natural logarithms of the N tokens' probabilities, each given all tokens before it."""

    @property
    def log_probability(self) -> float:
        """Σ log p, the log-probability of the whole text."""
        return math.fsum(self.log_probabilities)

    @property
    def perplexity(self) -> float:
        """exp(−Σ log p / N)."""
        return math.exp(-self.log_probability / len(self.tokens))

    @property
    def unknown(self) -> int:
        """Number of tokens that are not in the vocabulary."""
        return self.tokens.count(UNKNOWN)


class LanguageModel(InferenceModel):
    """Generates and scores text with a trained language model, its vocabulary and its tokenizer.

    Example:
        >>> from sluice.inference.examples import language_model
        >>> model = language_model()  # untrained; a trained one: sluice.load("outputs/wikitext2/lstm/mine")
        >>> [text] = model.generate("the sea", tokens=3, seed=1)
        >>> text.text.startswith("the sea")
        True
    """

    description: ClassVar[str] = "generates text"
    network: LanguageModelNetwork

    def __init__(
        self,
        *,
        network: LanguageModelNetwork,
        vocab: Vocab,
        tokenizer: str,
        chunk_length: int,
        tokenized: bool | None = None,
    ) -> None:
        """
        Args:
            network: the network, in evaluation mode.
            vocab: its vocabulary.
            tokenizer: name of the tokenizer of its training text.
            chunk_length: steps per forward pass in `score_file`.
            tokenized: default of the argument of this name of all methods.
        """
        self.network, self.vocab, self.chunk_length, self.tokenized = network, vocab, chunk_length, tokenized
        self.text = LanguageText(vocab, tokenizer)

    @classmethod
    def for_data(cls, network: LanguageModelNetwork, data: "LanguageData") -> "LanguageModel":
        """Returns the language model of a network that was trained on a DataModule.

        Args:
            network: the network; set to evaluation mode.
            data: the DataModule, for vocabulary and tokenizer.

        Example:
            >>> from sluice.data import LanguageData, TextLines
            >>> from sluice.inference.examples import language_model
            >>> data = LanguageData(corpus=TextLines(["the sea", "sleeps", "the end"]))
            >>> LanguageModel.for_data(language_model().network, data).vocab.tokens
            ['<unk>', '<pad>', '<eos>', 'sea', 'the']
        """
        tokenizer, length = data.settings.tokenizer, data.chunk_length
        return cls(network=network.eval(), vocab=data.prepared.vocab, tokenizer=tokenizer, chunk_length=length)

    def generate(
        self,
        prompt: str = "",
        *,
        tokens: int = 60,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        beam: int | None = None,
        seed: int | None = None,
        number: int = 1,
        allow_unknown: bool = True,
        tokenized: bool | None = None,
    ) -> list[GeneratedText]:
        """Generates continuations of a prompt; the other arguments are those of `Sampling`.

        Args:
            prompt: the text to continue.
            number: number of continuations; of a beam search, which has at least `number` hypotheses, the best ones.
            tokenized: whether the prompt is already tokenised, and only split at white space; by default it is not.

        Returns:
            `number` texts, those of a beam search by decreasing probability.

        Raises:
            ValueError: for a value out of range, or tokenised text and a model of characters.

        Example:
            >>> from sluice.inference.examples import language_model
            >>> [best, second] = language_model().generate("The sea", tokens=1, beam=3, number=2)
            >>> best.text, round(best.perplexity, 1)
            ('The sea sea', 4.7)
        """
        sampling = Sampling(tokens, temperature, top_k, top_p, beam, seed, allow_unknown)
        sampling.check(len(self.vocab), number)
        split = self._split(tokenized)
        found = self._continue(self.text.prompt_ids(prompt, split), sampling, number)
        texts = zip(found.ids[:number].tolist(), found.log_probabilities.tolist(), strict=False)
        return [GeneratedText(self.text.append(prompt, ids, split), math.exp(-score / tokens)) for ids, score in texts]

    def suggest(self, text: str, top: int = 10, *, tokenized: bool | None = None) -> list[Suggestion]:
        """Returns the most probable next tokens after a text.

        Args:
            text: the preceding text.
            top: number of tokens; fewer are returned if the vocabulary has fewer that can be generated.
            tokenized: whether the text is already tokenised, and only split at white space; by default it is not.

        Raises:
            UserError: for tokenised text and a model of characters.
            ValueError: if `top` is below 1.

        Example:
            >>> from sluice.inference.examples import language_model
            >>> [suggestion.token for suggestion in language_model().suggest("the sea", top=2)]
            ['sea', '<eos>']
        """
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        ids = self.text.prompt_ids(text, self._split(tokenized))
        given = torch.tensor([[ids[0], *ids[1:][-MAX_CONTEXT:]]], device=self.device)
        with torch.inference_mode():
            scores, _ = self.network.step(*self.network.prefill(given))
            banned = list(self.text.banned_ids)
            scores[:, banned] = -torch.inf
            values, indices = scores[0].topk(min(top, scores.shape[1] - len(banned)))
        return [
            Suggestion(*pair) for pair in zip(self.vocab.decode(indices.tolist()), values.exp().tolist(), strict=True)
        ]

    def score(
        self, texts: Iterable[str], *, tokenized: bool | None = None, batch_size: int = BATCH_SIZE
    ) -> list[TextScore]:
        """Computes the log-probability of every token of each text, ends of lines included.

        Every text is read as `score_file` reads a file of this content: by itself, as the beginning of a line.

        Args:
            texts: any number of texts, sorted by length into batches.
            tokenized: see `score_file`.
            batch_size: number of texts run through the network together.

        Raises:
            TypeError: for a single string instead of a list.
            UserError: for an empty text, or for tokenised text and a model of characters.

        Example:
            >>> from sluice.inference.examples import language_model
            >>> first, second = language_model().score(["the sea sleeps", "the sea\\nthe fog"])
            >>> first.tokens, second.tokens
            (['the', 'sea', 'sleeps', '<eos>'], ['the', 'sea', '<eos>', 'the', '<unk>', '<eos>'])
            >>> round(first.log_probability, 2), round(first.perplexity, 2)
            (-7.04, 5.81)
        """
        encoded = [self._encode(text, tokenized) for text in list_of_texts(texts)]
        found: dict[int, TextScore] = {}
        for batch in batches_by_length([len(ids) for ids in encoded], batch_size):
            losses = self._losses([encoded[index] for index in batch])
            for index, row in zip(batch, losses, strict=True):
                found[index] = self._score(encoded[index], row)
        return [found[index] for index in range(len(encoded))]

    def score_file(self, file: Path, *, tokenized: bool | None = None) -> TextScore:
        """Computes the log-probability of every token of a text file, ends of lines included.

        By default the tokens are those of a test on the file, and so is the perplexity if the test has one stream
        (`task.data.test_streams`); with more, each stream begins without the preceding text.

        Args:
            file: path of the file.
            tokenized: whether the text is already tokenised, and only split at white space. None for text like the
                training text: tokenised if the training tokenizer is "whitespace".

        Raises:
            UserError: if the file is empty or not a text file, or for tokenised text and a model of characters.

        Example:
            >>> from sluice.inference.examples import language_model
            >>> Path("sea.txt").write_text("the sea\\nsleeps\\n")
            15
            >>> language_model().score_file(Path("sea.txt")).tokens
            ['the', 'sea', '<eos>', 'sleeps', '<eos>']
        """
        split = self._split_like_training(tokenized)
        parts = read_parts(file, anywhere=self.text.char_level)
        ids = encode_lines(parts, lambda line: self.text.tokenize(line, split), self.vocab)
        if not len(ids):
            raise UserError(f"{file} is empty: it has no words to score")
        evaluator = LMEvaluator(self.network, end_id=self.text.end_id, chunk_length=self.chunk_length)
        losses = [loss for chunk in evaluator.losses(ids) for loss in chunk.flatten().tolist()]
        return self._score(ids, losses[: len(ids)])

    @torch.inference_mode()
    def trace(
        self, text: str, *, layer: int | None = None, backward: bool = False, tokenized: bool | None = None
    ) -> Trace:
        """Records states and gates at each token of a text, which is preceded by the end of a line.

        Args:
            text: the text.
            layer: layer number, 1 is the lowest; None for the top layer.
            backward: must be False, since language models are unidirectional.
            tokenized: whether the text is already tokenised, and only split at white space; by default it is not.

        Raises:
            UserError: if the text has no tokens, or the layer or direction does not exist.

        Example:
            >>> from sluice.inference.examples import language_model
            >>> trace = language_model().trace("the sea")
            >>> trace.tokens, trace.states["hidden"].shape
            (['<eos>', 'the', 'sea'], (3, 8))
            >>> trace.predictions[1].prediction, round(trace.predictions[1].next_probability, 2)
            ('sea', 0.26)
        """
        network, split = self.network, self._split(tokenized)
        words = [END_OF_LINE, *require_tokens(self.text.tokens(text, split))]
        ids = self.text.prompt_ids(text, split)
        features = network.embedding(torch.tensor([ids], device=self.device))
        hidden = record_hidden_states(network.recurrent, features, layer=layer, backward=backward)
        projected = hidden.outputs if network.projection is None else network.projection(hidden.outputs)
        return Trace(
            words,
            [index != UNKNOWN_ID for index in ids],
            *TracedStates.of(hidden),
            predictions=self._step_predictions(projected, ids),
        )

    def _step_predictions(self, features: Tensor, ids: list[int]) -> list[StepPrediction]:
        """The prediction after each of T tokens, from features (T, D)."""
        found: list[StepPrediction] = []
        following: list[int | None] = [*ids[1:], None]
        for start, rows in zip(range(0, len(ids), ROWS), features.split(ROWS), strict=True):
            probabilities = self.network.head.log_probabilities(rows).exp()
            best = zip(*(part.tolist() for part in probabilities.max(-1)), strict=True)
            for (probability, index), row, after in zip(
                best, probabilities, following[start : start + ROWS], strict=True
            ):
                next_probability = None if after is None else float(row[after])
                found.append(StepPrediction(self.vocab.tokens[index], probability, next_probability))
        return found

    def _continue(self, ids: list[int], sampling: Sampling, number: int) -> Continuations:
        rows = max(sampling.beam or 1, number)
        needed = 8 * rows * (sampling.tokens + len(self.vocab))
        require_memory(needed, f"{rows:,} texts of {sampling.tokens:,} tokens", "generate fewer or shorter texts")
        last, state = self.network.prefill(torch.tensor([ids], device=self.device))
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
            generator=None if sampling.seed is None else torch.Generator(self.device).manual_seed(sampling.seed),
        )

    def _encode(self, text: str, tokenized: bool | None) -> NDArray[np.int32]:
        """The ids of a text read like a file.

        Raises:
            UserError: for an empty text, or for tokenised text and a model of characters.
        """
        split = self._split_like_training(tokenized)
        lines = (LinePart(line.removesuffix("\r"), True) for line in text.removesuffix("\n").split("\n"))
        ids = encode_lines(lines if text else (), lambda line: self.text.tokenize(line, split), self.vocab)
        if not len(ids):
            raise UserError("a text is empty: it has no words to score")
        return ids

    @torch.inference_mode()
    def _losses(self, batch: list[NDArray[np.int32]]) -> list[list[float]]:
        """−log p of the tokens of B texts, read in chunks of about `POSITIONS` tokens."""
        targets = pad_sequence(
            [torch.from_numpy(ids.astype(np.int64)) for ids in batch], batch_first=True, padding_value=IGNORED
        ).to(self.device)
        inputs = targets.roll(1, 1).clamp_min(0)
        inputs[:, 0] = self.text.end_id
        steps = max(1, POSITIONS // len(batch))
        found, state = list[Tensor](), None
        for given, wanted in zip(inputs.split(steps, 1), targets.split(steps, 1), strict=True):
            outputs = self.network(given, state)
            state = outputs.state
            found.append(self.network.losses(outputs, wanted))
        return [row[: len(ids)] for row, ids in zip(torch.cat(found, 1).tolist(), batch, strict=True)]

    def _score(self, ids: NDArray[np.int32], losses: list[float]) -> TextScore:
        return TextScore(self.vocab.decode(ids), [-loss for loss in losses])

    def _split(self, tokenized: bool | None) -> bool:
        """Whether a text is only split at white space.

        Raises:
            UserError: for tokenised text and a model of characters.
        """
        split = bool(self.tokenized if tokenized is None else tokenized)
        self.text.check(split)
        return split

    def _split_like_training(self, tokenized: bool | None) -> bool:
        """As `_split`, but by default for text like the training text."""
        chosen = self.tokenized if tokenized is None else tokenized
        return self._split(self.text.trained_on_tokenized if chosen is None else chosen)

    def _words(self) -> list[str]:
        return self.vocab.tokens


def _expand(state: StackState | None, number: int) -> StackState | None:
    """The state of one text, expanded to a batch of `number` texts."""
    return None if state is None else map_state(lambda part: part.expand(-1, number, -1), state)
