"""sluice evaluate: a trained model's figures."""

import json
from dataclasses import replace
from pathlib import Path

from sluice.config.compose import changed
from sluice.data.corpus import SPLITS
from sluice.errors import UserError
from sluice.recipes.evaluation import Evaluation, Request, Table
from sluice.recipes.load import load_model
from sluice.recipes.registry import recipe_of
from sluice.recipes.task import AnyRecipe
from sluice.runs.logs import start_logging
from sluice.runs.report import print_confusion
from sluice.terminal import print_line


def evaluate_run(
    run: Path,
    *,
    split: str,
    table: Table | None,
    method: str,
    settings: list[str],
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Prints a model's figures: a classifier's with its confusion matrix, or a language model's perplexity.

    Args:
        run: a run's folder or a checkpoint.
        split: which of the task's own texts.
        table: labelled texts to take instead; for a classifier of single texts.
        method: "plain", "cache" or "dynamic"; for a language model.
        settings: key=value, changed settings of the task, see TaskRecipe.evaluation_settings.
        data_dir: where the task's corpora lie; None for SLUICE_DATA, or else where they lay at training.
        as_json: one JSON object instead of tables.

    Raises:
        UserError: for an unknown split, method or setting, a checkpoint that isn't one, or texts that can't be had or
            don't fit the model.
    """
    start_logging()
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}: there are {', '.join(SPLITS)}")
    model = load_model(run)
    recipe = recipe_of(model.config)
    _check_options(recipe, model.config.task.name, table, method, settings)
    model = model.with_paths(data_dir)
    config = replace(model.config, task=changed(model.config.task, settings))
    _show(recipe.evaluate(replace(model, config=config), Request(split, table, method)), as_json)


def _check_options(recipe: AnyRecipe, name: str, table: Table | None, method: str, settings: list[str]) -> None:
    """
    Raises:
        UserError: for an option that would be ignored with this kind of model, or an unknown method.
    """
    if table is not None and not recipe.evaluates_files:
        raise UserError(
            f"--file is for models that classify single texts, this one is of task={name}{recipe.files_hint}"
        )
    if method not in recipe.evaluation_methods:
        if len(recipe.evaluation_methods) == 1:
            raise UserError(f"--method {method} is for language models, this one is of task={name}")
        raise UserError(f"there is no method {method!r}: there are {', '.join(recipe.evaluation_methods)}")
    for setting in settings:
        key = setting.partition("=")[0].removeprefix("task.")
        if not key.startswith(recipe.evaluation_settings):
            known = ", ".join(recipe.evaluation_settings) or "nothing"
            raise UserError(f"--set {setting} changes nothing of an evaluation of task={name}: {known} can be set")


def _show(evaluation: Evaluation, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**evaluation.facts, **evaluation.figures}))
        return
    print_line(evaluation.headline)
    names = {name: evaluation.names.get(name, name) for name in evaluation.figures}
    width = max(map(len, names.values()), default=0) + 2
    for name, value in evaluation.figures.items():
        print_line(f"  {names[name]:<{width}}{value:.{evaluation.digits}f}")
    for note in evaluation.notes:
        print_line(f"  {note}")
    if evaluation.confusion is not None:
        print_confusion(*evaluation.confusion)
