"""Where the IMDB reviews come from: the data folder, the original address, or else a generated sample."""

import logging
import os
import sys
from pathlib import Path

from sluice.data.followers import follows, wait_until
from sluice.data.imdb_files import ARCHIVE_NAME, FOLDER_NAME, ImdbArchive, ImdbFolder
from sluice.data.sample_reviews import SampleReviews
from sluice.data.sources import LabelledCorpus
from sluice.errors import UserError

__all__ = ["ImdbArchive", "ImdbFolder", "download_imdb", "find_imdb", "resolve_imdb"]

SOURCES = ("auto", "local", "download", "sample")
IMDB_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
IMDB_HASH = "md5:7c2ac02c03563afcf9b574c7e56c153a"
TIMEOUT = (10, 30)
"""Seconds to wait for a connection, and for the next bytes of an answer."""

logger = logging.getLogger(__name__)


def resolve_imdb(
    *, source: str, data_dir: Path, sample_size: int = 2000, seed: int = 0, may_fall_back: bool = True
) -> LabelledCorpus:
    """The corpus that `source` stands for; the texts themselves are not read here.

    Args:
        source: "local" (must be in `data_dir`), "download" (fetched unless it is there), "sample" (generated), or
            "auto": local, else download, else the sample with a warning.
        data_dir: Where the dataset lies, or is downloaded to.
        sample_size: Number of reviews of the sample.
        seed: Seed of the sample.
        may_fall_back: False where several processes run, which could end up with different corpora.

    Raises:
        UserError: `source` is unknown, `data_dir` does not exist, or the reviews can be had nowhere. A damaged archive
            in `data_dir` is an error too, raised when it is read; it is never replaced by the sample.
    """
    if source not in SOURCES:
        raise UserError(f"task.data.source={source} is unknown: choose one of {', '.join(SOURCES)}.")
    if source == "sample":
        return SampleReviews(size=sample_size, seed=seed)
    _require_folder(data_dir)
    if follows() and source != "local":
        wait_until(lambda: find_imdb(data_dir) is not None, f"the reviews' archive in {data_dir}")
    found = find_imdb(data_dir)
    if found is not None:
        return found
    if source == "local":
        raise UserError(
            f"There is no {FOLDER_NAME}/ and no {ARCHIVE_NAME} in {data_dir}: put one of them there, "
            "or set task.data.source=download or task.data.source=sample."
        )
    if source == "download":
        return download_imdb(data_dir)
    return _download_or_sample(data_dir, SampleReviews(size=sample_size, seed=seed), may_fall_back)


def find_imdb(data_dir: Path) -> LabelledCorpus | None:
    """The reviews in `data_dir`, the folder before the archive; None where there is neither."""
    if (data_dir / FOLDER_NAME).is_dir():
        return ImdbFolder(data_dir / FOLDER_NAME)
    if (data_dir / ARCHIVE_NAME).exists():
        return ImdbArchive(data_dir / ARCHIVE_NAME)
    return None


def download_imdb(data_dir: Path) -> ImdbArchive:
    """Fetches the archive into `data_dir`, under its own name only once it is complete and its hash is right.

    Raises:
        UserError: `data_dir` does not exist or cannot be written to, the server cannot be reached, or what it sends
            is not the published archive. Nothing is left behind then.
    """
    _require_folder(data_dir)
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise _not_writable(data_dir, "no right to write")
    import pooch
    import requests

    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=TIMEOUT)
    try:
        pooch.retrieve(IMDB_URL, known_hash=IMDB_HASH, fname=ARCHIVE_NAME, path=data_dir, downloader=downloader)
        _let_others_read(data_dir / ARCHIVE_NAME)
    except requests.RequestException as error:
        raise _download_failed(data_dir, _reason(error)) from error
    except ValueError as error:
        raise _download_failed(data_dir, "what arrived is not the published archive, its MD5 differs") from error
    except OSError as error:
        raise _not_writable(data_dir, error.strerror or str(error)) from error
    return ImdbArchive(data_dir / ARCHIVE_NAME, name="download")


def _download_or_sample(data_dir: Path, sample: SampleReviews, may_fall_back: bool) -> LabelledCorpus:
    try:
        return download_imdb(data_dir)
    except UserError as failure:
        if not may_fall_back:
            raise UserError(
                f"IMDB is not in {data_dir} and could not be downloaded, and neither `sluice prepare` nor a run of "
                f"several processes falls back on the sample: put {ARCHIVE_NAME} there, run `sluice prepare task=imdb` "
                "where there is a network, or set task.data.source=sample."
            ) from failure
        logger.warning(
            "NOT IMDB: this run uses %s, whose results say nothing about IMDB, because: %s", sample.description, failure
        )
        return sample


def _require_folder(data_dir: Path) -> None:
    if not data_dir.is_dir():
        raise UserError(
            f"The data folder {data_dir} does not exist or is no folder: create it, or name another with "
            "paths.data_dir or the environment variable SLUICE_DATA."
        )


def _let_others_read(archive: Path) -> None:
    """Gives the archive the rights of any new file; the temporary file it was is its owner's alone."""
    umask = os.umask(0)
    os.umask(umask)
    archive.chmod(0o666 & ~umask)


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


def _download_failed(data_dir: Path, reason: str) -> UserError:
    return UserError(
        f"{IMDB_URL} could not be downloaded ({reason}): put {ARCHIVE_NAME} into {data_dir} by hand, "
        "or set task.data.source=sample."
    )


def _not_writable(data_dir: Path, reason: str) -> UserError:
    return UserError(
        f"{ARCHIVE_NAME} cannot be written into {data_dir} ({reason}): name another folder with paths.data_dir "
        "or the environment variable SLUICE_DATA, or set task.data.source=sample."
    )
