"""How good translations are: figures that others can compare."""

from collections.abc import Sequence
from functools import cache
from typing import Any

SCORES = ("bleu", "bleu_lowercase", "chrf")


def corpus_scores(translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU, BLEU of lower-cased texts and chrF (0 to 100) of a whole corpus, as sacrebleu's command line has them.

    Post (2018), "A call for clarity in reporting BLEU scores", arXiv 1804.08771.

    Args:
        translations: as people write them, not tokenised.
        references: as many.
    """
    return {name: metric.corpus_score(list(translations), [list(references)]).score for name, metric in _made().items()}


def signatures(count: int = 1) -> dict[str, str]:
    """How each score was computed, in sacrebleu's words.

    Args:
        count: references of a sentence.
    """
    found = {}
    for name, metric in _made().items():
        metric.num_refs = count
        found[name] = str(metric.get_signature())
    return found


@cache
def _made() -> dict[str, Any]:
    from sacrebleu.metrics.bleu import BLEU  # needed only where translations are scored
    from sacrebleu.metrics.chrf import CHRF

    return {"bleu": BLEU(), "bleu_lowercase": BLEU(lowercase=True), "chrf": CHRF()}
