"""Published corpora: found in the data folder, downloaded, or replaced by a generated sample with a warning."""

import gzip
import logging
import os
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar
from urllib.parse import urlsplit

from sluice.data.corpus import Corpus
from sluice.data.rank_zero_first import is_local_rank_zero, wait_until
from sluice.errors import UserError, reason_of, unreadable
from sluice.text.lines import check_size, limit_size

SOURCES = ("auto", "local", "download", "sample")
TIMEOUT = (10, 30)
"""Timeouts in seconds for the connection and for reading."""
log = logging.getLogger(__name__)


class DownloadError(UserError):
    """A file that could not be downloaded."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        """The cause, in a few words."""

    def __reduce__(self) -> tuple[type["DownloadError"], tuple[str, str]]:
        return type(self), (str(self), self.reason)


AnyCorpus = TypeVar("AnyCorpus", bound=Corpus)


@dataclass(frozen=True)
class PublishedCorpus(Generic[AnyCorpus]):
    """A published corpus and where to find it."""

    title: str
    """Name in messages."""
    task: str
    """Task that uses it."""
    expected: str
    """Description of the files expected in the data folder."""
    find: Callable[[Path], AnyCorpus | None]
    """Returns the corpus in a folder, None if it is not there."""
    download: Callable[[Path], AnyCorpus]
    """Downloads it into a folder; raises UserError if this fails."""


def resolve(
    published: PublishedCorpus[AnyCorpus], *, source: str, data_dir: Path, sample: AnyCorpus, may_fall_back: bool = True
) -> AnyCorpus:
    """Returns the corpus for a setting of `task.data.source`, without reading its texts.

    Args:
        published: the published corpus.
        source: "local" (must be in `data_dir`), "download" (downloaded unless it is there), "sample" (generated), or
            "auto": local, else download, else the sample with a warning.
        data_dir: folder that contains the corpus, or to download it to.
        sample: the generated corpus.
        may_fall_back: whether "auto" may use the sample; False in runs of several processes, which could end up with
            different corpora.

    Raises:
        UserError: if `source` is unknown, `data_dir` does not exist, or the corpus is not available. Damaged files in
            `data_dir` raise an error when they are read; they are never replaced by the sample.
    """
    if source not in SOURCES:
        raise UserError(f"task.data.source={source} is unknown: choose one of {', '.join(SOURCES)}")
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
            f"there is no {published.expected} in {data_dir}: copy it there, "
            "or set task.data.source=download or task.data.source=sample"
        )
    if source == "download":
        return published.download(data_dir)
    return _download_or_sample(published, data_dir, sample, may_fall_back)


def _download_or_sample(
    published: PublishedCorpus[AnyCorpus], data_dir: Path, sample: AnyCorpus, may_fall_back: bool
) -> AnyCorpus:
    try:
        return published.download(data_dir)
    except UserError as failure:
        if not may_fall_back:
            raise UserError(
                f"{published.title} is not in {data_dir} and could not be downloaded, and neither `sluice prepare` nor "
                f"a run of several processes uses the sample instead: copy {published.expected} there, run "
                f"`sluice prepare task={published.task}` with network access, or set task.data.source=sample"
            ) from failure
        _log_replacement(published, data_dir, failure)
        return sample


def _log_replacement(published: PublishedCorpus[AnyCorpus], data_dir: Path, failure: UserError) -> None:
    title = published.title[0].upper() + published.title[1:]
    if isinstance(failure, DownloadError):
        log.warning("%s could not be downloaded: %s.", title, failure.reason)
        log.warning("To use it, copy %s into %s.", published.expected, data_dir)
    else:
        log.warning("%s is not available: %s.", title, failure)


def fetch(
    url: str, *, known_hash: str | None, folder: Path, name: str, alternative: str = "set task.data.source=sample"
) -> Path:
    """Downloads a file; it appears in `folder` only when it is complete and its hash is correct.

    Args:
        url: address of the file.
        known_hash: expected hash, "md5:..." or "sha256:..."; None if none is published: then only the size is compared
            with the one that the server declares.
        folder: folder to download to.
        name: name of the file in `folder`.
        alternative: what the user can do without the file, for error messages.

    Returns:
        The path of the file.

    Raises:
        UserError: if `folder` does not exist or is not writable, the server cannot be reached, or the file differs from
            the published one. No partial file is left behind.
    """
    require_folder(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable(folder, name, "permission denied", alternative)
    import pooch
    import requests

    agent = {"User-Agent": "Mozilla/5.0 (sluice)"}  # some servers refuse the default user agent
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=TIMEOUT, headers=agent
    )
    pooch.get_logger().setLevel(logging.WARNING)  # it logs long lines, and advice for programmers
    log.info("Downloading %s from %s", name, urlsplit(url).hostname)
    try:
        pooch.retrieve(url, known_hash=known_hash, fname=name, path=folder, downloader=downloader)
        _set_default_permissions(folder / name)
    except requests.RequestException as error:
        raise download_failed(url, folder, name, _reason(error), alternative) from error
    except ValueError as error:
        kind = (known_hash or "hash").partition(":")[0].upper()
        reason = f"the {kind} of the received file differs from that of the published one"
        raise download_failed(url, folder, name, reason, alternative) from error
    except OSError as error:
        raise _not_writable(folder, name, reason_of(error), alternative) from error
    return folder / name


def require_folder(data_dir: Path) -> None:
    """Checks that the data folder exists.

    Raises:
        UserError: if it does not.
    """
    if not data_dir.is_dir():
        raise UserError(
            f"the data folder {data_dir} does not exist or is not a folder: create it, or set another with "
            "paths.data_dir or the environment variable SLUICE_DATA"
        )


@contextmanager
def corpus_folder(data_dir: Path, name: str) -> Iterator[Path]:
    """Context manager that creates the folder of a corpus in the data folder, and removes it if it stays empty.

    Raises:
        UserError: if the data folder does not exist, or the folder cannot be created.
    """
    require_folder(data_dir)
    folder = data_dir / name
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be created ({reason_of(error)}): set another folder with "
            "paths.data_dir or the environment variable SLUICE_DATA, or set task.data.source=sample"
        ) from error
    try:
        yield folder
    finally:
        with suppress(OSError):  # it has files
            folder.rmdir()


def _set_default_permissions(file: Path) -> None:
    """Sets the permissions of a new file; temporary files are readable by their owner only."""
    umask = os.umask(0)
    os.umask(umask)
    file.chmod(0o666 & ~umask)


def _reason(error: Exception) -> str:
    """Returns a short description of a failed request."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return "no connection, or it was interrupted"
    return type(error).__name__


