"""WikiText-2, from the data folder, its website, or a generated sample."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from sluice.data.corpora.download import PublishedCorpus, fetch, resolve
from sluice.data.corpora.text_files import PublishedText
from sluice.data.corpus import RunningText
from sluice.data.synthetic.reviews import SampleText
from sluice.errors import UserError, reading
from sluice.text.lines import check_size, decoded_lines

ARCHIVE_NAME, FOLDER_NAME = "wikitext-2-v1.zip", "wikitext-2"
FILES = {"train": "wiki.train.tokens", "val": "wiki.valid.tokens", "test": "wiki.test.tokens"}
LINES = {"train": 36_718, "val": 3_760, "test": 4_358}
KNOWN_BYTES = 13_175_278
"""Total size of the three files."""
WIKITEXT2_URL = "https://wikitext.smerity.com/wikitext-2-v1.zip"
WIKITEXT2_HASH = "md5:542ccefacc6c27f945fb54453812b3cd"


class WikiText2Text(PublishedText):
    """The three files of WikiText-2, in the archive or its extracted folder."""

    title, files, published_lines = "WikiText-2", FILES, LINES

    def _archive(self) -> Iterator[tuple[str, Iterator[str]]]:
        for split, file in self.files.items():
            yield split, self._member_lines(file)

    def _member_lines(self, file: str) -> Iterator[str]:
        try:
            with reading(self.path), zipfile.ZipFile(self.path) as archive:
                check_size(self.path, archive.getinfo(f"{FOLDER_NAME}/{file}").file_size, KNOWN_BYTES)
                with archive.open(f"{FOLDER_NAME}/{file}") as stream:
                    yield from decoded_lines(stream, f"{file} in {self.path}")
        except KeyError as error:
            raise UserError(
                f"{self.path} has no {FOLDER_NAME}/{file}: replace it with the published archive"
            ) from error
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UserError(f"{self.path} is not a complete .zip ({error}): replace it with a complete copy") from error


def find_wikitext2(data_dir: Path) -> WikiText2Text | None:
    """Returns the text in `data_dir`, preferably the folder; None without folder and archive."""
    for name in (FOLDER_NAME, ARCHIVE_NAME):
        if (data_dir / name).exists():
            return WikiText2Text(data_dir / name)
    return None


def download_wikitext2(data_dir: Path) -> WikiText2Text:
    """Downloads the archive into `data_dir`.

    Raises:
        UserError: as `download.fetch`.
    """
    fetch(WIKITEXT2_URL, known_hash=WIKITEXT2_HASH, folder=data_dir, name=ARCHIVE_NAME)
    return WikiText2Text(data_dir / ARCHIVE_NAME, name="download")


def resolve_wikitext2(
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
        title="WikiText-2",
        task="wikitext2",
        expected=ARCHIVE_NAME,
        find=find_wikitext2,
        download=lambda folder: download_wikitext2(folder),
    )
    sample = SampleText(size=sample_size, seed=seed)
    return resolve(published, source=source, data_dir=data_dir, sample=sample, may_fall_back=may_fall_back)
