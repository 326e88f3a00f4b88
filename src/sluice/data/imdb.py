"""Where the IMDB reviews come from: the data folder, the original address, or else a generated sample."""

from pathlib import Path

from sluice.data.downloading import Published, fetch, resolve
from sluice.data.imdb_files import ARCHIVE_NAME, FOLDER_NAME, ImdbArchive, ImdbFolder
from sluice.data.sample_reviews import SampleReviews
from sluice.data.sources import LabelledCorpus

__all__ = ["ImdbArchive", "ImdbFolder", "download_imdb", "find_imdb", "resolve_imdb"]

IMDB_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
IMDB_HASH = "md5:7c2ac02c03563afcf9b574c7e56c153a"


def resolve_imdb(
    *, source: str, data_dir: Path, sample_size: int = 2000, seed: int = 0, may_fall_back: bool = True
) -> LabelledCorpus:
    """The corpus that `source` stands for; the texts themselves are not read here.

    Args:
        source: "auto", "local", "download" or "sample", see `downloading.resolve`.
        data_dir: Where the dataset lies, or is downloaded to.
        sample_size: Number of reviews of the sample.
        seed: Seed of the sample.
        may_fall_back: False where several processes run, which could end up with different corpora.

    Raises:
        UserError: as `downloading.resolve`.
    """
    published = Published(
        title="IMDB",
        task="imdb",
        wanted=f"{FOLDER_NAME}/ and no {ARCHIVE_NAME}" if source == "local" else ARCHIVE_NAME,
        find=find_imdb,
        download=download_imdb,
    )
    sample = SampleReviews(size=sample_size, seed=seed)
    corpus: LabelledCorpus = resolve(
        published, source=source, data_dir=data_dir, sample=sample, may_fall_back=may_fall_back
    )
    return corpus


def find_imdb(data_dir: Path) -> LabelledCorpus | None:
    """The reviews in `data_dir`, the folder before the archive; None where there is neither."""
    if (data_dir / FOLDER_NAME).is_dir():
        return ImdbFolder(data_dir / FOLDER_NAME)
    if (data_dir / ARCHIVE_NAME).exists():
        return ImdbArchive(data_dir / ARCHIVE_NAME)
    return None


def download_imdb(data_dir: Path) -> ImdbArchive:
    """Fetches the archive into `data_dir`.

    Raises:
        UserError: as `downloading.fetch`.
    """
    fetch(IMDB_URL, known_hash=IMDB_HASH, folder=data_dir, name=ARCHIVE_NAME)
    return ImdbArchive(data_dir / ARCHIVE_NAME, name="download")
