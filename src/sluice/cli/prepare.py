"""sluice prepare: what a cluster's login node does so that its compute nodes need no network."""

import time
from pathlib import Path

from sluice.config.compose import checked, compose_config, find_conf
from sluice.errors import UserError
from sluice.recipes.data_checks import repeated_texts
from sluice.recipes.registry import recipe_of
from sluice.runs.logs import start_logging
from sluice.terminal import print_line


def prepare_task(overrides: list[str], config_dir: Path | None = None) -> None:
    """Downloads, checks, tokenises and stores the texts of the task; never falls back to the sample.

    Args:
        overrides: as for train.py.
        config_dir: a folder with more options for the groups; None for none.

    Raises:
        UserError: whatever is wrong with the settings or the texts.
    """
    start_logging()
    started = time.monotonic()
    if config_dir is not None and not config_dir.is_dir():
        raise UserError(f"--config-dir {config_dir} isn't there: name the folder with your options")
    if config_dir is not None:
        overrides = [*overrides, f"hydra.searchpath=[file://{config_dir.absolute()}]"]
    config = checked(compose_config(overrides, find_conf()))
    recipe = recipe_of(config)
    corpus = recipe.find_corpus(config, may_fall_back=False)
    data = recipe.build_data(config, corpus)
    recipe.prepare(config, data)
    print_line(f"{config.task.name}: {corpus.description}")
    for line in [*recipe.data_summary(data), *repeated_texts(data.identity)]:
        print_line(f"  {line}")
    print_line(f"Ready in {time.monotonic() - started:.1f} s: training will find it in {config.paths.cache_dir}.")
