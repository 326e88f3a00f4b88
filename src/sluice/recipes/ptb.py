"""task=ptb: language modelling on the Penn Treebank (Mikolov et al. 2010)."""

from sluice.config.schema import Config
from sluice.config.tasks.language import PennTreebank
from sluice.data.corpora.penn_treebank import resolve_ptb
from sluice.data.corpus import RunningText
from sluice.recipes.language import LanguageModelRecipe
from sluice.recipes.task import where_published


class PennTreebankRecipe(LanguageModelRecipe[PennTreebank]):
    """Language modelling on the Penn Treebank: read from paths.data_dir, downloaded, or replaced by generated text."""

    settings_type = PennTreebank

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> RunningText:
        data = self.settings(config).data
        return resolve_ptb(**where_published(config, data, may_fall_back))
