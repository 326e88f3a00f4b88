"""task=temporal_order: which of two symbols came first."""

from sluice.config.schema import Config
from sluice.config.tasks.sequences import TemporalOrder
from sluice.data.corpus import LabelledCorpus
from sluice.data.synthetic.temporal_order import RELEVANT
from sluice.data.synthetic.temporal_order import TemporalOrder as SymbolsInOrder
from sluice.errors import UserError
from sluice.recipes.classification import ClassificationRecipe


class TemporalOrderRecipe(ClassificationRecipe[TemporalOrder]):
    """The temporal order problem: Hochreiter & Schmidhuber (1997), experiment 6a, at five levels of difficulty."""

    settings_type, decisive_symbols = TemporalOrder, RELEVANT
    usage = 'sluice predict {run} "B a X c Y E"'

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> LabelledCorpus:
        settings = self.settings(config)
        data = settings.data
        return SymbolsInOrder(
            level=settings.level,
            lengths=_range("lengths", data.lengths),
            t1=_range("t1", data.t1),
            t2=_range("t2", data.t2),
            size=data.size,
            val_size=data.val_size,
            test_size=data.test_size,
            easy_fraction=data.easy_fraction,
            seed=config.seed,
        )


def _range(name: str, given: list[int] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    if len(given) != 2:
        raise UserError(f"task.data.{name}={given} cannot be used: it must be two numbers, as in [10,20], or null")
    return given[0], given[1]
