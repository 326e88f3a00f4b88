"""The IMDB reviews as a folder and as an archive, complete and damaged."""

import gzip
import hashlib
import io
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from fingerprints import fingerprint
from sluice.data.classification import TextSettings, prepare_corpus
from sluice.data.corpora.imdb import ImdbArchive, ImdbFolder, find_imdb
from sluice.data.corpus import Document
from sluice.errors import UserError
from sluice.text.tokenization import Tokenization

ARCHIVE = "aclImdb_v1.tar.gz"
REVIEWS = {
    "aclImdb/train/neg/0_1.txt": "So dull.",
    "aclImdb/train/neg/1_2.txt": "Très long…",
    "aclImdb/train/pos/0_9.txt": "A joy.",
    "aclImdb/train/pos/1_10.txt": "x" * 2000,
    "aclImdb/test/neg/0_3.txt": "Never again.",
    "aclImdb/test/neg/1_4.txt": "y" * 512,
    "aclImdb/test/pos/0_8.txt": "Again!",
    "aclImdb/test/pos/1_7.txt": "Good, then bad, then good.",
}
OTHERS = {
    "aclImdb/README": "About the data.",
    "aclImdb/imdb.vocab": "the\na\n",
    "aclImdb/train/unsup/0_0.txt": "No label.",
    "aclImdb/train/pos/._0_9.txt": "Left by a Mac.",
    "aclImdb/train/urls_pos.txt": "http://example.org",
    "aclImdb/train/labeledBow.feat": "9 0:9",
}


