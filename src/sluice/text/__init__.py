"""Tokenisation, vocabularies, sentence coders and files of word vectors."""

from sluice.text.char_ngrams import character_ngrams, hashed_ngrams
from sluice.text.coder import SentenceCoder, SentenceVocab, make_unit
from sluice.text.language_text import LanguageText
from sluice.text.pretrained import VectorMatches, match_vectors
from sluice.text.tokenization import Tokenization, normalize
from sluice.text.tokenizers import Tokenizer, detokenize, make_tokenizer
from sluice.text.units import CharUnit, SubwordModel, SubwordUnit, Unit, WordUnit
from sluice.text.vector_files import VectorFile, WordVectors, read_vectors, write_vectors
from sluice.text.vocab import Vocab
from sluice.text.word_windows import WordWindows

__all__ = [
    "CharUnit",
    "LanguageText",
    "SentenceCoder",
    "SentenceVocab",
    "SubwordModel",
    "SubwordUnit",
    "Tokenization",
    "Tokenizer",
    "Unit",
    "VectorFile",
    "VectorMatches",
    "Vocab",
    "WordUnit",
    "WordVectors",
    "WordWindows",
    "character_ngrams",
    "detokenize",
    "hashed_ngrams",
    "make_tokenizer",
    "make_unit",
    "match_vectors",
    "normalize",
    "read_vectors",
    "write_vectors",
]
