"""Published word vectors by name, such as glove.6B.100d: found in the data folder, or downloaded."""

import logging
import os
from pathlib import Path
from typing import NamedTuple
from zipfile import is_zipfile

from sluice.data.corpora.download import download_failed, fetch
from sluice.data.rank_zero_first import is_local_rank_zero, wait_until
from sluice.errors import UserError
from sluice.text.pretrained import open_vectors

FOLDERS = ("", "vectors", ".vector_cache")
"""Folders in the data folder that are searched; .vector_cache is the name that torchtext uses."""
FILE_SUFFIXES = (".txt", ".vec", ".bin", ".gz", ".zip", ".csv", ".tsv")
GLOVE = "https://nlp.stanford.edu/data/"
FASTTEXT = "https://dl.fbaipublicfiles.com/fasttext/vectors-wiki/"
GLOVE_SIZES = {"6B": (50, 100, 200, 300), "42B": (300,), "840B": (300,), "twitter.27B": (25, 50, 100, 200)}
"""Dimensions of the vectors of each GloVe corpus."""
VECTORS = "vectors.txt"
"""File in the run folder of task=word2vec: the vectors in the text format of word2vec."""
ALTERNATIVE = "give the path of a file of vectors instead of a name"
log = logging.getLogger(__name__)


class PublishedVectors(NamedTuple):
    """A published file of word vectors."""

    url: str
    """Address of the file, or of an archive that contains it."""
    file: str
    """Name of the file."""
    size: int
    """Dimension of the vectors."""

    @property
    def download(self) -> str:
        """Name of the downloaded file."""
        return self.url.rpartition("/")[2]


def _glove(corpus: str, size: int) -> PublishedVectors:
    archive = f"glove.{corpus}.zip" if len(GLOVE_SIZES[corpus]) > 1 else f"glove.{corpus}.{size}d.zip"
    return PublishedVectors(GLOVE + archive, f"glove.{corpus}.{size}d.txt", size)


PUBLISHED = {f"glove.{corpus}.{size}d": _glove(corpus, size) for corpus, sizes in GLOVE_SIZES.items() for size in sizes}
PUBLISHED |= {
    f"fasttext.{language}.300d": PublishedVectors(f"{FASTTEXT}wiki.{language}.vec", f"wiki.{language}.vec", 300)
    for language in ("en", "simple")
}
"""The names of torchtext's `pretrained_aliases`, without charngram.100d, whose vectors are of character n-grams."""


def check_vectors(key: str, given: str, size: int) -> None:
    """Checks the value of a setting for pretrained vectors, without reading or downloading them.

    Args:
        key: name of the setting.
        given: a file, a folder, or a name in `PUBLISHED`; existing files come first.
        size: dimension that the model expects.

    Raises:
        UserError: if it is neither a path that exists nor a known name, or the dimension of a name differs, or
            it is a folder without vectors.
    """
    if given and Path(given).exists():
        if Path(given).is_dir() and not (Path(given) / VECTORS).is_file():
            raise UserError(f"{key}={given} has no {VECTORS}: give a file of vectors, or a run of task=word2vec")
        return
    if given == "charngram.100d":
        raise UserError(
            f"{key}={given} cannot be used: its vectors are of character n-grams, not of words; choose one of "
            f"{', '.join(PUBLISHED)}"
        )
    if given not in PUBLISHED:
        is_file = not given or "/" in given or Path(given).suffix in FILE_SUFFIXES
        names = "" if is_file else f", or one of the names {', '.join(PUBLISHED)}"
        raise UserError(f"{key}={given} does not exist: give the path of a file{names}")
    own = PUBLISHED[given].size
    if own != size:
        raise UserError(
            f"{key}={given} has vectors of dimension {own}, but embedding.size={size}: set embedding.size={own} or use "
            "other vectors"
        )


def fetch_vectors(given: str, data_dir: Path, size: int) -> None:
    """Downloads published vectors that are not in the data folder, and checks the first rows of the file.

    Args:
        given: a path, or a name in `PUBLISHED`.
        data_dir: the data folder.
        size: dimension that the model expects.

    Raises:
        UserError: as `find_vectors` and `sluice.text.pretrained.open_vectors`.
    """
    found = find_vectors(given, data_dir)
    path = found / VECTORS if found.is_dir() else found
    if path.is_file():  # a pipe can be read only once
        with open_vectors(path, size):
            pass


def size_of(given: str) -> int | None:
    """Returns the dimension of published vectors; None for an existing path or any other name."""
    return None if given not in PUBLISHED or Path(given).exists() else PUBLISHED[given].size


def find_vectors(given: str, data_dir: Path) -> Path:
    """Returns the path of vectors; published ones that are not in the data folder are downloaded into it.

    On each machine, local rank 0 downloads and the other processes wait.

    Args:
        given: a path, or a name in `PUBLISHED`; existing paths come first.
        data_dir: the data folder.

    Raises:
        UserError: if vectors cannot be downloaded; see `sluice.data.corpora.download.fetch`.
    """
    if size_of(given) is None:
        return Path(given)
    published = PUBLISHED[given]
    if not is_local_rank_zero():
        wait_until(lambda: _local(published, data_dir) is not None, f"{given} in {data_dir}")
    found = _local(published, data_dir)
    if found is not None:
        return found
    log.warning("No hash is published for %s: only the size of the download is verified.", given)
    url, name = published.url, published.download
    path = fetch(url, known_hash=None, folder=data_dir, name=name, alternative=ALTERNATIVE)
    if path.suffix == ".zip" and not is_zipfile(path):
        path.unlink()
        raise download_failed(url, data_dir, name, "the received file is not a zip archive", ALTERNATIVE)
    return path


def _local(published: PublishedVectors, data_dir: Path) -> Path | None:
    """Returns the file or archive in the data folder, or in torchtext's cache in the working directory."""
    folders = [*(data_dir / folder for folder in FOLDERS), Path(".vector_cache")]
    names = (published.file, f"{published.file}.gz", published.download)
    return next((path for folder in folders for name in names if (path := folder / name).is_file()), None)


def default_data_dir() -> Path:
    """Returns the data folder of commands without settings: SLUICE_DATA, or else `data`."""
    return Path(os.environ.get("SLUICE_DATA") or "data")
