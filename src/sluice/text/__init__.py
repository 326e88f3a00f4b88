"""Tokenisation, vocabularies, sentence coders and files of word vectors."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.text.char_ngrams import character_ngrams as character_ngrams
    from sluice.text.char_ngrams import hashed_ngrams as hashed_ngrams
    from sluice.text.coder import SentenceCoder as SentenceCoder
    from sluice.text.coder import SentenceVocab as SentenceVocab
    from sluice.text.coder import make_unit as make_unit
    from sluice.text.language_text import LanguageText as LanguageText
    from sluice.text.pretrained import VectorMatches as VectorMatches
    from sluice.text.pretrained import match_vectors as match_vectors
    from sluice.text.tag_spans import Span as Span
    from sluice.text.tag_spans import detect_scheme as detect_scheme
    from sluice.text.tag_spans import spans_of as spans_of
    from sluice.text.tokenization import Tokenization as Tokenization
    from sluice.text.tokenization import normalize as normalize
    from sluice.text.tokenizers import Tokenizer as Tokenizer
    from sluice.text.tokenizers import detokenize as detokenize
    from sluice.text.tokenizers import make_tokenizer as make_tokenizer
    from sluice.text.units import CharUnit as CharUnit
    from sluice.text.units import SubwordModel as SubwordModel
    from sluice.text.units import SubwordUnit as SubwordUnit
    from sluice.text.units import Unit as Unit
    from sluice.text.units import WordUnit as WordUnit
    from sluice.text.vector_files import VectorFile as VectorFile
    from sluice.text.vector_files import WordVectors as WordVectors
    from sluice.text.vector_files import read_vectors as read_vectors
    from sluice.text.vector_files import write_vectors as write_vectors
    from sluice.text.vocab import Vocab as Vocab
    from sluice.text.word_windows import WordWindows as WordWindows

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "char_ngrams": ["character_ngrams", "hashed_ngrams"],
        "coder": ["SentenceCoder", "SentenceVocab", "make_unit"],
        "language_text": ["LanguageText"],
        "pretrained": ["VectorMatches", "match_vectors"],
        "tag_spans": ["Span", "detect_scheme", "spans_of"],
        "tokenization": ["Tokenization", "normalize"],
        "tokenizers": ["Tokenizer", "detokenize", "make_tokenizer"],
        "units": ["CharUnit", "SubwordModel", "SubwordUnit", "Unit", "WordUnit"],
        "vector_files": ["VectorFile", "WordVectors", "read_vectors", "write_vectors"],
        "vocab": ["Vocab"],
        "word_windows": ["WordWindows"],
    },
)
