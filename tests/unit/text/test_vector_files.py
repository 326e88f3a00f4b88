"""Reading and writing of vector files in all formats, and errors of invalid files."""

import gzip
import io
import tempfile
import zipfile
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


def test_first_of_repeated_words_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    found = read_bytes(b"a 1 2\nb 3 4\na 5 6\n")
    assert "1 rows repeat a word; the first vector of each word is used" in caplog.text
    assert found.words == ["a", "b"]
    np.testing.assert_array_equal(found.vectors[0], [1, 2])


def test_windows_line_breaks_are_read() -> None:
    np.testing.assert_array_equal(read_bytes(b"2 2\r\na 1 2\r\nb 3 4\r\n").vectors, [[1, 2], [3, 4]])


def test_words_that_are_not_utf8_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    found = read_bytes(b"5 2\n\xff 1 2\na 3 4\n\xfe 5 6\n\xef\xbf\xbd 7 8\n 9 9\n", "a.vec")
    assert found.words == ["a", "\ufffd"]
    np.testing.assert_array_equal(found.vectors, [[3, 4], [7, 8]])
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "3 words are empty or not UTF-8 and are left out."
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"a\t1\t2\nNew York\t3\t-4\n",
        b"a  1   2\nNew York 3 -4  \n",
        b"a\t1 2\nNew York\t3 -4\t\n",
        b"2 2\na 1 2\n\nNew York\t3 -4\n\n",
        b"\xef\xbb\xbfa 1 2\r\n\r\nNew York 3 -4\r\n",
        b"\n2 2\na 1 2\nNew York 3 -4",
        b"\xef\xbb\xbf2\t2\na 1e0 +2\nNew York .3e1 -4.0\n",
    ],
)
def test_blanks_tabs_and_empty_lines_are_read(content: bytes) -> None:
    found = read_bytes(content)
    assert found.words == ["a", "New York"]
    np.testing.assert_array_equal(found.vectors, [[1, 2], [3, -4]])


def test_signs_and_exponents_are_read() -> None:
    vectors = read_bytes(b"a 1e-5 -0.0 +1 .5 5.\n").vectors
    np.testing.assert_array_equal(vectors, np.array([[1e-5, 0, 1, 0.5, 5]], dtype=np.float32))
    assert np.signbit(vectors[0, 1])


@pytest.mark.parametrize("header", [b"", b"4 2\n"])
def test_words_may_be_numbers(header: bytes) -> None:
    found = read_bytes(header + b"3.14 1 2\n1e5 3 4\n</s> 5 6\n-1 7 8\n")
    assert found.words == ["3.14", "1e5", "</s>", "-1"]
    np.testing.assert_array_equal(found.vectors, [[1, 2], [3, 4], [5, 6], [7, 8]])


def test_dimension_is_that_of_most_rows() -> None:
    with pytest.raises(UserError, match="line 1: expected 2 numbers as in most rows, got 3"):
        read_bytes(b"route 66 1 2\na 1 2\nb 3 4\n")


