"""sluice evaluate: computes the metrics of a trained model, or of several classifiers together."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from omegaconf import OmegaConf

from sluice.composition.compose import changed, flat
from sluice.composition.given import check_used
from sluice.composition.unknown_names import no_setting
from sluice.config.common import TaskSettings
from sluice.data.corpus import SPLITS
from sluice.errors import UserError
from sluice.inference.lm_evaluation import unused_setting
from sluice.recipes.load import load_model
from sluice.recipes.registry import recipe_of
from sluice.recipes.task import OWN_FILES, AnyRecipe
from sluice.runs.data_checks import check_own_files
from sluice.runs.evaluation import Evaluation, Request, Table
from sluice.runs.logs import start_logging
from sluice.runs.report import print_confusion
from sluice.runs.saved_model import SavedModel
from sluice.terminal import print_line


def evaluate_runs(
    runs: Sequence[Path],
    *,
    split: str,
    table: Table | None,
    method: str,
    settings: list[str],
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Prints the metrics of models, such as a classifier's confusion matrix or a language model's perplexity.

    Args:
        runs: run folders or checkpoints; of several classifiers, the probabilities are averaged.
        split: "train", "val" or "test" of the task's data.
        table: labelled texts to evaluate on instead of a split; for models that classify texts, pairs or words.
        method: "plain", "cache" or "dynamic"; for language models.
        settings: overrides of the task's settings (key=value), see TaskRecipe.evaluation_settings.
        data_dir: the folder of the corpora; None for SLUICE_DATA, or else the one used in training.
        as_json: print one JSON object instead of tables.

    Raises:
        UserError: for an unknown split, method or setting, an invalid checkpoint, or data that are missing or don't
            fit the model.
    """
    start_logging()
    if split not in SPLITS:
        raise UserError(f"--split {split} cannot be used: it must be one of {', '.join(SPLITS)}")
    if data_dir is not None and not data_dir.is_dir():
        raise UserError(f"--data-dir {data_dir} is not a folder: give the folder of the corpora")
    if data_dir is not None and table is not None:
        raise UserError(f"--data-dir {data_dir} has no effect with --file: omit one of them")
    models = _load_models(runs)
    model, recipe = models[0], recipe_of(models[0].config)
    request = Request(split, table, method)
    _check_options(recipe, model.config.task, request, settings)
    if data_dir is not None and not hasattr(getattr(model.config.task, "data", None), "source"):
        raise UserError(f"--data-dir {data_dir} has no effect on task={model.config.task.name}: omit it")
    models = [_changed(each.with_paths(data_dir), settings, method) for each in models]
    if table is None:
        check_own_files(models)
    single = len(models) == 1
    found = recipe.evaluate(models[0], request) if single else recipe.evaluate_ensemble(models, request)
    _print_evaluation(found, as_json)


def _load_models(runs: Sequence[Path]) -> list[SavedModel]:
    """Loads models, which must be of one task.

    Raises:
        UserError: for invalid checkpoints or different tasks.
    """
    first, *others = (load_model(run) for run in runs)
    for other in others:
        if recipe_of(other.config) is not recipe_of(first.config):
            tasks = f"task={first.config.task.name} and task={other.config.task.name}"
            raise UserError(f"models of {tasks} cannot be evaluated together: evaluate them one by one")
    return [first, *others]


def _changed(model: SavedModel, settings: list[str], method: str) -> SavedModel:
    """Returns the model with changed settings of its task."""
    task = changed(model.config.task, settings)
    used = OmegaConf.create({"resume": None, "task": {**asdict(task), "eval_modes": [method]}})
    check_used(used, [f"task.{setting.removeprefix('task.')}" for setting in settings])
    return replace(model, config=replace(model.config, task=task))


def _check_options(recipe: AnyRecipe, task: TaskSettings, request: Request, settings: list[str]) -> None:
    """Checks that the options apply to this kind of model and evaluation.

    Raises:
        UserError: for an option that this evaluation would ignore, or an unknown method.
    """
    table, method = request.table, request.method
    if table is not None and not recipe.evaluates_files:
        raise UserError(
            f"--file needs a model that classifies texts, this one is of task={task.name}{recipe.files_hint}"
        )
    if method not in recipe.evaluation_methods:
        if len(recipe.evaluation_methods) == 1:
            raise UserError(f"--method {method} needs a language model, this model is of task={task.name}")
        methods = ", ".join(recipe.evaluation_methods)
        raise UserError(f"--method {method} cannot be used: it must be one of {methods}")
    for setting in settings:
        key, sign, _ = setting.removeprefix("task.").partition("=")
        if not (sign and key):
            raise UserError(f"--set {setting} cannot be used: write KEY=VALUE")
        _check_known(task, key)
        if table is not None and key in OWN_FILES:
            raise UserError(f"--set {setting} has no effect with --file: omit one of them")
        if not key.startswith(recipe.evaluation_settings):
            known = [name for name in flat(asdict(task)) if name.startswith(recipe.evaluation_settings)]
            instead = f"it must be one of {', '.join(known)}" if known else "omit it"
            raise UserError(f"--set {setting} has no effect when evaluating task={task.name}: {instead}")
        if unused := unused_setting(key, request.split, method):
            raise UserError(f"--set {setting} has no effect with {unused[0]}: set {unused[1]}")


def _check_known(task: TaskSettings, key: str) -> None:
    """Checks that a task has a setting, or a group of settings.

    Raises:
        UserError: naming the settings next to it.
    """
    parent, _, _ = key.rpartition(".")
    known = [name for name in flat(asdict(task)) if name.startswith(f"{parent}." if parent else "")]
    if not any(name == key or name.startswith(f"{key}.") for name in known):
        names = [name.removeprefix(f"{parent}.").partition(".")[0] for name in known]
        raise UserError(no_setting(f"task.{key}", list(dict.fromkeys(names))))


def _print_evaluation(evaluation: Evaluation, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**evaluation.details, **evaluation.metrics}))
        return
    print_line(evaluation.headline)
    names = {name: evaluation.names.get(name, name) for name in evaluation.metrics}
    width = max(map(len, names.values()), default=0) + 2
    for name, value in evaluation.metrics.items():
        print_line(f"  {names[name]:<{width}}{value:.{evaluation.digits}f}")
    for note in evaluation.notes:
        print_line(f"  {note}")
    if evaluation.confusion is not None:
        print_confusion(*evaluation.confusion)
