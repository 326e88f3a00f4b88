"""Loading a trained model from its checkpoint alone."""

import logging
import shlex
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from sluice.config.schema import Config, find_schema
from sluice.config.stored import restored
from sluice.config.user_code import TASK, import_module, module_of_checkpoint
from sluice.errors import UserError
from sluice.plain import Plain, PlainMapping
from sluice.recipes.registry import recipe_of
from sluice.recipes.task import AnyRecipe
from sluice.recurrent import CELLS
from sluice.recurrent.initialisers import SkipInitialisation
from sluice.runs.checkpoint import check_contents, check_shapes, network_weights, read_checkpoint
from sluice.runs.saved_model import SavedModel

log = logging.getLogger(__name__)

Inference = TypeVar("Inference")
"""A class of `sluice.inference`."""


def load_model(run: Path) -> SavedModel:
    """Builds the network of a run or checkpoint and loads its weights.

    Args:
        run: a run folder or a checkpoint.

    Raises:
        UserError: as `read_checkpoint`, for an inconsistent checkpoint, or for user code that the command line does not
            name.
    """
    path, checkpoint = read_checkpoint(run)
    try:
        return _assembled(path, checkpoint)
    except UserError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is inconsistent or corrupted: use another checkpoint") from error


def load_for(run: Path, kind: type[Inference], *, tokenized: bool | None = None) -> tuple[SavedModel, Inference]:
    """Loads a trained model together with its inference object.

    Args:
        run: a run folder or a checkpoint.
        kind: expected class of `sluice.inference`.
        tokenized: whether the texts given to it are tokenised already; None for texts like those of training.

    Raises:
        UserError: as `load_model`, or if the model has another inference class or cannot read tokenised texts.
    """
    model = replace(load_model(run), tokenized=tokenized)
    return model, inference_object(model, kind, run)


def inference_object(model: SavedModel, kind: type[Inference], run: Path | None = None) -> Inference:
    """Creates the inference object of a trained model.

    Args:
        model: the model.
        kind: expected class of `sluice.inference`; `object` for any.
        run: the path given by the user, for the error message.

    Raises:
        UserError: if there is none, or it is of another class.
    """
    recipe = recipe_of(model.config)
    found = recipe.inference(model)
    described = f"{model.path} of task={model.config.task.name} {recipe.description}"
    use = f"use {recipe.usage.format(run=shlex.quote(str(run or model.path)))}"
    wanted = getattr(kind, "description", None)
    if found is None and wanted is None:
        raise UserError(f"{described} and does not support inference on new inputs: {use}")
    if not isinstance(found, kind):
        raise UserError(f"{described}; this command needs a model that {wanted}: {use}")
    return found


def _assembled(path: Path, checkpoint: Plain) -> SavedModel:
    saved = checkpoint["sluice"]
    _register_task(path, saved)
    config = _with_named_cell(path, restored(saved["config"], saved["schema"]), saved)
    weights = network_weights(checkpoint)
    check_contents(path, saved, config, weights)
    recipe = recipe_of(config)
    parts = recipe.parts_of(saved)
    built_in = _is_built_in(config, recipe)  # custom cells and networks may not support the meta device
    with SkipInitialisation() if built_in else nullcontext():
        if built_in:
            with torch.device("meta"):
                check_shapes(path, recipe.build_network(config, parts), weights)
        network = recipe.build_network(config, parts)
    network.load_state_dict(weights)
    model = SavedModel(path, config, network.eval(), saved, saved["data_source"])
    if model.has_split_words:
        log.warning(
            "An earlier version split the training words of %s at combining marks: train it anew for such texts.",
            path,
        )
    return model


def _register_task(path: Path, saved: PlainMapping) -> None:
    """Imports the file that registers a custom task, unless it is registered already.

    Raises:
        UserError: if the command line does not name the file, or its content has changed.
    """
    stored = saved["config"]["task"].get("module")
    if stored is not None and find_schema(saved["schema"]) is None:
        import_module(Path(module_of_checkpoint(path, stored, saved.get("task_module_checksum"), TASK)), TASK)


def _with_named_cell(path: Path, config: Config, saved: PlainMapping) -> Config:
    """The configuration with the file of a user-defined cell that the command line names.

    Raises:
        UserError: if it names none, or one with other content.
    """
    module = config.model.module
    if module is None:
        return config
    registered = config.model.cell in CELLS  # by an import in this process
    named = None if registered else module_of_checkpoint(path, module, saved.get("module_checksum"))
    return replace(config, model=replace(config.model, module=named))


def _is_built_in(config: Config, recipe: AnyRecipe) -> bool:
    known = CELLS.get(config.model.cell)
    cell = known.__module__.startswith("sluice.") if known else not config.model.module
    return cell and type(recipe).__module__.startswith("sluice.")
