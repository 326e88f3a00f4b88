"""What stands for a sentence, and the sentence: a class of the generated reviews, a number of a book's."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.sample_reviews import BAD, GOOD
from sluice.data.sources import SPLITS
from sluice.data.synthetic.labels_to_text import BookSentences, LabelSentences, Written, label_of, split_sentences
from sluice.errors import UserError

SIZES = {"size": 200, "val_size": 40, "test_size": 60}
ONE_SIDED = [f"In every way it was {word}." for word in (*GOOD, *BAD)]


def sentences(split: str, **options: int) -> list[Written]:
    return list(LabelSentences(**{**SIZES, **options}).sentences(split))


def test_the_label_is_what_the_sentence_says() -> None:
    drawn = {text: label for split in SPLITS for label, text in sentences(split, size=20_000)}
    known = [text for text in ONE_SIDED if text in drawn]
    assert len(known) > 20
    assert all(drawn[text] == (text.removeprefix("In every way it was ")[:-1] in GOOD) for text in known)


def test_a_sentence_says_which_label_it_was_written_for() -> None:
    assert {label for label, _ in sentences("train", size=2000)} == {0, 1}
    assert all(label_of(text) == label for label, text in sentences("train", size=2000))


@pytest.mark.parametrize("text", ["", "The film is grand.", "The film was witty and not witty.", "It is witty rather"])
def test_other_sentences_speak_for_no_label(text: str) -> None:
    assert label_of(text) is None


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_sizes_seeds_and_splits(seed: int) -> None:
    drawn = {split: sentences(split, seed=seed) for split in SPLITS}
    assert {split: len(own) for split, own in drawn.items()} == {"train": 200, "val": 40, "test": 60}
    texts = {split: {text for _, text in own} for split, own in drawn.items()}
    assert len(set.union(*texts.values())) == sum(map(len, texts.values()))
    assert drawn["val"] == sentences("val", seed=seed)
    assert drawn["val"] != sentences("val", seed=seed + 1)
    assert {label for label, _ in drawn["train"]} == {0, 1}


def test_a_books_sentences_by_number(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text('One morning\nit rained.  "Really?" she asked!\n\n\nCHAPTER 2\n\nNobody came. ', encoding="utf-8")
    expected = ["One morning it rained.", '"Really?"', "she asked!", "CHAPTER 2", "Nobody came."]
    assert [*BookSentences(path).sentences()] == [Written(index, text) for index, text in enumerate(expected)]
    assert [text for _, text in BookSentences(path, limit=2).sentences()] == expected[:2]


@given(st.text(st.sampled_from("ab.!? \n\"'")))
def test_no_word_gets_lost_between_sentences(text: str) -> None:
    assert " ".join(split_sentences(text)).split() == text.split()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "holds no sentence"), (b" \n\n", "holds no sentence"), (b"a\xff", "byte 2 is not UTF-8")],
)
def test_what_is_wrong_with_a_book_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "book.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        BookSentences(tmp_path / "book.txt")


def test_wrong_settings_are_told() -> None:
    with pytest.raises(UserError, match="cannot be read"):
        BookSentences(Path("nowhere.txt"))
    with pytest.raises(UserError, match="limit=0"):
        BookSentences(Path("nowhere.txt"), limit=0)
    with pytest.raises(UserError, match="size=0"):
        LabelSentences(size=0)
