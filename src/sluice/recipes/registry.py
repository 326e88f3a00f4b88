"""The registry of task recipes. A recipe is imported when it is first used, so that a run imports only its own."""

import importlib
from typing import TYPE_CHECKING

from sluice.config.schema import TASK_SCHEMAS, Config, register_task, schema_name
from sluice.config.user_code import load_installed_recipes
from sluice.errors import UserError

if TYPE_CHECKING:
    from sluice.recipes.task import AnyRecipe

BUILT_IN = {
    "imdb": "sluice.recipes.imdb:ImdbRecipe",
    "reviews": "sluice.recipes.reviews:ReviewsRecipe",
    "temporal_order": "sluice.recipes.temporal_order:TemporalOrderRecipe",
    "wikitext2": "sluice.recipes.wikitext2:WikiText2Recipe",
    "imdb_lm": "sluice.recipes.imdb_lm:ImdbLanguageModelRecipe",
    "ptb": "sluice.recipes.ptb:PennTreebankRecipe",
    "corpus": "sluice.recipes.corpus:CorpusRecipe",
    "multi30k": "sluice.recipes.multi30k:Multi30kRecipe",
    "parallel": "sluice.recipes.parallel:ParallelRecipe",
    "vec2seq": "sluice.recipes.vec2seq:VectorToSequenceRecipe",
    "execute": "sluice.recipes.execute:ExecuteRecipe",
    "adding": "sluice.recipes.adding:AddingRecipe",
    "copy": "sluice.recipes.copying:CopyRecipe",
    "echo": "sluice.recipes.echo:EchoRecipe",
    "counting": "sluice.recipes.counting:CountingRecipe",
    "waves": "sluice.recipes.waves:WavesRecipe",
    "tagging": "sluice.recipes.tagging:TaggingRecipe",
    "pairs": "sluice.recipes.pairs:PairsRecipe",
    "word2vec": "sluice.recipes.word2vec:Word2VecRecipe",
}
"""Module and class of the recipe of each task."""
_found: "dict[str, AnyRecipe]" = {}


def register(name: str, recipe: "AnyRecipe") -> None:
    """Registers a custom task for `task=NAME`, together with a file NAME.yaml in the group `task`.

    Args:
        name: name of the task; its YAML file extends the schema of the same name.
        recipe: the recipe. It replaces a custom recipe of the same name.

    Raises:
        ValueError: if Sluice has a task of this name, or another task has the same `settings_type`.
    """
    if name in BUILT_IN:
        raise ValueError(f"Sluice already has a task named {name!r}: choose another name")
    settings = recipe.settings_type
    other = next((known for known, schema in TASK_SCHEMAS.items() if schema is settings and known != name), None)
    if other is not None:
        raise ValueError(f"{settings.__name__} is the settings type of task={other}: derive a new dataclass from it")
    register_task(name, recipe.settings_type)
    _found[name] = recipe


def recipe_named(name: str) -> "AnyRecipe":
    """Returns the recipe of a task.

    Raises:
        UserError: for an unknown task.
    """
    if name not in _found and name not in BUILT_IN:
        load_installed_recipes()
    if name not in _found:
        if name not in BUILT_IN:
            raise UserError(f"there is no task {name!r}: if a Python file registers it, add task.module=FILE")
        module, _, recipe = BUILT_IN[name].partition(":")
        _found[name] = getattr(importlib.import_module(module), recipe)()
    return _found[name]


def recipe_of(config: Config) -> "AnyRecipe":
    """Returns the recipe of the task of a configuration."""
    return recipe_named(schema_name(config.task))
