"""Published corpora: found in the data folder, else downloaded, else replaced by a generated sample, loudly."""

import gzip
import io
import logging
import os
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from sluice.data.corpus import Corpus
from sluice.data.rank_zero_first import is_local_rank_zero, wait_until
from sluice.errors import UserError, unreadable

SOURCES = ("auto", "local", "download", "sample")
TIMEOUT = (10, 30)
"""Seconds to wait for a connection, and for the next bytes of an answer."""
log = logging.getLogger(__name__)


AnyCorpus = TypeVar("AnyCorpus", bound=Corpus)


@dataclass(frozen=True)
class Published(Generic[AnyCorpus]):
    """A corpus that others have published."""

    title: str
    """As people call it."""
    task: str
    """The task that reads it."""
    wanted: str
    """What has to lie in the data folder, in words."""
    find: Callable[[Path], AnyCorpus | None]
    """The corpus in a folder; None where it isn't there."""
    download: Callable[[Path], AnyCorpus]
    """Fetches it into a folder; a UserError where it can't be had."""


def resolve(
    published: Published[AnyCorpus], *, source: str, data_dir: Path, sample: AnyCorpus, may_fall_back: bool = True
) -> AnyCorpus:
    """The corpus that `source` stands for; the texts themselves are not read here.

    Args:
        published: the corpus.
        source: "local" (must be in `data_dir`), "download" (fetched unless it is there), "sample" (generated), or
            "auto": local, else download, else the sample with a warning.
        data_dir: where it lies, or is downloaded to.
        sample: the generated corpus.
        may_fall_back: False where several processes run, which could end up with different corpora.

    Raises:
        UserError: if `source` is unknown, `data_dir` does not exist, or the texts can be had nowhere. What is damaged
            in `data_dir` is an error too, raised when it is read; it is never replaced by the sample.
    """
    if source not in SOURCES:
        raise UserError(f"task.data.source={source} is unknown: choose one of {', '.join(SOURCES)}.")
    if source == "sample":
        return sample
    require_folder(data_dir)
    if not is_local_rank_zero() and source != "local":
        wait_until(lambda: published.find(data_dir) is not None, f"{published.title} in {data_dir}")
    found = published.find(data_dir)
    if found is not None:
        return found
    if source == "local":
        raise UserError(
            f"There is no {published.wanted} in {data_dir}: put it there, "
            "or set task.data.source=download or task.data.source=sample."
        )
    if source == "download":
        return published.download(data_dir)
    return _download_or_sample(published, data_dir, sample, may_fall_back)


def _download_or_sample(
    published: Published[AnyCorpus], data_dir: Path, sample: AnyCorpus, may_fall_back: bool
) -> AnyCorpus:
    try:
        return published.download(data_dir)
    except UserError as failure:
        if not may_fall_back:
            raise UserError(
                f"{published.title} is not in {data_dir} and could not be downloaded, and neither `sluice prepare` nor "
                f"a run of several processes falls back on the sample: put {published.wanted} there, run "
                f"`sluice prepare task={published.task}` where there is a network, or set task.data.source=sample."
            ) from failure
        log.warning("NOT %s: using %s instead, because: %s", published.title, sample.description, failure)
        return sample


def fetch(url: str, *, known_hash: str, folder: Path, name: str) -> Path:
    """Fetches a file into `folder`, under its own name only once it is complete and its hash is right.

    Raises:
        UserError: `folder` does not exist or cannot be written to, the server cannot be reached, or what it sends
            is not the published file. Nothing is left behind then.
    """
    require_folder(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable(folder, name, "no right to write")
    import pooch
    import requests

    agent = {"User-Agent": "Mozilla/5.0 (sluice)"}  # some servers refuse Python's own
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=TIMEOUT, headers=agent
    )
    try:
        pooch.retrieve(url, known_hash=known_hash, fname=name, path=folder, downloader=downloader)
        _let_others_read(folder / name)
    except requests.RequestException as error:
        raise _download_failed(url, folder, name, _reason(error)) from error
    except ValueError as error:
        kind = known_hash.partition(":")[0].upper()
        reason = f"what arrived is not the published file, its {kind} differs"
        raise _download_failed(url, folder, name, reason) from error
    except OSError as error:
        raise _not_writable(folder, name, error.strerror or str(error)) from error
    return folder / name


