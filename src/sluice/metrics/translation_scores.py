"""Scores of translations, comparable with published ones."""

import socket
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from sluice.errors import UserError
from sluice.text.spacing import base_language

SCORES = ("bleu", "bleu_lowercase", "chrf")
_TOKENIZERS_OF_LANGUAGES = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
DOWNLOAD_TIMEOUT = 15.0
"""Seconds to wait for the server from which sacrebleu downloads the models of some tokenizers."""


class Scoring(NamedTuple):
    """Scores of decoded texts against references."""

    names: tuple[str, ...]
    """Names of the scores."""
    score: Callable[[Sequence[str], Sequence[str]], dict[str, float]]
    """Maps decoded texts and their references to the scores."""
    signatures: Callable[[], dict[str, str]] = dict
    """Returns the signature of each score, for reproducing it; empty if there is none."""

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics that a translation module logs in validation."""
        return [f"val/{name}" for name in ("loss", "perplexity", "accuracy", *self.names)]


def translation_scoring(tokenizer: str = "auto", language: str = "en") -> Scoring:
    """Returns the similarity to a reference: corpus BLEU, lower-cased BLEU and chrF (0 to 100).

    They are identical to those of the sacrebleu command line. Post (2018), "A call for clarity in reporting BLEU
    scores", arXiv 1804.08771.

    Args:
        tokenizer: sacrebleu's tokenizer of BLEU; "auto" selects that of the language, "13a" for most.
        language: code of the target language.

    Raises:
        UserError: if the tokenizer cannot be loaded because a package or file is missing.
    """
    name = _TOKENIZERS_OF_LANGUAGES.get(base_language(language), "13a") if tokenizer == "auto" else tokenizer
    try:
        metrics = _metrics(name)
    except (RuntimeError, ImportError, OSError) as error:
        setting = f"task.bleu_tokenizer={tokenizer}" + (f" selects {name}, which" if name != tokenizer else "")
        raise UserError(
            f"{setting} needs the missing package sacrebleu[{name[:2]}]: pip install 'sacrebleu[{name[:2]}]', or set "
            "task.bleu_tokenizer=char"
            if name.endswith("mecab")
            else f"{setting} cannot be loaded by sacrebleu ({error}): set another tokenizer"
        ) from error
    return Scoring(SCORES, partial(_scores, metrics), partial(_signatures, metrics))


def corpus_scores(
    translations: Sequence[str], references: Sequence[str], *, tokenizer: str = "auto", language: str = "en"
) -> dict[str, float]:
    """Returns the scores of `translation_scoring`.

    Args:
        translations: detokenised translations.
        references: one reference per translation.
        tokenizer: see `translation_scoring`.
        language: see `translation_scoring`.
    """
    return translation_scoring(tokenizer, language).score(translations, references)


def _scores(metrics: dict[str, Any], translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    return {name: metric.corpus_score(list(translations), [list(references)]).score for name, metric in metrics.items()}


def _signatures(metrics: dict[str, Any]) -> dict[str, str]:
    found = {}
    for name, metric in metrics.items():
        metric.num_refs = 1
        found[name] = str(metric.get_signature())
    return found


@cache
def _metrics(tokenizer: str) -> dict[str, Any]:
    from sacrebleu.metrics.bleu import BLEU  # slow import
    from sacrebleu.metrics.chrf import CHRF

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        bleu, bleu_lowercase = (BLEU(tokenize=tokenizer, lowercase=lowercase) for lowercase in (False, True))
    finally:
        socket.setdefaulttimeout(timeout)
    return {"bleu": bleu, "bleu_lowercase": bleu_lowercase, "chrf": CHRF()}


NO_SCORING = Scoring((), lambda texts, references: {})
"""No scores, for tasks in which many different texts are correct."""


def exact_match_scoring(split: Callable[[str], list[str]]) -> Scoring:
    """Returns a scoring by exact match: `exact` is the fraction of correct texts.

    Args:
        split: tokenizer; texts with the same tokens are equal.
    """

    def score(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        right = sum(split(text) == split(reference) for text, reference in zip(texts, references, strict=True))
        return {"exact": right / max(len(references), 1)}

    return Scoring(("exact",), score)
