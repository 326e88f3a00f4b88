"""Reading and writing of vector files in all formats, and errors of invalid files."""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sluice.errors import UserError
from sluice.text.vector_files import WHITESPACE, VectorFile, WordVectors, read_vectors, write_vectors

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(exclude_characters=WHITESPACE, exclude_categories=["Cs"]), min_size=1, max_size=6)


@st.composite
def word_vectors(draw: st.DrawFn) -> WordVectors:
    """Distinct words with vectors of one dimension."""
    words = draw(st.lists(WORDS, min_size=1, max_size=6, unique=True))
    size = draw(st.integers(1, 5))
    rows = st.lists(NUMBERS, min_size=size, max_size=size)
    vectors = draw(st.lists(rows, min_size=len(words), max_size=len(words)))
    return WordVectors(words, np.array(vectors, dtype=np.float32))


def glove(own: WordVectors) -> bytes:
    rows = zip(own.words, own.vectors.tolist(), strict=True)
    return "".join(f"{word} {' '.join(map(repr, row))}\n" for word, row in rows).encode()


def fasttext(own: WordVectors) -> bytes:
    rows = zip(own.words, own.vectors.tolist(), strict=True)
    lines = "".join(f"{word} {' '.join(map(repr, row))} \n" for word, row in rows)
    return f"{len(own.words)} {own.vectors.shape[1]}\n{lines}".encode()


def binary(own: WordVectors, *, end: bytes) -> bytes:
    rows = zip(own.words, own.vectors, strict=True)
    content = b"".join(word.encode() + b" " + row.astype("<f4").tobytes() + end for word, row in rows)
    return f"{len(own.words)} {own.vectors.shape[1]}\n".encode() + content


def read_bytes(content: bytes, name: str = "vectors.txt") -> WordVectors:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return read_vectors(path)


def assert_same(found: WordVectors, own: WordVectors) -> None:
    assert found.words == own.words
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, own.vectors)


@settings(deadline=None)
@given(word_vectors())
def test_write_and_read_is_exact(own: WordVectors) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vectors.txt")
        write_vectors(path, own.words, own.vectors)
        assert_same(read_vectors(path), own)
        assert [file.name for file in Path(folder).iterdir()] == ["vectors.txt"]


@settings(deadline=None)
@given(word_vectors().filter(lambda own: own.vectors.shape[1] > 1))
def test_glove_file_without_header_is_read(own: WordVectors) -> None:
    assert_same(read_bytes(glove(own)), own)


@settings(deadline=None)
@given(word_vectors())
def test_fasttext_lines_end_with_a_space(own: WordVectors) -> None:
    assert_same(read_bytes(fasttext(own), "wiki.vec"), own)


@pytest.mark.parametrize("end", [b"\n", b""])
@settings(deadline=None)
@given(own=word_vectors())
def test_word2vec_binary_is_read_with_or_without_line_breaks(own: WordVectors, end: bytes) -> None:
    assert_same(read_bytes(binary(own, end=end), "vectors.bin"), own)


def table(rows: int = 40, size: int = 7) -> WordVectors:
    vectors = np.random.default_rng(0).standard_normal((rows, size)).astype(np.float32)
    return WordVectors([f"word{number}" for number in range(rows)], vectors)


@pytest.mark.parametrize("end", [b"\n", b""])
def test_binary_file_without_suffix_is_recognised(end: bytes) -> None:
    assert_same(read_bytes(binary(table(), end=end), "vectors"), table())


@pytest.mark.parametrize(("name", "write"), [("a.txt.gz", glove), ("a.vec.gz", fasttext)])
def test_gzipped_text_file_is_read(name: str, write: object) -> None:
    assert_same(read_bytes(gzip.compress(write(table())), name), table())  # type: ignore[operator]


def test_gzipped_binary_file_is_read() -> None:
    assert_same(read_bytes(gzip.compress(binary(table(), end=b"\n")), "a.bin.gz"), table())


def test_binary_rows_may_exceed_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.text.vector_files.CHUNK", 5)
    assert_same(read_bytes(binary(table(), end=b""), "vectors.bin"), table())


def test_glove_words_may_contain_spaces() -> None:
    found = read_bytes(b"the 1 2 3\n. . . 4 5 6\nat mail 7 8 9\n")
    assert found.words == ["the", ". . .", "at mail"]
    np.testing.assert_array_equal(found.vectors, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])


def test_first_of_repeated_words_is_kept() -> None:
    found = read_bytes(b"a 1 2\nb 3 4\na 5 6\n")
    assert found.words == ["a", "b"]
    np.testing.assert_array_equal(found.vectors[0], [1, 2])


def test_windows_line_breaks_are_read() -> None:
    np.testing.assert_array_equal(read_bytes(b"2 2\r\na 1 2\r\nb 3 4\r\n").vectors, [[1, 2], [3, 4]])


