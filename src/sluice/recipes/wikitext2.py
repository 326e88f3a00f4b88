"""task=wikitext2: language modelling on WikiText-2 (Merity et al. 2016)."""

from pathlib import Path

from sluice.config.schema import Config
from sluice.config.tasks.language import WikiText2
from sluice.data.corpora.wikitext import resolve_wikitext2
from sluice.data.corpus import RunningText
from sluice.recipes.language import LanguageModelRecipe
from sluice.recipes.task import may_use_sample


class WikiText2Recipe(LanguageModelRecipe[WikiText2]):
    """Language modelling on WikiText-2: read from paths.data_dir, downloaded, or replaced by generated text."""

    settings_type = WikiText2

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> RunningText:
        data = self.settings(config).data
        return resolve_wikitext2(
            source=data.source,
            data_dir=Path(config.paths.data_dir),
            sample_size=data.sample_size,
            may_fall_back=may_use_sample(config, may_fall_back),
        )
