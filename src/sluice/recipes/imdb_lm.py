"""task=imdb_lm: language modelling on the IMDB reviews, to initialise task=imdb."""

from sluice.config.schema import Config
from sluice.config.tasks.language import ImdbReviews
from sluice.data.corpora.imdb import AllReviewLines, resolve_imdb
from sluice.data.corpus import RunningText
from sluice.recipes.language import LanguageModelRecipe
from sluice.recipes.task import where_published


class ImdbLanguageModelRecipe(LanguageModelRecipe[ImdbReviews]):
    """Language modelling on the reviews, the unlabelled ones included; a review is a line."""

    settings_type = ImdbReviews

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> RunningText:
        data = self.settings(config).data
        return AllReviewLines(resolve_imdb(**where_published(config, data, may_fall_back)))