def write_archive(path: Path, files: dict[str, str | bytes], prefix: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        folder = tarfile.TarInfo(f"{prefix}aclImdb/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, text in files.items():
            content = text if isinstance(text, bytes) else text.encode()
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_folder(parent: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        file = parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return parent / "aclImdb"


def expected_documents() -> list[Document]:
    parts = [(name.split("/"), text) for name, text in REVIEWS.items()]
    return [Document(split, text, ("neg", "pos").index(label), "0") for (_, split, label, _), text in parts]


def test_reviews_are_grouped_by_id(tmp_path: Path) -> None:
    """Reviews of one film have adjacent ids; validation has no films in common with training."""
    far = {name.replace("/1_", "/199_"): text for name, text in REVIEWS.items()}
    archive = ImdbArchive(write_archive(tmp_path / ARCHIVE, far), reviews_per_class=2)
    folder = ImdbFolder(write_folder(tmp_path, far), reviews_per_class=2)
    for corpus in (archive, folder):
        groups = {document.text: document.group for document in corpus.documents()}
        assert (groups["So dull."], groups["Très long…"], groups["A joy."]) == ("0", "1", "0")


def reviews_without(name: str) -> dict[str, str | bytes]:
    return {key: text for key, text in REVIEWS.items() if key != name}


def read(corpus: ImdbArchive | ImdbFolder) -> list[Document]:
    return list(corpus.documents())


class TestArchive:
    @pytest.mark.parametrize("prefix", ["", "./"])
    def test_yields_labelled_reviews_only(self, tmp_path: Path, prefix: str) -> None:
        corpus = ImdbArchive(write_archive(tmp_path / ARCHIVE, OTHERS | REVIEWS, prefix), reviews_per_class=2)
        assert read(corpus) == expected_documents()
        assert read(corpus) == expected_documents()
        assert (corpus.name, corpus.labels) == ("local", ("neg", "pos"))
        assert list(tmp_path.iterdir()) == [tmp_path / ARCHIVE]

    @pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_reads_every_tar_format(self, tmp_path: Path, tar_format: int) -> None:
        folder = write_folder(tmp_path / "source", REVIEWS)
        (folder / "link").symlink_to("train")
        with tarfile.open(tmp_path / ARCHIVE, "w:gz", format=tar_format) as archive:
            archive.add(folder, arcname="aclImdb")
        documents = read(ImdbArchive(tmp_path / ARCHIVE, reviews_per_class=2))
        assert sorted(documents) == sorted(expected_documents())

    def test_wrong_review_count_is_reported_by_class(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, reviews_without("aclImdb/test/pos/1_7.txt"))
        with pytest.raises(UserError, match=r"2 reviews in each .* but test/pos has 1: replace") as caught:
            read(ImdbArchive(path, reviews_per_class=2))
        assert "neg" not in str(caught.value)
        with pytest.raises(UserError, match=r"should have 12,500 .*train/neg has 2, train/pos has 2"):
            read(ImdbArchive(path))

    @pytest.mark.parametrize("fraction", [0.0, 0.02, 0.5, 0.99])
    def test_truncated_archive_is_refused(self, tmp_path: Path, fraction: float) -> None:
        path = tmp_path / ARCHIVE
        whole = write_archive(path, {name: os.urandom(3000).hex() for name in REVIEWS}).read_bytes()
        path.write_bytes(whole[: int(len(whole) * fraction)])
        why = r"\((it is truncated|.*: empty file)\)"
        with pytest.raises(UserError, match=rf"aclImdb_v1.tar.gz is not a complete .tar.gz {why}: repl"):
            read(ImdbArchive(path, reviews_per_class=2))

    def test_damaged_archive_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / ARCHIVE
        content = bytearray(write_archive(path, {name: os.urandom(3000).hex() for name in REVIEWS}).read_bytes())
        content[-6] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match="CRC check failed"):
            read(ImdbArchive(path, reviews_per_class=2))
        content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a complete"):
            read(ImdbArchive(path, reviews_per_class=2))

    def test_non_gzip_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / ARCHIVE
        path.write_text("<html>Please log in</html>")
        with pytest.raises(UserError, match="Not a gzipped file"):
            read(ImdbArchive(path))

    def test_non_tar_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / ARCHIVE
        path.write_bytes(gzip.compress(b"text, " * 1000))
        with pytest.raises(UserError, match="does not contain a tar archive"):
            read(ImdbArchive(path))

    def test_archive_of_another_dataset_is_refused(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, {"wikitext/train/pos/1.txt": "Other."})
        with pytest.raises(UserError, match=r"has no aclImdb/train .* replace it with the official"):
            read(ImdbArchive(path))

    def test_missing_archive_is_reported(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / ARCHIVE):
            with pytest.raises(UserError, match="cannot be read"):
                read(ImdbArchive(path))
        with pytest.raises(UserError, match="cannot be read"):
            _ = fingerprint(ImdbArchive(tmp_path / ARCHIVE))

    def test_non_utf8_review_is_reported(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, REVIEWS | {"aclImdb/test/pos/0_8.txt": "déjà".encode("latin-1")})
        with pytest.raises(UserError, match=r"aclImdb/test/pos/0_8.txt in .* is not UTF-8 \(byte 1\)"):
            read(ImdbArchive(path, reviews_per_class=2))

    def test_fingerprint_depends_on_the_content(self, tmp_path: Path) -> None:
        corpus = ImdbArchive(write_archive(tmp_path / ARCHIVE, REVIEWS))
        before = fingerprint(corpus)
        assert fingerprint(ImdbArchive(tmp_path / ARCHIVE)) == before
        os.utime(tmp_path / ARCHIVE, ns=(0, 5))
        assert fingerprint(corpus) == before
        write_archive(tmp_path / ARCHIVE, REVIEWS | {"aclImdb/test/pos/0_8.txt": b"Other."})
        assert fingerprint(corpus) != before


class TestFolder:
    def test_reviews_are_sorted_by_name(self, tmp_path: Path) -> None:
        backwards = dict(reversed((OTHERS | REVIEWS).items()))
        corpus = ImdbFolder(write_folder(tmp_path, backwards), reviews_per_class=2)
        assert read(corpus) == expected_documents()
        assert (corpus.name, corpus.labels) == ("local", ("neg", "pos"))

    def test_missing_subfolders_are_reported(self, tmp_path: Path) -> None:
        only_train = {name: text for name, text in REVIEWS.items() if "/train/" in name}
        corpus = ImdbFolder(write_folder(tmp_path, only_train), reviews_per_class=2)
        with pytest.raises(UserError, match=r"aclImdb has no folder test/neg, test/pos: extract"):
            read(corpus)
        with pytest.raises(UserError, match="has no folder"):
            _ = fingerprint(corpus)

    def test_wrong_count_is_reported_before_the_first_review(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path, reviews_without("aclImdb/train/neg/0_1.txt"))
        with pytest.raises(UserError, match=r"but train/neg has 1: replace"):
            next(ImdbFolder(folder, reviews_per_class=2).documents())

    def test_unreadable_review_is_reported(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path, reviews_without("aclImdb/test/pos/0_8.txt"))
        (folder / "test/pos/0_8.txt").mkdir()
        with pytest.raises(UserError, match=r"0_8.txt cannot be read"):
            read(ImdbFolder(folder, reviews_per_class=2))

    def test_fingerprint_depends_on_names_and_contents(self, tmp_path: Path) -> None:
        corpus = ImdbFolder(write_folder(tmp_path, REVIEWS))
        folder, before = corpus.path / "test" / "pos", fingerprint(corpus)
        assert fingerprint(corpus) == before
        (folder / "0_8.txt").rename(folder / "5_8.txt")
        renamed = fingerprint(corpus)
        (folder / "5_8.txt").write_bytes(b"Other.")
        assert len({before, renamed, fingerprint(corpus)}) == 3


@pytest.mark.data
@pytest.mark.skipif("SLUICE_DATA" not in os.environ, reason="SLUICE_DATA names no folder with the IMDB reviews")
def test_the_real_archive_is_complete() -> None:
    corpus = find_imdb(Path(os.environ["SLUICE_DATA"]))
    if corpus is None:
        pytest.skip("no IMDB in SLUICE_DATA")
    counts = Counter((document.split, corpus.labels[document.label]) for document in corpus.documents())
    assert counts == {(split, label): 12_500 for split in ("train", "test") for label in ("neg", "pos")}


@pytest.mark.data
@pytest.mark.skipif("SLUICE_DATA" not in os.environ, reason="SLUICE_DATA names no folder with the IMDB reviews")
def test_validation_texts_of_the_archive_are_unchanged(tmp_path: Path) -> None:
    path = Path(os.environ["SLUICE_DATA"]) / ARCHIVE
    if not path.exists():
        pytest.skip("no IMDB archive in SLUICE_DATA")
    hashes = prepare_corpus(
        ImdbArchive(path), TextSettings(tokens=Tokenization(tokenizer="whitespace")), tmp_path
    ).identity.hashes
    digest = hashlib.sha256(hashes.splits["val"].tobytes()).hexdigest()
    assert digest == "d7a04491265e278012b3334839670bb42460bcbc2e3fa0fe3a2181dee6f669dc"
