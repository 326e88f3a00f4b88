"""Translation with sequence-to-sequence networks."""

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from sluice.data.collate import ParallelBatch
from sluice.decoding.search import DecodingSettings
from sluice.inference.translator import Translation, Translator
from sluice.layers.output_loss import OutputLoss
from sluice.metrics.metric_dict import MetricDict
from sluice.metrics.perplexity import Perplexity, TokenLoss
from sluice.metrics.translation_scores import Scoring, translation_scoring
from sluice.models.seq2seq import Seq2Seq
from sluice.modules.base import STAGES, TaskModule

T = TypeVar("T")


class ScoredTranslation(NamedTuple):
    """A translation and its reference."""

    pair_index: int
    """Index of the pair in its split."""
    reference: str
    source: str
    translation: Translation


class TranslationModule(TaskModule):
    """Translation with cross-entropy per target token; logs perplexity, token accuracy and scores of decoded texts.

    Loss, perplexity and accuracy of an epoch are computed over all tokens and ranks; the translations of all ranks are
    gathered and scored as one corpus.
    """

    network: Seq2Seq

    def __init__(
        self,
        *,
        translator: Translator,
        label_smoothing: float = 0.0,
        r_drop: float = 0.0,
        sampling: float = 0.0,
        sampling_steps: int = 1,
        decoding: dict[str, DecodingSettings] | None = None,
        scoring: Scoring | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            translator: the network with its vocabularies.
            label_smoothing: probability mass spread over all words that can be predicted, in training only.
            r_drop: weight α of the divergence between two predictions of each word with different dropout masks, in
                training only, see `r_drop_cross_entropy`; 0 disables it.
            sampling: final probability of scheduled sampling: target words replaced by predicted words in training.
            sampling_steps: optimizer steps over which this probability increases linearly from 0.
            decoding: decoding settings of "val" and "test"; None for greedy search.
            scoring: scores of the decoded texts against the references; None for those of `translation_scoring`.
            options: arguments of TaskModule except `network`, which is the translator's.

        Raises:
            ValueError: if `sampling` is outside [0, 1], `sampling_steps` below 1, `r_drop` negative or combined with
                sampling, or a decoding setting is invalid.
        """
        super().__init__(network=translator.network, **options)
        _check_options(r_drop, sampling, sampling_steps)
        self.translator, self.label_smoothing, self.r_drop = translator, label_smoothing, r_drop
        self.sampling, self.sampling_steps = sampling, sampling_steps
        self.scoring = scoring or translation_scoring(language=translator.target.language)
        self.decoding = {"val": DecodingSettings(), "test": DecodingSettings(), **(decoding or {})}
        for settings in self.decoding.values():
            settings.check()
        kinds = {"loss": TokenLoss, "perplexity": Perplexity, "accuracy": TokenLoss}
        self.sums: MetricDict[TokenLoss] = MetricDict(
            {f"{stage}_{name}": kind() for stage in STAGES for name, kind in kinds.items()}
        )
        if r_drop:
            self.sums["train_divergence"] = TokenLoss()
        self._scored: list[ScoredTranslation] = []
        self._translated: list[tuple[str, str, str]] = []

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics logged in validation, which can be monitored."""
        return self.scoring.validation_metrics

    def translated_sentences(self) -> list[tuple[str, str, str]]:
        """Returns source, reference and translation of every sentence of the last validation or test, in order."""
        return self._translated

    @property
    def sampling_probability(self) -> float:
        """Probability of replacing a target word at the current step."""
        return self.sampling * min(1.0, self.global_step / self.sampling_steps) if self.sampling else 0.0

    def model_step(self, batch: ParallelBatch, stage: str) -> Tensor:
        """Returns the loss per token to minimise; accumulates the plain cross-entropy and the accuracy of `stage`."""
        training = stage == "train"
        smoothing, r_drop = (self.label_smoothing, self.r_drop) if training else (0.0, 0.0)
        given = [batch.source, batch.source_lengths, batch.inputs, batch.target_lengths]
        if r_drop:  # each sentence twice, with different dropout masks
            given = [torch.cat([part, part]) for part in given]
        features = self.network(*given, self.sampling_probability if training else 0.0).features
        loss = self.network.loss(features, batch.labels, batch.target_lengths, smoothing=smoothing, r_drop=r_drop)
        self._accumulate(loss, features, batch, stage)
        return loss.smoothed / (batch.tokens * len(features) / len(batch))

    def _accumulate(self, loss: OutputLoss, features: Tensor, batch: ParallelBatch, stage: str) -> None:
        tokens = batch.tokens * len(features) // len(batch)
        for name, total in (("loss", loss.plain), ("perplexity", loss.plain), ("accuracy", loss.correct)):
            self.sums[f"{stage}_{name}"].update(total, tokens)
        if loss.divergence is not None:
            self.sums["train_divergence"].update(loss.divergence, batch.tokens)

    def training_step(self, batch: ParallelBatch, batch_idx: int) -> Tensor:
        loss = self.model_step(batch, "train")
        self.log("train/loss", loss, batch_size=len(batch))
        self.log_number("train/padding_fraction", 1 - batch.tokens / batch.labels.numel(), len(batch))
        self._log_sums("train", len(batch), loss_name="train/epoch_loss")
        if self.sampling:
            self.log_number("train/sampling_probability", self.sampling_probability, len(batch))
        if self.r_drop:
            self.log_epoch({"train/divergence": self.sums["train_divergence"]}, len(batch))
        return loss

    def validation_step(self, batch: ParallelBatch, batch_idx: int) -> dict[str, list[ScoredTranslation]]:
        return self._evaluate(batch, "val")

    def test_step(self, batch: ParallelBatch, batch_idx: int) -> dict[str, list[ScoredTranslation]]:
        return self._evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        self._score("val")

    def on_test_epoch_end(self) -> None:
        self._score("test")

    def _evaluate(self, batch: ParallelBatch, stage: str) -> dict[str, list[ScoredTranslation]]:
        self.model_step(batch, stage)
        self._log_sums(stage, len(batch), loss_name=f"{stage}/loss")
        found = self.translator.translate_ids(
            batch.source, batch.source_lengths, batch.source_texts, self.decoding[stage]
        )
        columns = (batch.index.tolist(), batch.target_texts, batch.source_texts, [best for best, *_ in found])
        scored = [ScoredTranslation(*row) for row in zip(*columns, strict=True)]
        self._scored += [row._replace(translation=row.translation._replace(attention=None)) for row in scored]
        return {"translations": scored}

    @torch.no_grad()
    def decode_and_score(self, batches: Iterable[ParallelBatch], decoding: DecodingSettings) -> dict[str, float]:
        """Decodes batches with other settings and returns the scores, in this process only.

        Args:
            batches: batches of sentence pairs.
            decoding: decoding settings.

        Raises:
            ValueError: if a decoding setting is invalid.
        """
        decoding.check()
        self.network.eval()
        pairs: list[tuple[str, str]] = []
        for batch in batches:
            ids = batch.source.to(self.device)
            found = self.translator.translate_ids(ids, batch.source_lengths, batch.source_texts, decoding)
            texts = [best.text for best, *_ in found]
            pairs += zip(texts, batch.target_texts, strict=True)
        return self.scoring.score([text for text, _ in pairs], [reference for _, reference in pairs])

    def _log_sums(self, stage: str, batch_size: int, *, loss_name: str) -> None:
        others = {f"{stage}/{name}": self.sums[f"{stage}_{name}"] for name in ("perplexity", "accuracy")}
        self.log_epoch({loss_name: self.sums[f"{stage}_loss"], **others}, batch_size)

    def _score(self, stage: str) -> None:
        """Scores the translations of all ranks as one corpus, in its order."""
        rows = [(row.pair_index, row.source, row.reference, row.translation.text) for row in self._scored]
        self._scored = []
        self._translated = [row[1:] for row in sorted(row for part in _gather(rows) for row in part)]
        scores = self.scoring.score(
            [text for *_, text in self._translated], [reference for _, reference, _ in self._translated]
        )
        self.log_dict({f"{stage}/{name}": score for name, score in scores.items()}, sync_dist=True)


def _check_options(r_drop: float, sampling: float, sampling_steps: int) -> None:
    if not 0 <= sampling <= 1 or sampling_steps < 1:
        raise ValueError(
            f"sampling must be in [0, 1] and sampling_steps at least 1, got {sampling} and {sampling_steps}"
        )
    if not 0 <= r_drop < float("inf") or (r_drop and sampling):
        raise ValueError(f"r_drop must be at least 0, and 0 with sampling={sampling}, got {r_drop}")


def _gather(rows: list[T]) -> list[list[T]]:
    """Returns the lists of all ranks."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [rows]
    parts: list[list[T]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, rows)
    return parts
