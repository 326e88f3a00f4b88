"""Files of tagged words: CoNLL-2003, CoNLL-U, columns by number and by name, comments, and invalid files."""

import gzip
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.corpora.tagged_files import MAX_SINGLE_SENTENCE, TagColumns, TaggedFiles, read_tagged
from sluice.data.corpus import TaggedSentence
from sluice.errors import UserError

WORD = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=4).filter(
    lambda word: "\ufeff" not in word
)
SENTENCES = st.lists(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=4), min_size=1, max_size=4)
CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

-DOCSTART- -X- -X- O
Peter NNP B-NP B-PER
"""
CONLLU = """# newdoc id = one
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_
1.1\tnada\t_\tX\t_\t_\t_\t_\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_

# text = #
1\t#\t#\tSYM\tNN\t_\t0\troot\t_\t_
"""
WITH_HEADER = "word\tlemma\tpos tag\nran\trun\tVERB\n\nfast\tfast\tADV\n"
PLUS = "# global.columns = ID FORM PARSEME:MWE\n1\ttook\tVID\n2\tplace\tVID\n"


def read(path: Path, content: str, columns: TagColumns | None = None) -> list[tuple[str, str]]:
    """Writes a file and returns the words and the tags of its sentences, joined by blanks."""
    path.write_text(content, encoding="utf-8")
    return [(" ".join(sentence.words), " ".join(sentence.tags)) for sentence in read_tagged(path, columns)]


@settings(deadline=None)
@given(SENTENCES, st.sampled_from([" ", "\t", "   "]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_written_sentences_are_read(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[list[tuple[str, str]]], gap: str, end: str, closed: bool
) -> None:
    blocks = [end.join(f"{word}{gap}{tag}" for word, tag in sentence) for sentence in sentences]
    path = tmp_path_factory.mktemp("tagged") / "own.txt"
    path.write_bytes(((end * 2).join(blocks) + (end * 3 if closed else "")).encode())
    normal = [[(word, unicodedata.normalize("NFC", tag)) for word, tag in sentence] for sentence in sentences]
    expected = [TaggedSentence(*(tuple(column) for column in zip(*sentence, strict=True))) for sentence in normal]
    assert list(read_tagged(path)) == expected


@pytest.mark.parametrize(
    ("name", "content", "columns", "expected"),
    [
        ("a.txt", "New York\tplace\nis\tO\n", (None, None), [("New York is", "place O")]),
        (
            "a.txt",
            "of \t B-X\nYork\tI-X \n \t \na\tO\n\t\nb\tO\n",
            (None, None),
            [("of York", "B-X I-X"), ("a", "O"), ("b", "O")],
        ),
        ("a.txt", "1\u00a0000 O\n", (None, None), [("1\u00a0000", "O")]),
        ("a.conll", CONLL_2003, (None, None), [("EU rejects", "B-ORG O"), ("Peter", "B-PER")]),
        ("a.conll", CONLL_2003, (None, "2"), [("EU rejects", "NNP VBZ"), ("Peter", "NNP")]),
        ("a.conll", CONLL_2003, ("1", "-2"), [("EU rejects", "B-NP B-VP"), ("Peter", "B-NP")]),
        ("a.txt", "a X 1\n\nc Z\n", ("1", "2"), [("a", "X"), ("c", "Z")]),
        ("a.tsv", WITH_HEADER, ("word", "pos tag"), [("ran", "VERB"), ("fast", "ADV")]),
        ("a.tsv", WITH_HEADER, ("lemma", "-1"), [("run", "VERB"), ("fast", "ADV")]),
        ("a.conllu", CONLLU, (None, None), [("vamos nos", "VERB PRON"), ("#", "SYM")]),
        ("a.txt", CONLLU, (None, None), [("vamos nos", "VERB PRON"), ("#", "SYM")]),
        ("a.conllu", CONLLU, ("LEMMA", "DEPREL"), [("ir nosotros", "root obj"), ("#", "root")]),
        ("a.conllup", PLUS, (None, "PARSEME:MWE"), [("took place", "VID VID")]),
        ("a.txt", "# O\nthe O\n\na O\n# O\n", (None, None), [("# the", "O O"), ("a #", "O O")]),
        ("a.txt", "# sent_id = 1\nthe O\n\n# newdoc\na O\n", (None, None), [("the", "O"), ("a", "O")]),
        ("a.txt", "# my corpus of words\nthe O\n", (None, None), [("the", "O")]),
        ("a.txt", "# comment\nthe\tO\n\n#\tO\na\tO\n", (None, None), [("the", "O"), ("# a", "O O")]),
        ("a.txt", "#\thttp://a.b\t[1]\n1\tWien\tB-X\tO\n", ("2", "-2"), [("Wien", "B-X")]),
        ("a.txt", "a O\n\n# O 1\nb O 2\n", ("1", "2"), [("a", "O"), ("# b", "O O")]),
        ("a.txt", "caf\u0065\u0301 e\u0301\n", (None, None), [("cafe\u0301", "\u00e9")]),
    ],
)
def test_formats_are_read(
    tmp_path: Path, name: str, content: str, columns: tuple[str | None, str | None], expected: list[tuple[str, str]]
) -> None:
    assert read(tmp_path / name, content, TagColumns(*columns)) == expected


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("a X\nb\n", (None, None), r"line 2: 1 column\(s\), expected 2"),
        ("a X\n\nb X Y\n", (None, None), r"line 3: 3 column\(s\), expected 2"),
        ("a X 1\nb Y\n", ("1", "2"), r"line 2: 2 column\(s\), expected 3"),
        ("a X 1\n\nb Y\n", ("1", "3"), r"line 3: 2 column\(s\), but the tags are in column 3"),
        ("a\tX\nb\t\n", (None, None), "line 2: the tag is empty; fill it in, or set task.data.tag_column"),
        ("a\tX\n \tX\n", (None, None), "line 2: the word is empty"),
        ("a\nb\n", (None, None), "line 1: words and tags are both in column 1 of 1; separate words and tags by a tab"),
        ("a X\n", ("2", "-1"), "words and tags are both in column 2 of 2; set task.data.tag_column too"),
        ("a X\n", (None, "3"), r"has 2 column\(s\), no column 3 of tags"),
        ("a X\n", ("-3", None), r"has 2 column\(s\), no column -3 of words"),
        ("w t\na X\n", ("w", "ner"), "no column 'ner': set task.data.tag_column to one of 'w', 't'"),
        ("Word\tner\na\tX\n", (None, None), "line 1: 'Word' and 'ner' are names of columns; set task.data.word_column"),
        ("1 a X\n2 b X\n", (None, None), "words of the first sentence are the numbers 1 to 2; set task.data.word_col"),
        (
            "a X\n" * (MAX_SINGLE_SENTENCE + 1),
            (None, None),
            "is a single sentence of 501 words: end each",
        ),
        ("", (None, None), "has no sentences"),
        ("\n \n\t\n", (None, None), "has no sentences"),
        ("# a comment only\n", ("word", None), "has no column 'word'"),
    ],
)
def test_invalid_files_are_refused(
    tmp_path: Path, content: str, columns: tuple[str | None, str | None], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / "own.txt", content, TagColumns(*columns))


def test_conllu_file_with_too_few_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no column 'UPOS': set task\.data\.tag_column to one of 'ID', 'FORM'"):
        read(tmp_path / "own.conllu", "a\tX\n")


def test_missing_file_is_reported() -> None:
    with pytest.raises(UserError, match=r"nowhere\.txt cannot be read"):
        list(read_tagged(Path("nowhere.txt")))


def test_unknown_tag_of_another_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a X\nb Y\n")
    (tmp_path / "test.txt").write_text("a X\n\nb Z\n")
    files = TaggedFiles(path=tmp_path / "train.txt", test_path=tmp_path / "test.txt")
    with pytest.raises(UserError, match=r"test\.txt, line 3: the tag 'Z' does not occur .*train\.txt, only X, Y;"):
        list(files.sentences("test"))
    known = TaggedFiles(path=tmp_path / "train.txt", known_tags=("X",))
    with pytest.raises(UserError, match="line 2: the model was not trained on the tag 'Y', only on X"):
        list(known.sentences("train"))


def test_default_columns_keep_the_recipe_of_earlier_versions(tmp_path: Path) -> None:
    """Fingerprints of data contain the recipe."""
    assert TaggedFiles(path=tmp_path / "a.txt").sources.recipe == "tagged words"
    others = {
        TaggedFiles(path=tmp_path / name, columns=TagColumns(*columns)).sources.recipe
        for name, columns in [("a.txt", ("2", None)), ("a.txt", (None, "2")), ("a.conllu", (None, None))]
    }
    assert len(others) == 3
    assert "tagged words" not in others


def test_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe is a pipe: save its contents in a file"):
        list(read_tagged(tmp_path / "pipe"))


def test_gzipped_conllu_file_is_recognised_by_its_name(tmp_path: Path) -> None:
    rows = b"1\tran\trun\tVERB\tV\n"
    for name in ("a.conllu", "a.conllu.gz", "a.conllu.GZ"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(rows) if name != "a.conllu" else rows)
        assert list(read_tagged(path)) == [TaggedSentence(("ran",), ("VERB",))]
