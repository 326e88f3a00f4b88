"""Published corpora: found in the data folder, else downloaded, else replaced by a generated sample, loudly."""

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.data.followers import follows, wait_until
from sluice.errors import UserError

SOURCES = ("auto", "local", "download", "sample")
TIMEOUT = (10, 30)
"""Seconds to wait for a connection, and for the next bytes of an answer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A corpus that others have published."""

    title: str
    """As people call it."""
    task: str
    """The task that reads it."""
    wanted: str
    """What has to lie in the data folder, in words."""
    find: Callable[[Path], Any]
    """The corpus in a folder; None where it isn't there."""
    download: Callable[[Path], Any]
    """Fetches it into a folder; a UserError where it can't be had."""


def resolve(published: Published, *, source: str, data_dir: Path, sample: Any, may_fall_back: bool = True) -> Any:
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
    if follows() and source != "local":
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


def _download_or_sample(published: Published, data_dir: Path, sample: Any, may_fall_back: bool) -> Any:
    try:
        return published.download(data_dir)
    except UserError as failure:
        if not may_fall_back:
            raise UserError(
                f"{published.title} is not in {data_dir} and could not be downloaded, and neither `sluice prepare` nor "
                f"a run of several processes falls back on the sample: put {published.wanted} there, run "
                f"`sluice prepare task={published.task}` where there is a network, or set task.data.source=sample."
            ) from failure
        log.warning(
            "NOT %s: this run uses %s, whose results say nothing about %s, because: %s",
            published.title,
            sample.description,
            published.title,
            failure,
        )
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
