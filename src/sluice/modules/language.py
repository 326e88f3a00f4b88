"""Autoregressive language modelling by truncated back-propagation through time."""

from typing import Any

from torch import Tensor
from torchmetrics import Metric, MetricCollection

from sluice.data.language_modeling import ChunkBatch
from sluice.metrics.metric_dict import MetricDict
from sluice.metrics.perplexity import BitsPerToken, Perplexity, TokenLoss
from sluice.models.language import LanguageModel, LanguageModelOutput
from sluice.modules.base import STAGES, TaskModule


class LanguageModelModule(TaskModule):
    """Cross-entropy of the next token; the state goes over from chunk to chunk, detached.

    Every figure of an epoch is exp or mean of sums over all tokens and ranks.
    """

    network: LanguageModel

    def __init__(
        self,
        *,
        tokens_per_batch: int,
        activation_regularisation: float = 0.0,
        temporal_regularisation: float = 0.0,
        character_level: bool = False,
        **shared: Any,
    ) -> None:
        """
        Args:
            tokens_per_batch: of a whole chunk: what a chunk's summed loss is divided by, so that shorter chunks take
                smaller steps.
            activation_regularisation: α of AWD (Merity, McCann & Socher 2017): α · mean(h²) of the dropped outputs.
            temporal_regularisation: β of AWD: β · mean((h_t+1 − h_t)²) of the outputs.
            character_level: tokens are character_level, and bits per character are told.
            shared: what every task takes, see TaskModule.
        """
        super().__init__(**shared)
        self.tokens_per_batch = tokens_per_batch
        self.alpha, self.beta = activation_regularisation, temporal_regularisation
        self.metrics: MetricDict[MetricCollection] = MetricDict(
            {f"{stage}_metrics": _metrics(stage, character_level) for stage in STAGES}
        )

    @property
    def validation_metrics(self) -> list[str]:
        """What a validation logs; any of it can be monitored."""
        return [*self.metrics["val_metrics"]]

    def run_chunk(self, batch: ChunkBatch, stage: str) -> LanguageModelOutput:
        """Runs the network on a chunk, from where the chunk before it ended."""
        state = None if batch.first else self.carried_states.get(stage)
        read = self.network(batch.inputs, state)
        self.carry_over(stage, read.state)
        return read

    def model_step(self, batch: ChunkBatch, stage: str) -> tuple[Tensor, LanguageModelOutput]:
        """Σ −log p of the chunk's targets, with a gradient in training, and what was read; summed up for `stage`."""
        read = self.run_chunk(batch, stage)
        if stage == "train":
            total = self.network.total_loss(read, batch.targets)
        else:
            total = self.network.losses(read, batch.targets).double().sum()
        self.metrics[f"{stage}_metrics"].update(total.detach(), batch.tokens)
        return total, read

    def training_step(self, batch: ChunkBatch, batch_idx: int) -> Tensor:
        total, read = self.model_step(batch, "train")
        self.log("train/loss", total.detach() / batch.tokens, batch_size=len(batch))
        self.log_epoch(self.metrics["train_metrics"], len(batch))
        return total / self.tokens_per_batch + self._regularisation(read)

    def validation_step(self, batch: ChunkBatch, batch_idx: int) -> None:
        self.model_step(batch, "val")
        self.log_epoch(self.metrics["val_metrics"], len(batch))

    def test_step(self, batch: ChunkBatch, batch_idx: int) -> None:
        self.model_step(batch, "test")
        self.log_epoch(self.metrics["test_metrics"], len(batch))

    def _regularisation(self, read: LanguageModelOutput) -> Tensor | float:
        penalty: Tensor | float = 0.0
        if self.alpha:
            penalty = penalty + self.alpha * read.dropped.square().mean()
        if self.beta and read.outputs.shape[1] > 1:
            penalty = penalty + self.beta * (read.outputs[:, 1:] - read.outputs[:, :-1]).square().mean()
        return penalty


def _metrics(stage: str, character_level: bool) -> MetricCollection:
    name = "epoch_loss" if stage == "train" else "loss"
    metrics: dict[str, Metric | MetricCollection] = {name: TokenLoss(), "perplexity": Perplexity()}
    if character_level:
        metrics["bits_per_character"] = BitsPerToken()
    return MetricCollection(metrics, prefix=f"{stage}/", compute_groups=False)
