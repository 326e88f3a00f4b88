"""The kinds of task that there are."""

from sluice.config.schema import Config, schema_name
from sluice.recipes.base import Family
from sluice.recipes.classification import CLASSIFICATION
from sluice.recipes.execute import EXECUTION
from sluice.recipes.language import LANGUAGE
from sluice.recipes.pairs import PAIRS
from sluice.recipes.sequences import SEQUENCES
from sluice.recipes.translation import TRANSLATION
from sluice.recipes.vec2seq import ONE_TO_MANY
from sluice.recipes.word2vec import WORD2VEC

FAMILIES: tuple[Family, ...] = (
    CLASSIFICATION,
    LANGUAGE,
    TRANSLATION,
    SEQUENCES,
    WORD2VEC,
    EXECUTION,
    ONE_TO_MANY,
    PAIRS,
)

__all__ = [
    "CLASSIFICATION",
    "FAMILIES",
    "LANGUAGE",
    "PAIRS",
    "SEQUENCES",
    "TRANSLATION",
    "WORD2VEC",
    "Family",
    "family_of",
]


def family_of(config: Config) -> Family:
    """The family of a configuration's task."""
    name = schema_name(config.task)
    return next(family for family in FAMILIES if name in family.tasks)
