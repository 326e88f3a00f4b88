"""Sources of Multi30k: local files, download (from a local server), or the sample."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sluice.data.corpora import multi30k
from sluice.data.corpora.multi30k import MULTI30K_HASHES, STEMS, resolve_multi30k
from sluice.data.corpora.parallel_files import ParallelFiles
from sluice.errors import UserError


def write_files(folder: Path, languages: tuple[str, ...] = ("de", "en"), suffix: str = ".gz") -> Path:
    """Writes files with two lines each, which name the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem in STEMS.values():
        for language in languages:
            content = f"{stem} {language} one\n{stem} {language} two\n".encode()
            (folder / f"{stem}.{language}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    return folder


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a local server that has all files."""
    folder = write_files(tmp_path / "server")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hashes = {name: f"sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}" for name in MULTI30K_HASHES}
    monkeypatch.setattr(multi30k, "MULTI30K_HASHES", hashes)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as http:
        monkeypatch.setattr(multi30k, "MULTI30K_URL", f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=partial(http.serve_forever, poll_interval=0.01))
        thread.start()
        yield folder
        http.shutdown()
        thread.join()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is refused."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(multi30k, "MULTI30K_URL", "http://127.0.0.1:1")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("folder", ["", "multi30k"])
@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("source", ["auto", "local", "download"])
def test_local_files_are_used(data_dir: Path, folder: str, suffix: str, source: str) -> None:
    write_files(data_dir / folder, suffix=suffix)
    corpus = resolve_multi30k(source=source, data_dir=data_dir)
    assert corpus.name == "local"
    assert corpus.description == f"sentence pairs in 6 files of {data_dir / folder}"
    assert (corpus.source_language, corpus.target_language) == ("de", "en")
    assert [(pair.split, pair.source, pair.target) for pair in corpus.pairs()][::2] == [
        (split, f"{stem} de one", f"{stem} en one") for split, stem in STEMS.items()
    ]


@pytest.mark.usefixtures("offline")
def test_reverse_direction_swaps_the_languages(data_dir: Path) -> None:
    write_files(data_dir)
    corpus = resolve_multi30k(source="local", data_dir=data_dir, source_language="en", target_language="de")
    assert next(iter(corpus.pairs()))[1:] == ("train en one", "train de one")


def test_missing_files_are_downloaded_once(data_dir: Path, server: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    corpus = resolve_multi30k(source="auto", data_dir=data_dir)
    assert corpus.name == "download"
    assert sorted(file.name for file in (data_dir / "multi30k").iterdir()) == sorted(MULTI30K_HASHES)
    assert len(list(corpus.pairs())) == 6
    assert resolve_multi30k(source="auto", data_dir=data_dir).name == "local"
    assert caplog.messages == [f"Downloading {name} from 127.0.0.1" for name in MULTI30K_HASHES]


def test_wrong_hash_is_refused(data_dir: Path, server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (server / "val.de.gz").write_bytes(b"<html>Please log in</html>")
    with pytest.raises(UserError, match=r"val.de.gz could not be downloaded.*the SHA256 of the received file differs"):
        resolve_multi30k(source="download", data_dir=data_dir)
    assert not (data_dir / "multi30k" / "val.de.gz").exists()


@pytest.mark.usefixtures("offline")
def test_offline_uses_the_sample_with_a_warning(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = resolve_multi30k(
        source="auto", data_dir=data_dir, source_language="en", target_language="de", sample_size=40
    )
    assert (corpus.name, corpus.source_language) == ("sample", "en")
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "Multi30k could not be downloaded: no connection, or it was interrupted.",
        f"To use it, copy multi30k/ with its .gz files into {data_dir}.",
    ]
    with pytest.raises(UserError, match="neither `sluice prepare` nor a run of several processes"):
        resolve_multi30k(source="auto", data_dir=data_dir, may_fall_back=False)
    assert not (data_dir / "multi30k").exists()


def test_local_names_the_expected_files(data_dir: Path) -> None:
    (write_files(data_dir) / "val.en.gz").unlink()
    with pytest.raises(UserError, match=r"there is no train.de.gz, train.en.gz, .*test_2016_flickr.en.gz in"):
        resolve_multi30k(source="local", data_dir=data_dir)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("source", ["auto", "local", "download", "sample"])
def test_unavailable_language_is_refused(data_dir: Path, source: str) -> None:
    with pytest.raises(UserError, match=r"in the language 'fr': choose two of de, en, or copy train.fr.gz"):
        resolve_multi30k(source=source, data_dir=data_dir, source_language="fr")


def test_local_files_in_another_language_are_used(data_dir: Path) -> None:
    write_files(data_dir, ("fr", "en"))
    corpus = resolve_multi30k(source="auto", data_dir=data_dir, source_language="fr")
    assert isinstance(corpus, ParallelFiles)
    assert next(iter(corpus.pairs())).source == "train fr one"


def test_equal_languages_are_refused(data_dir: Path) -> None:
    with pytest.raises(UserError, match="both 'en'"):
        resolve_multi30k(source="sample", data_dir=data_dir, source_language="en")


def test_sample_needs_no_folder(tmp_path: Path) -> None:
    corpus = resolve_multi30k(source="sample", data_dir=tmp_path / "none", sample_size=20, seed=3)
    assert sum(pair.split == "train" for pair in corpus.pairs()) == 20
