"""Units of sentences: words, learned subwords or characters."""

import io
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

from sluice.errors import UserError
from sluice.options import SENTENCE_TOKENIZERS, SUBWORDS
from sluice.text.tokenizers import Tokenizer, detokenize, is_attached, make_tokenizer

_BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")
SPACE = "▁"
"""Stands for a space in the pieces of sentencepiece."""
_SPACE_AS_BYTES = [f"<0x{byte:02X}>" for byte in SPACE.encode()]
_RESERVED = str.maketrans(dict.fromkeys(f"{SPACE}▅\0\n", " "))
"""Characters that sentencepiece does not accept in training texts; they are encoded as bytes."""
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


class SubwordModel:
    """A learned subword segmentation (Kudo & Richardson 2018, "SentencePiece", arXiv 1808.06226).

    Lossless: decoding the pieces of a text returns it, except whitespace at its ends. In pieces, "▁" stands for a
    space; a character that is not a piece, and "▁" itself, is encoded as its UTF-8 bytes, such as "<0xC3>". `model` is
    the serialised SentencePiece model, which can be stored in checkpoints. A model learned by an earlier version has no
    pieces for bytes; it is used as it was then: text is normalised, and blanks are merged.
    """

    def __init__(self, model: bytes) -> None:
        from sentencepiece import SentencePieceProcessor  # slow to import

        self.model = model
        self._processor: Any = SentencePieceProcessor(model_proto=model)
        self.lossless: bool = self._processor.is_byte(self._processor.piece_to_id(_SPACE_AS_BYTES[0]))

    @classmethod
    def learn(cls, texts: Iterable[str], *, size: int, kind: str = "bpe") -> "SubwordModel":
        """Learns a segmentation; deterministic for given texts.

        Args:
            texts: training texts.
            size: maximum number of pieces, including 256 bytes and the three special tokens of sentencepiece.
            kind: "bpe" (Sennrich, Haddow & Birch 2016, arXiv 1508.07909) or "unigram" (Kudo 2018, arXiv 1804.10959).

        Raises:
            ValueError: for an unknown kind.
            UserError: if `size` is less than the number of characters, bytes and special tokens, or there is no text.
        """
        if kind not in SUBWORDS:
            raise ValueError(f"unknown kind of subwords {kind!r}: expected one of {', '.join(SUBWORDS)}")
        from sentencepiece import SentencePieceTrainer

        stripped = (text.translate(_RESERVED).strip() for text in texts)
        lines = [f" {text}".encode("utf-8", "replace") for text in stripped if text]
        if not lines:
            raise UserError("cannot learn subwords: all training texts are empty")
        model = io.BytesIO()
        options: dict[str, Any] = {"hard_vocab_limit": False, "num_threads": 1, "minloglevel": 2}
        lossless: dict[str, Any] = {
            **{"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "add_dummy_prefix": False},
            **{"required_chars": SPACE, "byte_fallback": True, "max_sentence_length": max(4192, *map(len, lines))},
        }
        try:
            SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                vocab_size=size,
                model_type=kind,
                **options,
                **lossless,
            )
        except RuntimeError as error:
            raise UserError(_learning_error(size, error)) from error
        return cls(model.getvalue())

    def __len__(self) -> int:
        """Number of pieces, including the three special tokens of sentencepiece."""
        return self._processor.vocab_size()

    @property
    def pieces(self) -> list[str]:
        """All pieces that `encode` may return for a lossless model."""
        model = self._processor
        ids = (index for index in range(len(self)) if not (model.is_control(index) or model.is_unknown(index)))
        return [model.id_to_piece(index) for index in ids]

    def encode(self, text: str) -> list[str]:
        """Segments a text into pieces; without the whitespace at its ends."""
        if not self.lossless:
            return self._processor.encode(text, out_type=str)
        text = text.strip().encode("utf-8", "replace").decode()
        if not text:
            return []
        first, *others = self._processor.encode(f" {text}".split(SPACE), out_type=str)
        return [*first, *chain.from_iterable([*_SPACE_AS_BYTES, *pieces] for pieces in others)]

    def decode(self, pieces: Sequence[str]) -> str:
        """Joins pieces to a text; bytes that are not UTF-8 become U+FFFD."""
        if not self.lossless:
            return "".join(pieces).replace(SPACE, " ").strip()
        return b"".join(map(_bytes_of, pieces)).decode("utf-8", "replace").strip()

    def __getstate__(self) -> bytes:
        return self.model

    def __setstate__(self, model: bytes) -> None:
        SubwordModel.__init__(self, model)


def is_byte(piece: str) -> bool:
    """Returns whether a piece stands for one byte of a character that is not a piece."""
    return _BYTE_PIECE.fullmatch(piece) is not None


def _bytes_of(piece: str) -> bytes:
    byte = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode("utf-8", "replace")


def _learning_error(size: int, error: RuntimeError) -> str:
    if found := _TOO_SMALL.search(str(error)):
        needed = int(found[1])
        return (
            f"task.text.subword_size={size} is too small by {needed - size:,}: {needed - 259:,} characters of the "
            f"training texts, 256 bytes and 3 special tokens are subwords; set it to at least {needed}"
        )
    return f"sentencepiece cannot learn subwords from the training texts ({error}): set task.text.unit=words"


MOSES, ZERO_WIDTH_JOINER = "moses", "\u200d"


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
            language: language code, for the tokenizer's abbreviations ("Dr.") and for joining tokens ("L' oncle").
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
        return detokenize(tokens, self.language)

    @cached_property
    def _tokenize(self) -> Tokenizer:
        if self.tokenizer != MOSES:
            return make_tokenizer(self.tokenizer)
        from sacremoses import MosesTokenizer  # slow to import

        moses = MosesTokenizer(self.language)
        return lambda text: _with_marks(moses.tokenize(text, escape=False), text)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_tokenize"}


def _with_marks(tokens: list[str], text: str) -> list[str]:
    """Joins the tokens of words that were split at combining marks, which sacremoses takes for symbols."""
    if text.isascii() or not any(is_attached(token[0]) for token in tokens):
        return tokens
    joined, end = [""], 0
    for token in tokens:
        start = text.find(token, end)
        if start < 0:  # a token that is not in the text
            return tokens
        before, first = joined[-1], token[0]
        follows = start == end and before
        in_word = follows and is_attached(before[-1]) and before[0].isalnum() and first.isalnum()
        if follows and (is_attached(first) or in_word or before[-1] == ZERO_WIDTH_JOINER):
            joined[-1] += token
        else:
            joined.append(token)
        end = start + len(token)
    return joined[1:]


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
