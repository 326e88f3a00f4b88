"""sluice prepare: what a cluster's login node does so that its compute nodes need no network."""

import time

from sluice.config.compose import checked, compose_config, find_conf
from sluice.recipes.data_checks import repeated_texts
from sluice.recipes.registry import family_of
from sluice.runs.logs import start_logging
from sluice.terminal import say


def prepare_task(overrides: list[str]) -> None:
    """Downloads, checks, tokenises and stores the texts of the task; never falls back to the sample.

    Raises:
        UserError: whatever is wrong with the settings or the texts.
    """
    start_logging()
    started = time.monotonic()
    config = checked(compose_config(overrides, find_conf()))
    family = family_of(config)
    corpus = family.find_corpus(config, may_fall_back=False)
    data = family.build_data(config, corpus)
    family.prepare(config, data)
    say(f"{config.task.name}: {corpus.description}")
    for line in [*family.describe(data), *repeated_texts(data)]:
        say(f"  {line}")
    say(f"Ready in {time.monotonic() - started:.1f} s: training will find it in {config.paths.cache_dir}.")
