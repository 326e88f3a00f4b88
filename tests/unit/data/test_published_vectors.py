"""Vectors by name: found in the data folder, or downloaded (from a local server)."""

import gzip
import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sluice.cli.word_vectors import load_space
from sluice.data import published_vectors
from sluice.data.published_vectors import PUBLISHED, PublishedVectors, check_vectors, find_vectors
from sluice.errors import UserError
from sluice.text.vector_files import read_vectors

NAME = "glove.6B.50d"
ROW = "sea" + " 0.5" * 50 + "\n"


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        files.writestr("glove.6B.50d.txt", ROW)
        files.writestr("glove.6B.100d.txt", "lake" + " 0.5" * 100 + "\n")
    return packed.getvalue()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder; the addresses of all vectors refuse connections."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    set_server(monkeypatch, 1)
    return folder


def set_server(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    own = {
        name: PublishedVectors(f"http://127.0.0.1:{port}/{entry.download}", entry.file, entry.size)
        for name, entry in PUBLISHED.items()
    }
    monkeypatch.setattr(published_vectors, "PUBLISHED", own)


@pytest.fixture
def server(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a local server instead of the real ones."""
    folder = tmp_path / "server"
    folder.mkdir()
    assert data_dir.is_dir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as http:
        set_server(monkeypatch, http.server_port)
        thread = threading.Thread(target=partial(http.serve_forever, poll_interval=0.01))
        thread.start()
        yield folder
        http.shutdown()
        thread.join()


def test_names_are_those_of_torchtext() -> None:
    aliases = pytest.importorskip("torchtext.vocab").pretrained_aliases
    assert set(PUBLISHED) == set(aliases) - {"charngram.100d"}
    for name, made in aliases.items():
        if name.startswith("glove"):
            address = made.func.url[made.keywords["name"]]
            assert PUBLISHED[name].url == address.replace("http://", "https://")
        elif name.startswith("fasttext"):
            assert PUBLISHED[name].url == made.func.url_base.format(made.keywords["language"])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("data/glove.6B.50d.txt", ROW.encode()),
        ("data/vectors/glove.6B.50d.txt.gz", gzip.compress(ROW.encode())),
        ("data/.vector_cache/glove.6B.50d.txt", ROW.encode()),
        (".vector_cache/glove.6B.zip", archive()),
        ("glove.6B.50d", ROW.encode()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_local_files_are_found(file: str, content: bytes, data_dir: Path) -> None:
    path = data_dir.parent / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    found = find_vectors(NAME, data_dir)
    assert found.resolve() == path
    assert read_vectors(found, 50).words == ["sea"]


def test_existing_paths_come_first(data_dir: Path) -> None:
    (data_dir / "glove.6B.50d.txt").write_text("lake 1 2\n", encoding="utf-8")
    Path(NAME).mkdir()
    assert find_vectors(NAME, data_dir) == Path(NAME)


def test_archive_is_downloaded_once(
    server: Path, data_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server / "glove.6B.zip").write_bytes(archive())
    monkeypatch.setenv("SLUICE_DATA", str(data_dir))
    assert find_vectors(NAME, data_dir) == data_dir / "glove.6B.zip"
    assert caplog.text.count("No hash is published for") == 1
    (server / "glove.6B.zip").unlink()
    assert load_space(Path("glove.6B.100d")).words == ["lake"]
    assert [file.name for file in data_dir.iterdir()] == ["glove.6B.zip"]


def test_other_ranks_do_not_download(
    server: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (server / "glove.6B.zip").write_bytes(archive())
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("sluice.data.rank_zero_first.WAIT_SECONDS", 0.01)
    with pytest.raises(UserError, match=r"timed out .* waiting for glove.6B.50d in .*data"):
        find_vectors(NAME, data_dir)
    assert caplog.text == ""


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", archive()[:-30]])
def test_incomplete_archive_leaves_nothing(content: bytes, server: Path, data_dir: Path) -> None:
    (server / "glove.6B.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"not a zip archive.: copy glove.6B.zip into .*data, or give the path"):
        find_vectors(NAME, data_dir)
    assert list(data_dir.iterdir()) == []


def test_fewer_bytes_than_declared_are_refused(server: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (server / "wiki.en.vec").write_bytes(b"x" * 100_000)
    monkeypatch.setattr(QuietHandler, "copyfile", lambda self, source, target: target.write(source.read(70_000)))
    with pytest.raises(UserError, match="no connection, or it was interrupted"):
        find_vectors("fasttext.en.300d", data_dir)
    assert list(data_dir.iterdir()) == []


def test_offline_names_the_address_and_the_folder(data_dir: Path) -> None:
    with pytest.raises(UserError) as caught:
        find_vectors(NAME, data_dir)
    assert str(caught.value) == (
        "http://127.0.0.1:1/glove.6B.zip could not be downloaded (no connection, or it was interrupted): "
        f"copy glove.6B.zip into {data_dir}, or give the path of a file of vectors instead of a name"
    )


def test_missing_data_folder_is_reported(data_dir: Path) -> None:
    with pytest.raises(UserError, match=r"data folder .*nowhere does not exist"):
        find_vectors(NAME, data_dir / "nowhere")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (NAME, "set embedding.size=50 or use other vectors"),
        ("glove.6B.51d", "does not exist: give the path of a file, or one of the names glove.6B.50d, "),
        ("charngram.100d", "its vectors are of character n-grams, not of words"),
        ("glove.6B.50d.txt", "does not exist: give the path of a file$"),
        ("", "does not exist: give the path of a file$"),
    ],
)
def test_invalid_names_are_refused(given: str, message: str, data_dir: Path) -> None:
    assert data_dir.is_dir()
    with pytest.raises(UserError, match=message):
        check_vectors("embedding.path", given, 100)


@pytest.mark.usefixtures("data_dir")
def test_known_names_and_existing_files_are_accepted() -> None:
    check_vectors("embedding.path", NAME, 50)
    Path(NAME).touch()
    check_vectors("embedding.path", NAME, 100)