@pytest.mark.parametrize(("declared", "end"), [(3, b"\n"), (1, b"\n"), (1, b"")])
def test_wrong_number_of_rows_is_a_warning(declared: int, end: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert read_bytes(b"%d 2\na 1 2\nb 3 4" % declared + end, "a.vec").words == ["a", "b"]
    assert f"the header declares {declared} rows, but the file has 2: all are read" in caplog.text


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_only_file_of_an_archive_is_read() -> None:
    assert_same(read_bytes(zipped(vectors=fasttext(table())), "a.zip"), table())
    assert_same(read_bytes(zipped(vectors=binary(table(), end=b"\n")), "a.zip"), table())


def test_dimension_selects_the_file_of_an_archive(tmp_path: Path) -> None:
    files = {f"glove.6B.{size}d.txt": glove(table(size=size)) for size in (5, 50, 200)}
    (tmp_path / "glove.6B.zip").write_bytes(zipped(**files))
    assert_same(read_vectors(tmp_path / "glove.6B.zip", 50), table(size=50))
    for size in (None, 100):
        with pytest.raises(UserError, match=r"archive of 3 files \(glove.6B.5d.txt, .*unpack it and use one"):
            read_vectors(tmp_path / "glove.6B.zip", size)


def encrypted(content: bytes) -> bytes:
    """Sets the flag of encryption in the last entry."""
    entry = content.rindex(b"PK\x01\x02") + 8
    return content[:entry] + b"\x01" + content[entry + 1 :]


def damaged(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"a 1 2 3\nb 1 2\n", "a.txt", "line 2: expected 3 numbers as in the first row, got 2"),
        (b"a 1 2 3\nb 1 2 3 4\n", "a.txt", "line 2: expected 3 numbers as in the first row, got 4"),
        (b"2 3\na 1 2 3\nb 1 2\n", "a.vec", "line 3: expected 3 numbers as in the header, got 2"),
        (b"2 5\na 1 2 3\nb 1 2 3\n", "a.vec", "line 2: expected 5 numbers as in the header, got 3"),
        (b"3 2\na 1 2\nb 3 4", "a.vec", "the header declares 3 rows, but the file has 2"),
        (b"3 2\n", "a.vec", "the header declares 3 rows, but the file has 0"),
        (b"\n3 2\n\na 1 2\nb 3\n", "a.vec", "line 5: expected 2 numbers as in the header, got 1"),
        (b"a\t1 2\nb\t1\n", "a.txt", "line 2: expected 2 numbers as in the first row, got 1"),
        (b"a 1 2\nb 1_0 1\n", "a.txt", "line 2: invalid numbers '1_0 1'"),
        (b"a 1 2\nb inf 1\n", "a.txt", "line 2: the vector of 'b' is not finite"),
        (b"\xff 1 2\n", "a.txt", "has no words that are UTF-8"),
        ("a 1 2\n".encode("utf-16"), "a.txt", "is UTF-16 text: save it as UTF-8"),
        (b"a 1 2\rb 1 2\r", "a.txt", "old Mac files"),
        (gzip.compress(b"a 1 2\n"), "a.txt", "rename it to end with .gz"),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0", "wiki.bin", "is a fastText model: use the .vec file"),
        (b"0 3\n", "a.vec", "0 rows of 3"),
        (b"a 1 2\nb 1 nought\n", "a.txt", "line 2: invalid numbers '1 nought'"),
        (b"a 1 2\nb x 1\n", "a.txt", "line 2: invalid numbers 'x 1'"),
        (b"a 1 2\nb nan 1\n", "a.txt", "line 2: the vector of 'b' is not finite"),
        (b"a 1 2\nb 1e99 1\n", "a.txt", "line 2: the vector of 'b' is not finite"),
        (b"", "a.txt", "line 1: expected a word and its numbers"),
        (b"once upon a time\n", "a.txt", "line 1: expected a word and its numbers"),
        (b"once upon a time\n", "a.bin", "is not a binary word2vec file"),
        (binary(table(3, 2), end=b"")[:-1], "a.bin", "the header declares 3 rows, but the file has 2"),
        (b"4" + binary(table(3, 2), end=b"")[1:], "a.bin", "the header declares 4 rows, but the file has 3"),
        (b"2" + binary(table(3, 2), end=b"")[1:], "a.bin", "unexpected data after the 2 rows of 2 numbers"),
        (b"9 2\n" + b"x" * 3_000_000, "a.bin", "row 1: word too long"),
        (gzip.compress(glove(table()))[:-20], "a.txt.gz", "is truncated or not a gzip file: replace it"),
        (damaged(gzip.compress(glove(table(400))), 9000), "a.txt.gz", "is truncated or not a gzip file: replace it"),
        (b"no gzip", "a.txt.gz", "is truncated or not a gzip file: replace it"),
        (b"PK", "a.zip", "is truncated or not a zip archive: replace it"),
        (zipped(a=glove(table()))[:-30], "a.zip", "is truncated or not a zip archive: replace it"),
        (damaged(zipped(a=glove(table(400))), 9000), "a.zip", "is truncated or not a zip archive: replace it"),
        (encrypted(zipped(a=b"a 1 2\n")), "a.zip", "cannot be read .*encrypted.*: unpack it"),
        (zipped(), "a.zip", r"is an archive of 0 files \(none\): unpack it"),
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
            assert [next(rows).word, next(rows).word] == ["a", "b"]
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
