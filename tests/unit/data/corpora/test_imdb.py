"""Sources of the IMDB reviews: local files, download (from a local server), or the sample."""

import hashlib
import io
import os
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sluice.data.classification import ClassificationData, TextSettings
from sluice.data.corpora import download as downloading
from sluice.data.corpora import imdb
from sluice.data.corpora.imdb import AllReviewLines, ImdbArchive, ImdbFolder, download_imdb, find_imdb, resolve_imdb
from sluice.errors import UserError

ARCHIVE = "aclImdb_v1.tar.gz"


def write_archive(path: Path) -> Path:
    """An incomplete archive with one review."""
    member = tarfile.TarInfo("aclImdb/train/pos/0_9.txt")
    member.size = len(b"A joy.")
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member, io.BytesIO(b"A joy."))
    return path


def test_find_prefers_the_folder(tmp_path: Path) -> None:
    assert find_imdb(tmp_path) is None
    write_archive(tmp_path / ARCHIVE)
    assert isinstance(find_imdb(tmp_path), ImdbArchive)
    (tmp_path / "aclImdb").mkdir()
    assert isinstance(find_imdb(tmp_path), ImdbFolder)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """A local server instead of the real one; call it with the content of the archive."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as http:
        monkeypatch.setattr(imdb, "IMDB_URL", f"http://127.0.0.1:{http.server_port}/{ARCHIVE}")
        thread = threading.Thread(target=partial(http.serve_forever, poll_interval=0.01))
        thread.start()

        def publish(content: bytes) -> None:
            (folder / ARCHIVE).write_bytes(content)
            monkeypatch.setattr(imdb, "IMDB_HASH", f"md5:{hashlib.md5(content).hexdigest()}")

        yield publish
        http.shutdown()
        thread.join()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is refused."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(imdb, "IMDB_URL", f"http://127.0.0.1:1/{ARCHIVE}")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


class TestDownload:
    def test_complete_archive_is_saved(self, tmp_path: Path, data_dir: Path, server: Callable[[bytes], None]) -> None:
        content = write_archive(tmp_path / "made.tar.gz").read_bytes()
        server(content)
        corpus = download_imdb(data_dir)
        assert corpus.name == "download"
        assert [file.name for file in data_dir.iterdir()] == [ARCHIVE]
        assert (data_dir / ARCHIVE).read_bytes() == content
        (tmp_path / "new").touch()
        assert (data_dir / ARCHIVE).stat().st_mode == (tmp_path / "new").stat().st_mode

    def test_wrong_hash_leaves_nothing(
        self, data_dir: Path, server: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server(b"<html>Please log in</html>")
        monkeypatch.setattr(imdb, "IMDB_HASH", f"md5:{'0' * 32}")
        with pytest.raises(UserError, match=r"127.0.0.1.*MD5 of the received file differs.*task.data.source=sample"):
            download_imdb(data_dir)
        assert list(data_dir.iterdir()) == []

    def test_interrupted_download_leaves_nothing(
        self, data_dir: Path, server: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server(b"x" * 100_000)
        monkeypatch.setattr(QuietHandler, "copyfile", lambda self, source, target: target.write(source.read(70_000)))
        with pytest.raises(UserError, match="no connection, or it was interrupted"):
            download_imdb(data_dir)
        assert list(data_dir.iterdir()) == []

    @pytest.mark.usefixtures("server")
    def test_missing_file_on_the_server_is_reported(self, data_dir: Path) -> None:
        with pytest.raises(UserError, match="the server answered 404"):
            download_imdb(data_dir)
        assert list(data_dir.iterdir()) == []

    @pytest.mark.usefixtures("offline")
    def test_refused_connection_is_reported(self, data_dir: Path) -> None:
        with pytest.raises(UserError, match=r"127.0.0.1:1/.* could not be downloaded \(no connection.*copy aclImdb_v1"):
            download_imdb(data_dir)
        assert list(data_dir.iterdir()) == []

    def test_timeout_is_reported(
        self, data_dir: Path, server: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server(b"x")
        released = threading.Event()
        monkeypatch.setattr(QuietHandler, "do_GET", lambda self: released.wait(5))
        monkeypatch.setattr(downloading, "TIMEOUT", (0.1, 0.1))
        with pytest.raises(UserError, match="did not answer in time"):
            download_imdb(data_dir)
        released.set()

    def test_missing_or_read_only_folder_is_reported(self, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(UserError, match="does not exist"):
            download_imdb(data_dir / "none")
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(UserError, match=r"cannot be written into .*paths.data_dir"):
            download_imdb(data_dir)

    def test_full_disk_is_reported(
        self, data_dir: Path, server: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_space(*_: object) -> None:
            raise OSError(28, "No space left on device")

        server(b"x" * 100)
        monkeypatch.setattr("shutil.move", no_space)
        with pytest.raises(UserError, match=r"cannot be written into .*no space left"):
            download_imdb(data_dir)
        assert list(data_dir.iterdir()) == []


class TestResolve:
    def test_unknown_source_is_refused(self, data_dir: Path) -> None:
        with pytest.raises(UserError, match=r"source=atuo is unknown: choose one of auto, local, download, sample"):
            resolve_imdb(source="atuo", data_dir=data_dir)

    def test_sample_needs_no_folder(self, tmp_path: Path) -> None:
        corpus = resolve_imdb(source="sample", data_dir=tmp_path / "none", sample_size=40, seed=3)
        assert corpus.name == "sample"
        assert sum(document.split == "train" for document in corpus.documents()) > 0

    @pytest.mark.parametrize("source", ["auto", "local", "download"])
    def test_missing_data_dir_is_reported(self, tmp_path: Path, source: str) -> None:
        with pytest.raises(UserError, match=r"none does not exist or is not a folder: .*paths.data_dir.*SLUICE_DATA"):
            resolve_imdb(source=source, data_dir=tmp_path / "none")

    @pytest.mark.usefixtures("offline")
    @pytest.mark.parametrize("source", ["auto", "local", "download"])
    @pytest.mark.parametrize("may_fall_back", [True, False])
    def test_local_files_are_used(self, data_dir: Path, source: str, may_fall_back: bool) -> None:
        write_archive(data_dir / ARCHIVE)
        corpus = resolve_imdb(source=source, data_dir=data_dir, may_fall_back=may_fall_back)
        assert isinstance(corpus, ImdbArchive)
        assert corpus.name == "local"

    def test_local_names_the_folder(self, data_dir: Path) -> None:
        with pytest.raises(UserError, match=rf"no aclImdb/ and no aclImdb_v1.tar.gz in {data_dir}"):
            resolve_imdb(source="local", data_dir=data_dir)

    @pytest.mark.parametrize("source", ["auto", "download"])
    def test_archive_is_downloaded_once(
        self, tmp_path: Path, data_dir: Path, server: Callable[[bytes], None], source: str
    ) -> None:
        server(write_archive(tmp_path / "made.tar.gz").read_bytes())
        assert resolve_imdb(source=source, data_dir=data_dir).name == "download"
        assert resolve_imdb(source=source, data_dir=data_dir).name == "local"

    @pytest.mark.usefixtures("offline")
    def test_download_never_falls_back(self, data_dir: Path) -> None:
        with pytest.raises(UserError, match="could not be downloaded"):
            resolve_imdb(source="download", data_dir=data_dir)

    @pytest.mark.usefixtures("offline")
    def test_auto_falls_back_with_short_warnings(self, data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
        corpus = resolve_imdb(source="auto", data_dir=data_dir, sample_size=40)
        assert corpus.name == "sample"
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
            "IMDB could not be downloaded: no connection, or it was interrupted.",
            f"To use it, copy aclImdb_v1.tar.gz into {data_dir}.",
        ]

    @pytest.mark.usefixtures("offline")
    def test_several_processes_do_not_fall_back(self, data_dir: Path) -> None:
        with pytest.raises(UserError, match=r"run `sluice prepare task=imdb`"):
            resolve_imdb(source="auto", data_dir=data_dir, may_fall_back=False)

    @pytest.mark.usefixtures("offline")
    def test_auto_does_not_hide_a_truncated_archive(self, data_dir: Path) -> None:
        path = write_archive(data_dir / ARCHIVE)
        path.write_bytes(path.read_bytes()[:-50])
        with pytest.raises(UserError, match="it is truncated"):
            list(resolve_imdb(source="auto", data_dir=data_dir).documents())


def write_reviews(folder: Path, *, unlabelled: bool) -> Path:
    """A dataset of two reviews of each class and split, and three unlabelled ones."""
    texts = {f"{split}/{label}/{n}_5.txt": f"{label} {n}" for split, label in imdb.GROUPS for n in range(2)}
    texts |= {f"train/unsup/{n}_0.txt": f"any\n{n}" for n in range(3)} if unlabelled else {}
    for name, text in texts.items():
        (folder / "aclImdb" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "aclImdb" / name).write_text(text, encoding="utf-8")
    return folder / "aclImdb"


@pytest.mark.parametrize("archived", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("unlabelled", [True, False], ids=["unlabelled", "labelled only"])
def test_lines_include_the_unlabelled_reviews(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, unlabelled: bool, archived: bool
) -> None:
    caplog.set_level("INFO")
    folder = write_reviews(tmp_path, unlabelled=unlabelled)
    corpus: ImdbFolder | ImdbArchive = ImdbFolder(folder, reviews_per_class=2)
    if archived:
        with tarfile.open(tmp_path / ARCHIVE, "w:gz") as archive:
            archive.add(folder, "aclImdb")
        corpus = ImdbArchive(tmp_path / ARCHIVE, reviews_per_class=2)
    lines = list(AllReviewLines(corpus).lines())
    assert [line.text for line in lines if line.split == "test"] == ["neg 0", "neg 1", "pos 0", "pos 1"]
    added = [line for line in lines if line.text.startswith("any")]
    assert sorted(added) == [("train", f"any {n}", True) for n in range(3 if unlabelled else 0)]
    assert ("has no unlabelled reviews" in caplog.text) != unlabelled


@pytest.mark.parametrize("ids", [range(0, 4_000, 100), range(40)], ids=["many blocks", "one block"])
def test_lines_are_split_as_the_classifier_splits_them(tmp_path: Path, ids: range) -> None:
    for split, label in imdb.GROUPS:
        (tmp_path / split / label).mkdir(parents=True)
        for n in ids:
            text = " ".join([split, label, *str(n)])
            (tmp_path / split / label / f"{n}_5.txt").write_text(text, encoding="utf-8")
    corpus = ImdbFolder(tmp_path, reviews_per_class=40)
    data = ClassificationData(corpus=corpus, settings=TextSettings(), cache_dir=tmp_path)
    data.prepare_data()
    held_out = [data.text_of("val", row) for row in range(len(data.prepared.splits["val"].labels))]
    lines = list(AllReviewLines(corpus).lines())
    assert sorted(line.text for line in lines if line.split == "val") == sorted(held_out)
    assert 0 < len(held_out) < 40


def test_unlabelled_files_are_sources_of_the_folder(tmp_path: Path) -> None:
    sources = AllReviewLines(ImdbFolder(write_reviews(tmp_path, unlabelled=True), reviews_per_class=2)).sources
    assert sum(file.role.startswith("train/unsup/") for file in sources.files) == 3
    assert [document.text for document in ImdbFolder(tmp_path / "aclImdb", reviews_per_class=2).documents()][:2] == [
        *("neg 0", "neg 1"),
    ]


def test_download_error_crosses_processes(tmp_path: Path) -> None:
    error = downloading.download_failed("https://a.example/b", tmp_path, "b", "no network", "choose another")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.reason) == (str(error), "no network")
