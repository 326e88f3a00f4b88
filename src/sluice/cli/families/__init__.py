"""The kinds of task that there are."""

from sluice.cli.families.base import FORMAT, Family
from sluice.cli.families.classification import CLASSIFICATION
from sluice.cli.families.execution import EXECUTION
from sluice.cli.families.language import LANGUAGE
from sluice.cli.families.one_to_many import ONE_TO_MANY
from sluice.cli.families.pairs import PAIRS
from sluice.cli.families.sequences import SEQUENCES
from sluice.cli.families.translation import TRANSLATION
from sluice.cli.families.word2vec import WORD2VEC
from sluice.cli.schema import Config, schema_name

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
    "FORMAT",
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
