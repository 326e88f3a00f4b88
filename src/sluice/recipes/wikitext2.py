"""task=wikitext2: language modelling on WikiText-2 (Merity et al. 2016)."""

from sluice.config.schema import Config
from sluice.config.tasks.language import WikiText2
from sluice.data.corpora.wikitext import resolve_wikitext2
from sluice.data.corpus import RunningText
from sluice.recipes.language import LanguageModelRecipe
from sluice.recipes.task import where_published


class WikiText2Recipe(LanguageModelRecipe[WikiText2]):
    """Language modelling on WikiText-2: read from paths.data_dir, downloaded, or replaced by generated text."""

    settings_type = WikiText2

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> RunningText:
        data = self.settings(config).data
        return resolve_wikitext2(**where_published(config, data, may_fall_back))
