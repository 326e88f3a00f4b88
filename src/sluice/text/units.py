"""What a sentence is cut into, and how the cut is undone: words, learned subwords or characters."""

import io
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol

from sluice.errors import UserError
from sluice.options import SENTENCE_TOKENIZERS, SUBWORDS
from sluice.text.tokenizers import Tokenizer, make_tokenizer


class SubwordModel:
    """A learned segmentation (Kudo & Richardson 2018, "SentencePiece", arXiv 1808.06226).

    Pieces that begin a word begin with "▁", so that joining the pieces gives the text back. The model is plain bytes,
    fit for a checkpoint.
    """

    def __init__(self, model: bytes) -> None:
        from sentencepiece import SentencePieceProcessor  # needed only where texts are read

        self.model = model
        self._processor: Any = SentencePieceProcessor(model_proto=model)

    @classmethod
    def learn(cls, texts: Iterable[str], *, size: int, kind: str = "bpe") -> "SubwordModel":
        """Learns a segmentation; the same texts give the same model.

        Args:
            texts: what to learn from.
            size: most pieces; fewer where the texts don't have as many.
            kind: "bpe" (Sennrich, Haddow & Birch 2016, arXiv 1508.07909) or "unigram" (Kudo 2018, arXiv 1804.10959).

        Raises:
            ValueError: for a kind that doesn't exist.
            UserError: if there are more characters than pieces, or no text.
        """
        if kind not in SUBWORDS:
            raise ValueError(f"there are no subwords {kind!r}; there are {', '.join(SUBWORDS)}")
        from sentencepiece import SentencePieceTrainer

        kept = [text for text in texts if text.strip()]
        if not kept:
            raise UserError("subwords cannot be learned without a text: give training texts")
        model = io.BytesIO()
        options: dict[str, Any] = {"character_coverage": 1.0, "hard_vocab_limit": False, "num_threads": 1}
        try:
            SentencePieceTrainer.train(
                sentence_iterator=iter(kept),
                model_writer=model,
                vocab_size=size,
                model_type=kind,
                minloglevel=2,
                **options,
            )
        except RuntimeError as error:
            raise UserError(_too_small(size, kept, error)) from error
        return cls(model.getvalue())

    def __len__(self) -> int:
        """How many pieces there are, sentencepiece's own three marks among them."""
        return self._processor.vocab_size()

    def encode(self, text: str) -> list[str]:
        """The text's pieces; characters never seen come as pieces of their own."""
        return self._processor.encode(text, out_type=str)

    def decode(self, pieces: Sequence[str]) -> str:
        """The text of the pieces, with single blanks between the words."""
        return "".join(pieces).replace("▁", " ").strip()

    def __getstate__(self) -> bytes:
        return self.model

    def __setstate__(self, model: bytes) -> None:
        SubwordModel.__init__(self, model)


def _too_small(size: int, texts: list[str], error: RuntimeError) -> str:
    characters = len(set("".join(texts)))
    if size <= characters + 3:
        return (
            f"task.text.subword_size={size} is too small: the training texts have {characters} different characters, "
            "and each needs a piece of its own; choose a larger one"
        )
    return f"subwords cannot be learned from the training texts ({error}): choose task.text.unit=words"


MOSES = "moses"


class Unit(Protocol):
    """Cuts sentences into tokens and puts tokens together again."""

    def split(self, text: str) -> list[str]:
        """The tokens of a sentence, as the vocabulary knows them."""

    def raw(self, text: str) -> list[str]:
        """The same tokens as they stand in the sentence: as many, not lower-cased."""

    def join(self, tokens: Sequence[str]) -> str:
        """The sentence of the tokens, for people."""


class WordUnit:
    """WordUnit and punctuation marks."""

    def __init__(self, *, language: str, tokenizer: str = MOSES, lowercase: bool = False) -> None:
        """
        Args:
            language: code of the language, for the tokenizer's abbreviations ("Dr.").
            tokenizer: "moses", or one of torchtext's.
            lowercase: whether the vocabulary knows lower-cased words only.

        Raises:
            ValueError: for a tokenizer that doesn't exist.
        """
        if tokenizer not in SENTENCE_TOKENIZERS:
            raise ValueError(f"there is no tokenizer {tokenizer!r}; there are {', '.join(SENTENCE_TOKENIZERS)}")
        self.language, self.tokenizer, self.lowercase = language, tokenizer, lowercase

    def split(self, text: str) -> list[str]:
        words = self.raw(text)
        return [word.lower() for word in words] if self.lowercase else words

    def raw(self, text: str) -> list[str]:
        return self._tokenize(text)

    def join(self, tokens: Sequence[str]) -> str:
        if self.tokenizer == "whitespace":
            return " ".join(tokens)
        from sluice.text.tokenizers import detokenize  # slow to import, and needed only where texts are written

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
    """CharUnit, blanks among them."""

    def __init__(self, *, lowercase: bool = False) -> None:
        self.lowercase = lowercase

    def split(self, text: str) -> list[str]:
        return [character.lower() for character in text] if self.lowercase else list(text)

    def raw(self, text: str) -> list[str]:
        return list(text)

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)