def require_folder(data_dir: Path) -> None:
    """
    Raises:
        UserError: if the data folder isn't there.
    """
    if not data_dir.is_dir():
        raise UserError(
            f"The data folder {data_dir} does not exist or is no folder: create it, or name another with "
            "paths.data_dir or the environment variable SLUICE_DATA."
        )


def make_folder(data_dir: Path, name: str) -> Path:
    """The folder of a corpus in the data folder, made where it isn't there.

    Raises:
        UserError: if the data folder isn't there, or it cannot be made.
    """
    require_folder(data_dir)
    folder = data_dir / name
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({(error.strerror or str(error)).lower()}): name another folder with "
            "paths.data_dir or the environment variable SLUICE_DATA, or set task.data.source=sample."
        ) from error
    return folder


def _let_others_read(file: Path) -> None:
    """Gives the file the rights of any new file; the temporary one it was is its owner's alone."""
    umask = os.umask(0)
    os.umask(umask)
    file.chmod(0o666 & ~umask)


def _reason(error: Exception) -> str:
    """What went wrong with a request, in a few words instead of the library's nested ones."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return "no connection, or it broke off"
    return f"{type(error).__name__} on the way"


def _download_failed(url: str, folder: Path, name: str, reason: str) -> UserError:
    return UserError(
        f"{url} could not be downloaded ({reason}): put {name} into {folder} by hand, or set task.data.source=sample."
    )


def _not_writable(folder: Path, name: str, reason: str) -> UserError:
    return UserError(
        f"{name} cannot be written into {folder} ({reason}): name another folder with paths.data_dir "
        "or the environment variable SLUICE_DATA, or set task.data.source=sample."
    )


FACTOR = 4
"""How many times its known size a published archive may have when it is expanded."""


def limited(stream: BinaryIO, path: Path, known_bytes: int) -> io.BufferedReader:
    """The expanded stream of an archive, which ends with an error beyond `FACTOR` times its known size.

    Args:
        stream: the expanded content.
        path: of the archive, for the message.
        known_bytes: what the published archive expands to.
    """
    return io.BufferedReader(_Limited(stream, path, FACTOR * known_bytes))


def check_size(path: Path, size: int, known_bytes: int) -> None:
    """
    Raises:
        UserError: for a size beyond `FACTOR` times the known one.
    """
    if size > FACTOR * known_bytes:
        raise _too_large(path, FACTOR * known_bytes)


class _Limited(io.RawIOBase):
    def __init__(self, stream: BinaryIO, path: Path, most: int) -> None:
        self._stream, self._path, self._most, self._count = stream, path, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._stream.read(len(buffer))
        self._count += len(content)
        if self._count > self._most:
            raise _too_large(self._path, self._most)
        buffer[: len(content)] = content
        return len(content)


def _too_large(path: Path, most: int) -> UserError:
    return UserError(
        f"{path} expands to more than {most / 1e6:,.0f} MB, {FACTOR} times the size of the published archive: it is "
        "another file, so put the published one in its place"
    )


def stream_tar_gz(path: Path, *, known_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yields the name and content of every regular file, in the order in which they lie in the archive.

    The checksum over all of it is only known at the end: what was yielded before an error must be thrown away.

    Args:
        path: of the archive.
        known_bytes: what the published archive expands to, about.

    Raises:
        UserError: `path` cannot be opened, is cut short or damaged, is no gzip-compressed tar archive, or expands to
            far more than the published one.
    """
    try:
        with gzip.open(path, "rb") as packed, limited(packed, path, known_bytes) as stream:  # type: ignore[arg-type]
            yield from _regular_files(stream, path, known_bytes)
            _read_to_the_end(stream)
    except EOFError:
        raise _incomplete(path, "it ends too early") from None
    except tarfile.TarError as error:
        raise _incomplete(path, f"what is compressed in it is no tar archive: {error}") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise _incomplete(path, str(error)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _regular_files(stream: BinaryIO, path: Path, known_bytes: int) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            check_size(path, member.size, known_bytes)
            whole = member.isreg() and not member.issparse()  # a sparse file may be larger than all of the archive
            content = archive.extractfile(member) if whole else None
            if content is not None:
                yield member.name, content.read()


def _read_to_the_end(stream: BinaryIO) -> None:
    """Makes gzip compare its checksum, which stands behind the last byte."""
    while stream.read(1 << 20):
        pass


def _incomplete(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not a complete .tar.gz ({reason}): replace it with a whole copy, or remove it.")