def download_failed(url: str, folder: Path, name: str, reason: str, alternative: str) -> DownloadError:
    """Returns the error for a file that could not be downloaded.

    Args:
        url: address of the file.
        folder: folder to copy it to.
        name: its name in `folder`.
        reason: what happened.
        alternative: what the user can do without the file.
    """
    message = f"{url} could not be downloaded ({reason}): copy {name} into {folder}, or {alternative}"
    return DownloadError(message, reason)


def _not_writable(folder: Path, name: str, reason: str, alternative: str) -> UserError:
    return UserError(
        f"{name} cannot be written into {folder} ({reason}): set another folder with paths.data_dir "
        f"or the environment variable SLUICE_DATA, or {alternative}"
    )


def stream_tar_gz(path: Path, *, known_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yields the name and content of every regular file, in the order of the archive.

    The checksum is verified at the end: discard the yielded files if an error is raised.

    Args:
        path: path of the archive.
        known_bytes: approximate decompressed size of the published archive.

    Raises:
        UserError: if the archive cannot be opened, is truncated or damaged, is not a gzip-compressed tar archive, or is
            much larger than the published one.
    """
    try:
        with gzip.open(path, "rb") as packed, limit_size(packed, path, known_bytes) as stream:  # type: ignore[arg-type]
            yield from _regular_files(stream, path, known_bytes)
            _read_remaining(stream)
    except EOFError:
        raise _incomplete(path, "it is truncated") from None
    except tarfile.TarError as error:
        raise _incomplete(path, f"it does not contain a tar archive: {error}") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise _incomplete(path, str(error)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _regular_files(stream: BinaryIO, path: Path, known_bytes: int) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            check_size(path, member.size, known_bytes)
            whole = member.isreg() and not member.issparse()  # a sparse file may be larger than the archive
            content = archive.extractfile(member) if whole else None
            if content is not None:
                yield member.name, content.read()


def _read_remaining(stream: BinaryIO) -> None:
    """Reads to the end of the stream, where gzip verifies its checksum."""
    while stream.read(1 << 20):
        pass


def _incomplete(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not a complete .tar.gz ({reason}): replace it with a complete copy, or remove it")
