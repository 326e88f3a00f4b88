"""Encoding of prompts and decoding of generated ids."""

import pytest

from sluice.text.language_text import LanguageText
from sluice.text.vocab import PADDING_ID, SPECIALS, UNKNOWN_ID, Vocab

WORDS = Vocab([*SPECIALS, "<eos>", "the", "film", ",", ".", "Paris", "was", "dull", "it's"])
CHARACTERS = Vocab([*SPECIALS, "<eos>", *"abc ."])


@pytest.mark.parametrize("tokenizer", ["whitespace", "words"])
def test_prompt_is_tokenised_with_punctuation(tokenizer: str) -> None:
    """Prompts for models of tokenised corpora need not be tokenised."""
    text = LanguageText(WORDS, tokenizer)
    assert text.tokens("the film, it's dull.") == ["the", "film", ",", "it's", "dull", "."]
    assert text.prompt_ids("the film") == [2, 3, 4]
    assert text.prompt_ids("") == [2], "a prompt starts after the end of a line"


def test_words_known_in_lower_case_only_are_lower_cased() -> None:
    text = LanguageText(WORDS, "words")
    assert text.tokens("The Film was Paris paris") == ["the", "film", "was", "Paris", "paris"]


def test_line_breaks_are_tokens() -> None:
    text = LanguageText(WORDS, "words")
    assert text.tokens("the film\n\nwas") == ["the", "film", "<eos>", "<eos>", "was"]
    assert text.prompt_ids("the\n") == [2, 3, 2]


def test_unknown_words_are_listed() -> None:
    text = LanguageText(WORDS, "words")
    assert text.unknown("the dreary film, drearily") == ["dreary", "drearily"]
    assert text.prompt_ids("dreary") == [2, UNKNOWN_ID]
    assert text.unknown("the film") == []


@pytest.mark.parametrize(
    ("prompt", "continuation", "text"),
    [
        ("", "the film , Paris . <eos> it's dull", "the film, Paris.\nit's dull"),
        ("The Zyx", "was , dull .", "The Zyx was, dull."),
        ("The film", ", Paris", "The film, Paris"),
        ("The film ", "was", "The film was"),
        ("The film ", ".", "The film ."),
        ("The  film ,", "was", "The  film , was"),
        ("dull\nParis", "<eos> was", "dull\nParis\nwas"),
        ("dull.\n", "Paris", "dull.\nParis"),
        ("dull <eos> Paris", ". <eos> it's", "dull <eos> Paris.\nit's"),
        ("🙂", "was", "🙂 was"),
        ("he said (", "was ) .", "he said (was)."),
        ('"Paris', '" was', '"Paris" was'),
        ('he said "', 'was "', 'he said "was"'),
        ("1 @,@", "dull", "1 @,@ dull"),
        ("Paris", "@-@ film", "Paris-film"),
        ("Paris is", "n't", "Paris isn't"),
    ],
)
def test_continuation_is_appended_to_the_unchanged_prompt(prompt: str, continuation: str, text: str) -> None:
    vocab = Vocab([*WORDS.tokens, *'()"', "@-@", "@,@", "n't"])
    assert LanguageText(vocab, "whitespace").append(prompt, vocab.encode(continuation.split())) == text


def test_tokenised_prompt_is_split_at_white_space() -> None:
    text = LanguageText(WORDS, "words")
    assert text.tokens("The film. , dull", tokenized=True) == ["the", "film.", ",", "dull"]
    assert text.append("the film.", [6], tokenized=True) == "the film.."


@pytest.mark.parametrize("typed", ["mr. U.S. @-@ <unk> <eos> isn't n't", "Mr. U.S. @-@ <unk> <eos> isn't n't"])
def test_words_of_a_tokenised_corpus_stay_whole(typed: str) -> None:
    vocab = Vocab([*WORDS.tokens, "mr.", "U.S.", "@-@", "n't"])
    expected = ["mr.", "U.S.", "@-@", "<unk>", "<eos>", "isn't", "n't"]
    assert LanguageText(vocab, "whitespace").tokens(typed) == expected
    assert "<unk>" not in LanguageText(vocab, "words").tokens(typed), "as in its training text"


def test_characters_are_concatenated() -> None:
    text = LanguageText(CHARACTERS, "chars")
    ids = text.prompt_ids("ab  c.\nA")
    assert ids == [2, *CHARACTERS.encode(list("ab  c.")), 2, CHARACTERS.encode(["a"])[0]]
    assert text.append("", ids[1:]) == "ab  c.\na"
    assert text.append("É\n ", CHARACTERS.encode([" ", "a"])) == "É\n  a"
    assert text.tokens("a\r\nb\rc") == ["a", "<eos>", "b", " ", "c"], "as in files"


def test_padding_is_banned() -> None:
    assert LanguageText(WORDS, "words").banned_ids == (PADDING_ID,)
