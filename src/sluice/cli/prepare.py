"""sluice prepare: downloads and caches the data of a task, for compute nodes without network access."""

import time
from pathlib import Path

from sluice.composition.checks import check_files, fetch_vectors
from sluice.composition.compose import checked, compose_config
from sluice.composition.errors import named_settings
from sluice.composition.given import check_used
from sluice.composition.hydra_options import check_config_dir
from sluice.installation import find_conf
from sluice.overrides import search_path_of
from sluice.recipes.registry import recipe_of
from sluice.runs.data_checks import repeated_texts
from sluice.runs.logs import start_logging
from sluice.runs.report import count_lines
from sluice.terminal import print_line
from sluice.training.trainer_checks import check_objects, check_trainer_settings


def prepare_task(overrides: list[str], config_dir: Path | None = None) -> None:
    """Downloads, checks, tokenises and caches the data of a task; never falls back to the generated sample.

    Also downloads published vectors that the settings name.

    Args:
        overrides: as for training.
        config_dir: a folder with additional configuration files; None for none.

    Raises:
        UserError: for invalid settings or data.
    """
    start_logging()
    started = time.monotonic()
    if config_dir is not None:
        check_config_dir(config_dir, find_conf())
        overrides = [*overrides, search_path_of(config_dir)]
    composed = compose_config(overrides, find_conf())
    config = checked(composed)
    check_used(composed, overrides)
    check_trainer_settings(config.trainer)
    check_objects(config)
    check_files(config)
    recipe = recipe_of(config)
    with named_settings(config):
        recipe.check(config)
        fetch_vectors(config)
        corpus = recipe.find_corpus(config, may_fall_back=False)
        data = recipe.build_data(config, corpus)
    recipe.prepare(config, data)
    print_line(f"{config.task.name}: {corpus.description}")
    counts, repeated = count_lines(recipe.data_counts(data)), repeated_texts(data.identity.hashes)
    for line in [*counts, *recipe.data_summary(data), *repeated]:
        print_line(f"  {line}")
    print_line(f"Prepared in {time.monotonic() - started:.1f} s; cached in {config.paths.cache_dir}.")
