"""Units of sentences: words, learned subwords or characters."""

import io
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol

from sluice.errors import UserError
from sluice.options import SENTENCE_TOKENIZERS, SUBWORDS
from sluice.text.tokenizers import Tokenizer, detokenize, make_tokenizer


class SubwordModel:
    """A learned subword segmentation (Kudo & Richardson 2018, "SentencePiece", arXiv 1808.06226).

    Pieces at the beginning of a word start with "▁", so that segmentation is reversible. `model` is the serialised
    SentencePiece model, which can be stored in checkpoints.
    """

    def __init__(self, model: bytes) -> None:
        from sentencepiece import SentencePieceProcessor  # slow to import

        self.model = model
        self._processor: Any = SentencePieceProcessor(model_proto=model)

    @classmethod
    def learn(cls, texts: Iterable[str], *, size: int, kind: str = "bpe") -> "SubwordModel":
        """Learns a segmentation; deterministic for given texts.

        Args:
            texts: training texts.
            size: maximum number of pieces.
            kind: "bpe" (Sennrich, Haddow & Birch 2016, arXiv 1508.07909) or "unigram" (Kudo 2018, arXiv 1804.10959).

        Raises:
            ValueError: for an unknown kind.
            UserError: if `size` is less than the number of characters, or there is no text.
        """
        if kind not in SUBWORDS:
            raise ValueError(f"unknown kind of subwords {kind!r}: expected one of {', '.join(SUBWORDS)}")
        from sentencepiece import SentencePieceTrainer

        nonempty = [text for text in texts if text.strip()]
        if not nonempty:
            raise UserError("cannot learn subwords: all training texts are empty")
        model = io.BytesIO()
        options: dict[str, Any] = {"character_coverage": 1.0, "hard_vocab_limit": False, "num_threads": 1}
        try:
            SentencePieceTrainer.train(
                sentence_iterator=iter(nonempty),
                model_writer=model,
                vocab_size=size,
                model_type=kind,
                minloglevel=2,
                **options,
            )
        except RuntimeError as error:
            raise UserError(_learning_error(size, nonempty, error)) from error
        return cls(model.getvalue())

    def __len__(self) -> int:
        """Number of pieces, including the three special tokens of sentencepiece."""
        return self._processor.vocab_size()

    def encode(self, text: str) -> list[str]:
        """Segments a text into pieces; unseen characters become separate pieces."""
        return self._processor.encode(text, out_type=str)

    def decode(self, pieces: Sequence[str]) -> str:
        """Joins pieces to a text, with single spaces between the words."""
        return "".join(pieces).replace("▁", " ").strip()

    def __getstate__(self) -> bytes:
        return self.model

    def __setstate__(self, model: bytes) -> None:
        SubwordModel.__init__(self, model)


def _learning_error(size: int, texts: list[str], error: RuntimeError) -> str:
    characters = len(set("".join(texts)))
    if size <= characters + 3:
        return (
            f"task.text.subword_size={size} is too small: the training texts have {characters} different characters, "
            "each of which is a subword; increase it"
        )
    return f"cannot learn subwords from the training texts ({error}): set task.text.unit=words"


MOSES = "moses"


class Unit(Protocol):
    """Splits sentences into tokens and joins tokens to sentences."""

    def split(self, text: str) -> list[str]:
        """Returns the tokens of a sentence, lower-cased if the unit is."""

    def raw(self, text: str) -> list[str]:
        """Returns the same tokens without lower-casing."""

    def join(self, tokens: Sequence[str]) -> str:
        """Joins tokens to a sentence."""


class WordUnit:
    """Words and punctuation marks."""

    def __init__(self, *, language: str, tokenizer: str = MOSES, lowercase: bool = False) -> None:
        """
        Args:
            language: language code, for the tokenizer's abbreviations ("Dr.").
            tokenizer: "moses", "basic_english", "whitespace" or "words".
            lowercase: whether to lower-case the words.

        Raises:
            ValueError: for an unknown tokenizer.
        """
        if tokenizer not in SENTENCE_TOKENIZERS:
            raise ValueError(f"unknown tokenizer {tokenizer!r}: expected one of {', '.join(SENTENCE_TOKENIZERS)}")
        self.language, self.tokenizer, self.lowercase = language, tokenizer, lowercase

    def split(self, text: str) -> list[str]:
        words = self.raw(text)
        return [word.lower() for word in words] if self.lowercase else words

    def raw(self, text: str) -> list[str]:
        return self._tokenize(text)

    def join(self, tokens: Sequence[str]) -> str:
        if self.tokenizer == "whitespace":
            return " ".join(tokens)
        return detokenize(tokens)

    @cached_property
    def _tokenize(self) -> Tokenizer:
        if self.tokenizer != MOSES:
            return make_tokenizer(self.tokenizer)
        from sacremoses import MosesTokenizer  # slow to import

        moses = MosesTokenizer(self.language)
        return lambda text: moses.tokenize(text, escape=False)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_tokenize"}


class SubwordUnit:
    """Learned subwords."""

    def __init__(self, subwords: SubwordModel, *, lowercase: bool = False) -> None:
        self.subwords, self.lowercase = subwords, lowercase

    def split(self, text: str) -> list[str]:
        return self.subwords.encode(text.lower() if self.lowercase else text)

    def raw(self, text: str) -> list[str]:
        return self.split(text)

    def join(self, tokens: Sequence[str]) -> str:
        return self.subwords.decode(tokens)


class CharUnit:
    """Characters, including whitespace."""

    def __init__(self, *, lowercase: bool = False) -> None:
        self.lowercase = lowercase

    def split(self, text: str) -> list[str]:
        return [character.lower() for character in text] if self.lowercase else list(text)

    def raw(self, text: str) -> list[str]:
        return list(text)

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)
