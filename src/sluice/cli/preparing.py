"""sluice prepare: what a cluster's login node does so that its compute nodes need no network."""

import time

from numpy import median
from rich.console import Console

from sluice.cli.building import build_data, find_corpus
from sluice.cli.composing import checked, compose_config, find_conf
from sluice.cli.logs import start_logging


def prepare_task(overrides: list[str]) -> None:
    """Downloads, checks, tokenises and stores the texts of the task; never falls back to the sample.

    Raises:
        UserError: whatever is wrong with the settings or the texts.
    """
    start_logging()
    started = time.monotonic()
    config = checked(compose_config(overrides, find_conf()))
    corpus = find_corpus(config, may_fall_back=False)
    data = build_data(config, corpus)
    prepared = data.prepared
    if config.embedding.start == "ppmi":
        data.word_vectors(config.embedding.size)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{config.task.name}: {corpus.description}")
    for name, split in prepared.splits.items():
        lengths = split.texts.lengths
        console.print(
            f"  {name:<6}{len(split.texts):>9,} texts  {lengths.sum():>12,} tokens  median {int(median(lengths))}"
        )
    console.print(f"  {len(prepared.vocab):,} words in the vocabulary, classes {', '.join(prepared.labels)}")
    console.print(f"Ready in {time.monotonic() - started:.1f} s: training will find it in {config.paths.cache_dir}.")
