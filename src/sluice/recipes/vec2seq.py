"""task=vec2seq: one-to-many generation of a sentence from a number or a label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.config.schema import Config
from sluice.config.tasks.generated_pairs import VectorToSequence
from sluice.data.corpus import ParallelCorpus
from sluice.data.parallel import ParallelSettings
from sluice.data.synthetic.vec2seq import BookSentences, LabelSentences, book_as_pairs, label_of, labels_as_pairs
from sluice.decoding.search import DecodingSettings
from sluice.errors import UserError
from sluice.inference.translator import Translator
from sluice.metrics.translation_scores import NO_SCORING, exact_match_scoring
from sluice.recipes.translation import Seq2SeqRecipe
from sluice.text.coder import MARKS, SentenceCoder
from sluice.text.vocab import SPECIALS

if TYPE_CHECKING:
    from sluice.data.translation import TranslationData
    from sluice.modules.translation import TranslationModule

SAMPLES_PER_LABEL = 500
"""Number of sentences sampled for each label after the test."""


class VectorToSequenceRecipe(Seq2SeqRecipe[VectorToSequence]):
    """Reproduces the numbered sentences of a text, or generates sentences with a label."""

    settings_type = VectorToSequence
    kind = "one to many"
    description = "generates a sentence from a number or a label"
    usage = "sluice translate {run} pos  # a label, or the number of a sentence"

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> ParallelCorpus:
        data = self.settings(config).data
        if data.path is not None:
            return book_as_pairs(BookSentences(Path(data.path), limit=data.limit))
        return labels_as_pairs(
            LabelSentences(size=data.size, val_size=data.val_size, test_size=data.test_size, seed=config.seed)
        )

    def build_data(self, config: Config, corpus: ParallelCorpus) -> TranslationData:
        if self.settings(config).text.joint:
            raise UserError("task.text.joint=true cannot be combined with task=vec2seq: the vocabularies differ")
        return super().build_data(config, corpus)

    def pair_settings(self, settings: VectorToSequence) -> ParallelSettings:
        longest = settings.data.max_length
        return ParallelSettings(**vars(settings.text), max_length=longest, max_ratio=float(longest), symbols=True)

    def translation_module(self, config: Config, translator: Translator, **options: Any) -> TranslationModule:
        from sluice.modules.translation import TranslationModule

        reproduces = self.settings(config).data.path is not None
        scoring = exact_match_scoring(translator.target.unit.split) if reproduces else NO_SCORING
        return TranslationModule(translator=translator, scoring=scoring, **options)

    def source_of(self, coder: SentenceCoder, text: str) -> str:
        """Checks that the model was trained on a number or label, and returns it."""
        known, symbol = coder.vocab.tokens[len(SPECIALS) + len(MARKS) :], text.strip()
        if symbol not in known:
            BookSentences.check_number(symbol, known)
            raise UserError(f"there is no sentence for {symbol!r}: choose from {', '.join(sorted(known))}")
        return symbol

    def extra_metrics(self, config: Config, data: TranslationData, module: TranslationModule) -> dict[str, float]:
        """Computes, for labels, also the fraction of sampled sentences that express their label."""
        metrics = super().extra_metrics(config, data, module)
        settings = self.settings(config)
        if settings.data.path is not None:
            return metrics
        labels = [label for label in LabelSentences.labels for _ in range(SAMPLES_PER_LABEL)]
        sampling = DecodingSettings(max_length_factor=0, max_length_offset=settings.data.max_length, seed=config.seed)
        translated = module.translator.decode(labels, sampling)
        targets = [LabelSentences.labels.index(label) for label in labels]
        correct = sum(label == label_of(best.text) for label, (best, *_) in zip(targets, translated, strict=True))
        return metrics | {"test/speaks_for_label": correct / len(labels)}
