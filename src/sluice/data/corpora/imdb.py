"""The Large Movie Review Dataset (IMDB), read from its folder or archive."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sluice.data.corpora.download import PublishedCorpus, fetch, resolve, stream_tar_gz
from sluice.data.corpus import Document, LabelledCorpus, Line, SourceFile, Sources
from sluice.data.splits import assign_documents
from sluice.data.synthetic.reviews import SampleReviews
from sluice.errors import UserError, reading

log = logging.getLogger(__name__)

FOLDER_NAME = "aclImdb"
ARCHIVE_NAME = "aclImdb_v1.tar.gz"
KNOWN_BYTES = 500_000_000
"""Approximate decompressed size of the archive: reviews, unlabelled reviews and bags of words."""
LABELS = ("neg", "pos")
REVIEWS_PER_CLASS = 12_500
GROUPS = tuple((split, label) for split in ("train", "test") for label in LABELS)
"""The four folders of labelled reviews; the classifiers read nothing else."""
UNLABELLED = "train/unsup"
"""Folder of the 50,000 unlabelled reviews, which language models read too."""
UNLABELLED_NAME = re.compile(rf"(?:\./)?{FOLDER_NAME}/{UNLABELLED}/[^/.][^/]*\.txt")
REVIEW_NAME = re.compile(rf"(?:\./)?{FOLDER_NAME}/(train|test)/(neg|pos)/([^/.][^/]*)\.txt")
FILM_BLOCK = 100
"""Reviews of one film have adjacent ids (up to 30 per class), so blocks of ids are held out together."""


class ImdbOnDisk:
    """Base class of the folder and the archive."""

    labels = LABELS

    def __init__(self, path: Path, *, name: str = "local", reviews_per_class: int = REVIEWS_PER_CLASS) -> None:
        """
        Args:
            path: path of the folder or archive.
            name: "local" or "download".
            reviews_per_class: expected number of reviews of each class and split.
        """
        self.path = path
        self.name = name
        self.reviews_per_class = reviews_per_class


class ImdbFolder(ImdbOnDisk):
    """The extracted folder `aclImdb/`, read in the order train/neg, train/pos, test/neg, test/pos, then by name."""

    @property
    def description(self) -> str:
        """Description of the folder."""
        return f"IMDB reviews in the folder {self.path}"

    @property
    def sources(self) -> Sources:
        """All reviews by name; the name determines the block of ids.

        Raises:
            UserError: if one of the four folders is missing.
        """
        names = [f"{split}/{label}/{name}" for (split, label), names in self._review_names().items() for name in names]
        return Sources.of(FOLDER_NAME, {name: self.path / name for name in names})

    def documents(self) -> Iterator[Document]:
        """Yields every review once.

        Raises:
            UserError: if a folder is missing or has a wrong number of reviews, or a review cannot be read.
        """
        groups = self._review_names()
        counts = {group: len(names) for group, names in groups.items()}
        _check_counts(self.path, counts, self.reviews_per_class)
        for (split, label), names in groups.items():
            for name in names:
                file = self.path / split / label / name
                with reading(file):
                    content = file.read_bytes()
                yield Document(split, _decode(content, str(file)), LABELS.index(label), _block(file.stem))

    def unlabelled_files(self) -> dict[str, Path]:
        """Returns the files of the unlabelled reviews by name."""
        folder = self.path / UNLABELLED
        names = _text_files(folder) if folder.is_dir() else []
        return {f"{UNLABELLED}/{name}": folder / name for name in names}

    def unlabelled(self) -> Iterator[str]:
        """Yields every unlabelled review once.

        Raises:
            UserError: if a review cannot be read.
        """
        for file in self.unlabelled_files().values():
            with reading(file):
                content = file.read_bytes()
            yield _decode(content, str(file))

    def _review_names(self) -> dict[tuple[str, str], list[str]]:
        missing = [f"{split}/{label}" for split, label in GROUPS if not (self.path / split / label).is_dir()]
        if missing:
            raise UserError(
                f"{self.path} has no folder {', '.join(missing)}: "
                f"extract {ARCHIVE_NAME} again, or remove the folder to read the archive instead"
            )
        return {(split, label): _text_files(self.path / split / label) for split, label in GROUPS}


class ImdbArchive(ImdbOnDisk):
    """The archive `aclImdb_v1.tar.gz`, read as a stream in the order of the archive, without extracting it."""

    @property
    def description(self) -> str:
        """Description of the archive."""
        return f"IMDB reviews in the archive {self.path}"

    @property
    def sources(self) -> Sources:
        """The archive."""
        return Sources.of(FOLDER_NAME, {"archive": self.path})

    def documents(self) -> Iterator[Document]:
        """Yields every review once; the number of reviews is checked at the end.

        Raises:
            UserError: if the archive is truncated, damaged or another one, a review is not UTF-8, or the number of
                reviews is wrong.
        """
        counts: Counter[tuple[str, str]] = Counter()
        for name, content in stream_tar_gz(self.path, known_bytes=KNOWN_BYTES):
            review = REVIEW_NAME.fullmatch(name)
            if review:
                split, label, stem = review.groups()
                counts[split, label] += 1
                yield Document(split, _decode(content, f"{name} in {self.path}"), LABELS.index(label), _block(stem))
        if not counts:
            raise UserError(
                f"{self.path} has no {FOLDER_NAME}/train and {FOLDER_NAME}/test reviews: "
                f"replace it with the official {ARCHIVE_NAME}"
            )
        _check_counts(self.path, counts, self.reviews_per_class)

    def unlabelled(self) -> Iterator[str]:
        """Yields every unlabelled review once.

        Raises:
            UserError: if the archive is damaged, or a review is not UTF-8.
        """
        for name, content in stream_tar_gz(self.path, known_bytes=KNOWN_BYTES):
            if UNLABELLED_NAME.fullmatch(name):
                yield _decode(content, f"{name} in {self.path}")


def _block(stem: str) -> str:
    """Returns the block of a review named <id>_<stars>; empty for other names."""
    number = stem.partition("_")[0]
    return f"{int(number) // FILM_BLOCK}" if number.isdecimal() else ""


def _check_counts(path: Path, counts: Mapping[tuple[str, str], int], expected: int) -> None:
    wrong = [f"{'/'.join(group)} has {counts[group]:,}" for group in GROUPS if counts[group] != expected]
    if wrong:
        raise UserError(
            f"{path} should have {expected:,} reviews in each class of train and test, but {', '.join(wrong)}: "
            f"replace it with a complete copy of the dataset, or remove it"
        )


def _text_files(folder: Path) -> list[str]:
    """Returns the sorted names of the reviews, without hidden files (macOS creates `._` files)."""
    with reading(folder):
        names = [entry.name for entry in os.scandir(folder)]
    return sorted(name for name in names if name.endswith(".txt") and not name.startswith("."))


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"the review {name} is not UTF-8 (byte {error.start}): replace the dataset with an unchanged copy"
        ) from error


IMDB_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
IMDB_HASH = "md5:7c2ac02c03563afcf9b574c7e56c153a"


def resolve_imdb(
    *, source: str, data_dir: Path, sample_size: int = 2000, seed: int = 0, may_fall_back: bool = True
) -> LabelledCorpus:
    """Returns the corpus for a setting of `task.data.source`, without reading its texts.

    Args:
        source: "auto", "local", "download" or "sample", see `download.resolve`.
        data_dir: folder that contains the dataset, or to download it to.
        sample_size: number of reviews of the sample.
        seed: seed of the sample.
        may_fall_back: whether "auto" may use the sample.

    Raises:
        UserError: as `download.resolve`.
    """
    published = PublishedCorpus[LabelledCorpus](
        title="IMDB",
        task="imdb",
        expected=f"{FOLDER_NAME}/ and no {ARCHIVE_NAME}" if source == "local" else ARCHIVE_NAME,
        find=find_imdb,
        download=download_imdb,
    )
    sample = SampleReviews(size=sample_size, seed=seed)
    return resolve(published, source=source, data_dir=data_dir, sample=sample, may_fall_back=may_fall_back)


def find_imdb(data_dir: Path) -> LabelledCorpus | None:
    """Returns the reviews in `data_dir`, preferably the folder; None without folder and archive."""
    if (data_dir / FOLDER_NAME).is_dir():
        return ImdbFolder(data_dir / FOLDER_NAME)
    if (data_dir / ARCHIVE_NAME).exists():
        return ImdbArchive(data_dir / ARCHIVE_NAME)
    return None


def download_imdb(data_dir: Path) -> ImdbArchive:
    """Downloads the archive into `data_dir`.

    Raises:
        UserError: as `download.fetch`.
    """
    fetch(IMDB_URL, known_hash=IMDB_HASH, folder=data_dir, name=ARCHIVE_NAME)
    return ImdbArchive(data_dir / ARCHIVE_NAME, name="download")


VALIDATION_FRACTION = 0.1
"""Fraction of the training reviews of each class that is used for validation, the default of task=imdb."""


@dataclass(frozen=True)
class ReviewLines:
    """The documents of a corpus as lines, with the validation split of task=imdb, which they pre-train."""

    corpus: LabelledCorpus

    @property
    def name(self) -> str:
        """Name of the corpus."""
        return self.corpus.name

    @property
    def description(self) -> str:
        """Description of the corpus."""
        return f"{self.corpus.description}, one per line"

    @property
    def sources(self) -> Sources:
        """Sources of the corpus."""
        sources = self.corpus.sources
        return replace(sources, recipe=f"lines of {sources.recipe}, split as its documents")

    def lines(self) -> Iterator[Line]:
        """Yields one line per document.

        Raises:
            UserError: as the corpus does.
        """
        fractions = {"val": VALIDATION_FRACTION}
        rows = assign_documents(self.corpus.documents(), names=self.corpus.labels, fractions=fractions)
        held = set(rows["val"].tolist())
        for number, document in enumerate(self.corpus.documents()):
            yield Line("val" if number in held else document.split, " ".join(document.text.split()))


@dataclass(frozen=True)
class AllReviewLines(ReviewLines):
    """The lines of ReviewLines and, in the training part, those of the unlabelled reviews, if there are any."""

    @property
    def sources(self) -> Sources:
        """Sources of all reviews."""
        sources, files = super().sources, {}
        if isinstance(self.corpus, ImdbFolder):
            files = self.corpus.unlabelled_files()
        added = tuple(SourceFile(name, path) for name, path in files.items())
        return replace(sources, recipe=f"all {sources.recipe}", files=(*sources.files, *added))

    def lines(self) -> Iterator[Line]:
        """Yields one line per review.

        Raises:
            UserError: as the corpus does.
        """
        yield from super().lines()
        if not isinstance(self.corpus, ImdbFolder | ImdbArchive):
            return
        found = False
        for text in self.corpus.unlabelled():
            found = True
            yield Line("train", " ".join(text.split()))
        if not found:
            log.info(
                "%s has no unlabelled reviews (%s): only the labelled reviews are used.", self.corpus.path, UNLABELLED
            )