def test_invalid_utf8_is_replaced() -> None:
    found = read_bytes(b"2 2\n\xff 1 2\na 3 4\n", "a.vec")
    assert found.words == ["\ufffd", "a"]
    np.testing.assert_array_equal(found.vectors, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"a 1 2 3\nb 1 2\n", "a.txt", "line 2: expected 3 numbers as in the first row, got 2"),
        (b"a 1 2 3\nb 1 2 3 4\n", "a.txt", "line 2: expected 3 numbers as in the first row, got 4"),
        (b"2 3\na 1 2 3\nb 1 2\n", "a.vec", "line 3: expected 3 numbers as in the header, got 2"),
        (b"2 5\na 1 2 3\nb 1 2 3\n", "a.vec", "line 2: expected 5 numbers as in the header, got 3"),
        (b"3 2\na 1 2\nb 3 4\n", "a.vec", "the header declares 3 rows, but the file has 2"),
        (b"1 2\na 1 2\nb 3 4\n", "a.vec", "the header declares 1 rows, but the file has 2"),
        (b"0 3\n", "a.vec", "0 rows of 3"),
        (b"a 1 2\nb 1 nought\n", "a.txt", "line 2: invalid numbers b'1 nought'"),
        (b"a 1 2\nb x 1\n", "a.txt", "line 2: invalid numbers b'x 1'"),
        (b"a 1 2\nb nan 1\n", "a.txt", "line 2: the vector of 'b' is not finite"),
        (b"a 1 2\nb 1e99 1\n", "a.txt", "line 2: the vector of 'b' is not finite"),
        (b"", "a.txt", "line 1: expected a word and its numbers"),
        (b"once upon a time\n", "a.txt", "line 1: expected a word and its numbers"),
        (b"once upon a time\n", "a.bin", "is not a binary word2vec file"),
        (binary(table(3, 2), end=b"")[:-1], "a.bin", "the header declares 3 rows, but the file has 2"),
        (b"4" + binary(table(3, 2), end=b"")[1:], "a.bin", "the header declares 4 rows, but the file has 3"),
        (b"2" + binary(table(3, 2), end=b"")[1:], "a.bin", "unexpected data after the 2 rows of 2 numbers"),
        (b"9 2\n" + b"x" * 3_000_000, "a.bin", "row 1: word too long"),
        (gzip.compress(glove(table()))[:-20], "a.txt.gz", "cannot be read to its end"),
        (b"no gzip", "a.txt.gz", "cannot be read"),
        (b"PK", "glove.zip", "unpack it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # gzip data contain a timestamp
)
def test_invalid_files_are_refused(content: bytes, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_bytes(content, name)


def test_missing_file_is_reported() -> None:
    with pytest.raises(UserError, match=r"nowhere\.vec cannot be read \(no such file"):
        read_vectors(Path("nowhere.vec"))


@pytest.mark.parametrize("word", ["", "two words", "a\tb", "a\n"])
def test_words_with_whitespace_are_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_vectors(tmp_path / "a.txt", [word], np.ones((1, 2), dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_vectors(tmp_path / "not" / "a.txt", ["a"], np.ones((1, 2), dtype=np.float32))


def test_different_numbers_of_words_and_vectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected an array of 2 rows, one per word, got shape \(3, 4\)"):
        write_vectors(tmp_path / "a.txt", ["a", "b"], np.ones((3, 4), dtype=np.float32))


def test_rows_are_streamed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.txt")
        path.write_bytes(b"a 1 2\nb 3 4\nc 5\n")
        with VectorFile(path) as file:
            rows = file.rows()
            assert [next(rows).word, next(rows).word] == [b"a", b"b"]
            with pytest.raises(UserError, match="line 3"):
                next(rows)


@settings(deadline=None, max_examples=20)
@given(own=word_vectors())
@pytest.mark.parametrize("as_binary", [False, True])
def test_gensim_files_are_read(own: WordVectors, as_binary: bool) -> None:
    models = pytest.importorskip("gensim.models")
    keyed = models.KeyedVectors(own.vectors.shape[1])
    keyed.add_vectors(own.words, own.vectors)
    for word in own.words:
        keyed.set_vecattr(word, "count", 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vectors.bin" if as_binary else "vectors.txt")
        keyed.save_word2vec_format(str(path), binary=as_binary)
        assert_same(read_vectors(path), own)


@settings(deadline=None, max_examples=20)
@given(own=word_vectors())
def test_gensim_reads_written_files(own: WordVectors) -> None:
    models = pytest.importorskip("gensim.models")
    if any(word != word.strip() for word in own.words):
        return  # gensim strips Unicode whitespace from lines
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vectors.txt")
        write_vectors(path, own.words, own.vectors)
        keyed = models.KeyedVectors.load_word2vec_format(str(path))
    vectors: NDArray[np.float32] = keyed.vectors
    assert_same(WordVectors(keyed.index_to_key, vectors), own)
