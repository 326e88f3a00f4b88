"""Every task and experiment in conf/, reduced to a run of about a second on small data."""

from itertools import product
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from running import CONF, SAMPLE, compose_quickly, paths_in, three_classes

TASKS = sorted(file.stem for file in (CONF / "task").glob("*.yaml"))
EXPERIMENTS = sorted(file.stem for file in (CONF / "experiment").glob("*.yaml"))
OWN_FILES = {"reviews": "mine.csv", "corpus": "mine.txt", "parallel": "mine.tsv"}
FOUND = ("imdb", "imdb_lm", "wikitext2", "ptb", "multi30k", "word2vec")
"""Tasks on published texts, here on the generated sample."""
STREAMS = ("task.data.batch_size=2", "task.data.chunk_length=8")
LANGUAGE = ("wikitext2", "imdb_lm", "ptb", "corpus")
SIZED = ("temporal_order", "pairs", "execute", "vec2seq")
"""Generated tasks whose defaults are large."""
FEW = tuple(f"task.data.{split}=64" for split in ("size", "val_size", "test_size"))
SAME_NETWORK = ("seed", "task.level")
"""Sweep parameters that leave the network as it is."""


def write_own_files(home: Path) -> None:
    """Writes the files of `OWN_FILES`, and data/."""
    (home / "data").mkdir(exist_ok=True)
    three_classes(home / "mine.csv")
    (home / "mine.tsv").write_text("a b c\tx y z\nb a c\ty x z\n" * 40, encoding="utf-8")
    (home / "mine.txt").write_text("a b c d e f g h\n" * 400, encoding="utf-8")


def small(home: Path, task: str) -> tuple[str, ...]:
    """Settings that reduce a task: little data, and few units where it has a recurrent core."""
    sizes = () if task == "word2vec" else ("model.hidden_size=8", "embedding.size=8")
    sizes = (*sizes, *STREAMS) if task in LANGUAGE else sizes
    if task in OWN_FILES:
        return (*sizes, f"task.data.path={home / OWN_FILES[task]}")
    if task in FOUND:
        return (*sizes, *SAMPLE)
    return (*sizes, *FEW) if task in SIZED else sizes


def compose_small(home: Path, choice: str, *overrides: str) -> DictConfig:
    """The composed configuration of `task=...` or `experiment=...`, reduced."""
    group, name = choice.split("=")
    whole = compose_quickly([choice])
    sizes = small(home, name if group == "task" else str(whole.task.name))
    if "model" in whole and whole.model is not None and whole.model.get("num_params"):
        sizes = tuple(size.replace("model.hidden_size=8", "model.num_params=2000") for size in sizes)
    decoder = ("task.decoder.hidden_size=16",) if name == "britz" else ()  # attention=dot: twice the encoder's units
    source = () if whole.init_from is None else ("init_from=null",)  # a run that another experiment trains
    return compose_quickly([choice, *sizes, *decoder, *source, *overrides, *paths_in(home)])


def networks_of(experiment: str) -> list[tuple[str, ...]]:
    """Overrides of the first member of each distinct network of a sweep; one empty tuple where nothing is swept."""
    config = OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml")  # read by each collection: composing is slow
    swept = OmegaConf.select(config, "hydra.sweeper.params") or {}
    values = {key: str(given).split(",") for key, given in swept.items() if key not in SAME_NETWORK}
    return list(product(*([f"{key}={value}" for value in choices] for key, choices in values.items())))
