"""Multi30k, from the data folder, its repository, or a generated sample."""

from functools import partial
from pathlib import Path

from sluice.data.corpora.download import PublishedCorpus, corpus_folder, fetch, resolve
from sluice.data.corpora.parallel_files import PairPaths, ParallelFiles
from sluice.data.corpus import ParallelCorpus
from sluice.data.synthetic.parallel import SampleParallel
from sluice.errors import UserError

FOLDER_NAME = "multi30k"
STEMS = {"train": "train", "val": "val", "test": "test_2016_flickr"}
KNOWN_BYTES = 2_110_398
"""Decompressed size of the largest file, train.de."""
MULTI30K_URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
MULTI30K_HASHES = {
    "train.de.gz": "sha256:726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.en.gz": "sha256:d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "val.de.gz": "sha256:f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en.gz": "sha256:14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "test_2016_flickr.de.gz": "sha256:9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en.gz": "sha256:611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
}
LANGUAGES = ("de", "en")
"""Languages of the download and of the sample; files in other languages are used if they are in the data folder."""


def resolve_multi30k(
    *,
    source: str,
    data_dir: Path,
    source_language: str = "de",
    target_language: str = "en",
    sample_size: int = 4000,
    seed: int = 0,
    may_fall_back: bool = True,
) -> ParallelCorpus:
    """Returns the corpus for a setting of `task.data.source`, without reading its texts.

    Args:
        source: "auto", "local", "download" or "sample", see `download.resolve`.
        data_dir: folder that contains the files (directly or in multi30k/), or to download them to.
        source_language: code of the source language.
        target_language: code of the target language.
        sample_size: training pairs of the sample.
        seed: seed of the sample.
        may_fall_back: whether "auto" may use the sample.

    Raises:
        UserError: as `download.resolve`, or if a language is not available or both are the same.
    """
    languages = (source_language, target_language)
    if source_language == target_language:
        raise UserError(
            f"task.data.source_language and target_language are both {source_language!r}: choose two languages"
        )
    if not set(languages) <= set(LANGUAGES):
        return _other_languages(source, data_dir, languages)
    wanted = ", ".join(_names(languages)) if source == "local" else f"{FOLDER_NAME}/ with its .gz files"
    published = PublishedCorpus[ParallelCorpus](
        title="Multi30k",
        task="multi30k",
        expected=wanted,
        find=partial(find_multi30k, languages=languages),
        download=partial(download_multi30k, languages=languages),
    )
    sample = SampleParallel(
        size=sample_size, seed=seed, source_language=source_language, target_language=target_language
    )
    return resolve(published, source=source, data_dir=data_dir, sample=sample, may_fall_back=may_fall_back)


def find_multi30k(data_dir: Path, languages: tuple[str, str]) -> ParallelFiles | None:
    """Returns the files in `data_dir`/multi30k or `data_dir`, gzipped or plain; None if one is missing."""
    for folder in (data_dir / FOLDER_NAME, data_dir):
        for suffix in (".gz", ""):
            if all((folder / name).exists() for name in _names(languages, suffix)):
                return _files(folder, languages, suffix, "local")
    return None


def download_multi30k(data_dir: Path, languages: tuple[str, str]) -> ParallelFiles:
    """Downloads missing files into `data_dir`/multi30k.

    Raises:
        UserError: as `download.fetch`.
    """
    with corpus_folder(data_dir, FOLDER_NAME) as folder:
        for name in _names(languages):
            fetch(f"{MULTI30K_URL}/{name}", known_hash=MULTI30K_HASHES[name], folder=folder, name=name)
    return _files(folder, languages, ".gz", "download")


def _other_languages(source: str, data_dir: Path, languages: tuple[str, str]) -> ParallelCorpus:
    found = find_multi30k(data_dir, languages) if source in ("auto", "local") else None
    if found is None:
        missing = next(language for language in languages if language not in LANGUAGES)
        raise UserError(
            f"Multi30k is not available in the language {missing!r}: choose two of {', '.join(LANGUAGES)}, "
            f"or copy {', '.join(_names(languages))} into {data_dir}"
        )
    return found


def _names(languages: tuple[str, str], suffix: str = ".gz") -> list[str]:
    return [f"{stem}.{language}{suffix}" for stem in STEMS.values() for language in languages]


def _files(folder: Path, languages: tuple[str, str], suffix: str, name: str) -> ParallelFiles:
    def paths(split: str) -> PairPaths:
        stem = STEMS[split]
        return folder / f"{stem}.{languages[0]}{suffix}", folder / f"{stem}.{languages[1]}{suffix}"

    return ParallelFiles(
        train=paths("train"),
        val=paths("val"),
        test=paths("test"),
        source_language=languages[0],
        target_language=languages[1],
        name=name,
        known_bytes=KNOWN_BYTES,
    )
