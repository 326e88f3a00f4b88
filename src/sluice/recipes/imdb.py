"""task=imdb: sentiment of the IMDB reviews."""

from sluice.config.schema import Config
from sluice.config.tasks.classification import Imdb
from sluice.data.corpora.imdb import resolve_imdb
from sluice.data.corpus import LabelledCorpus
from sluice.recipes.classification import ClassificationRecipe
from sluice.recipes.task import where_published


class ImdbRecipe(ClassificationRecipe[Imdb]):
    """Classification of reviews as positive or negative."""

    settings_type = Imdb

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> LabelledCorpus:
        data = self.settings(config).data
        return resolve_imdb(**where_published(config, data, may_fall_back))
