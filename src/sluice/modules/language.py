"""Autoregressive language modelling with truncated backpropagation through time."""

from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torchmetrics import Metric, MetricCollection

from sluice.data.streams import ChunkBatch
from sluice.metrics.metric_dict import MetricDict
from sluice.metrics.perplexity import BitsPerToken, Perplexity, TokenLoss
from sluice.models.language import LanguageModel, LanguageModelOutput
from sluice.modules.base import STAGES, TaskModule


class LanguageModelModule(TaskModule):
    """Next-token prediction with cross-entropy; the detached state is carried over between chunks.

    Loss and perplexity of an epoch are computed from sums over all tokens and ranks.

    A chunk of T steps is trained with T / `chunk_length` times the learning rate, as in AWD-LSTM (Merity, Keskar &
    Socher 2018, section 4.1). The factor is in effect during the optimizer step only: schedules, logs and checkpoints
    contain the learning rate of a full chunk. Chunks whose gradients are accumulated share their mean factor.
    """

    network: LanguageModel

    def __init__(
        self,
        *,
        chunk_length: int,
        activation_regularisation: float = 0.0,
        temporal_regularisation: float = 0.0,
        character_level: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            chunk_length: steps of a full chunk, which is trained with the learning rate of the optimizer.
            activation_regularisation: α of AWD (Merity, McCann & Socher 2017): α · mean(h²) of the outputs after
                dropout.
            temporal_regularisation: β of AWD: β · mean((h_t+1 − h_t)²) of the outputs.
            character_level: tokens are characters; also logs bits per character.
            options: arguments of TaskModule.
        """
        super().__init__(**options)
        self.chunk_length = chunk_length
        self._chunk_steps: list[int] = []
        """Steps of each chunk since the last optimizer step."""
        self.alpha, self.beta = activation_regularisation, temporal_regularisation
        self.metrics: MetricDict[MetricCollection] = MetricDict(
            {f"{stage}_metrics": _metrics(stage, character_level) for stage in STAGES}
        )

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics logged in validation, which can be monitored."""
        return [*self.metrics["val_metrics"]]

    def run_chunk(self, batch: ChunkBatch, stage: str) -> LanguageModelOutput:
        """Runs the network on a chunk, starting from the state after the previous chunk."""
        state = None if batch.first else self.carried_state(stage, len(batch.inputs))
        output: LanguageModelOutput = self.network(batch.inputs, state)
        self.carry_over(stage, output.state)
        return output

    def model_step(self, batch: ChunkBatch, stage: str, *, scale: float = 1.0) -> tuple[Tensor, LanguageModelOutput]:
        """Returns scale · the summed loss of a chunk, and the network's output; updates the metrics of `stage`."""
        output = self.run_chunk(batch, stage)
        if stage == "train":
            loss = self.network.total_loss(output, batch.targets, scale=scale)
        else:
            loss = self.network.losses(output, batch.targets).double().sum() * scale
        self.metrics[f"{stage}_metrics"].update(loss.detach() / scale, batch.tokens)
        return loss, output

    def training_step(self, batch: ChunkBatch, batch_idx: int) -> Tensor:
        targets = batch.targets.numel()
        loss, output = self.model_step(batch, "train", scale=1 / targets)
        self.log("train/loss", loss.detach() * (targets / max(1, batch.tokens)), batch_size=len(batch))
        self.log_epoch(self.metrics["train_metrics"], len(batch))
        self._chunk_steps.append(batch.targets.shape[1])
        return loss + self._regularisation(output)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Performs a step and restores the learning rates that `on_before_optimizer_step` scales."""
        groups = [group for optimizer in self.trainer.optimizers for group in optimizer.param_groups]
        rates = [group["lr"] for group in groups]
        try:
            super().optimizer_step(*args, **kwargs)
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Scales the learning rates by the lengths of the chunks; called after backward, before clipping."""
        factor = sum(self._chunk_steps) / (len(self._chunk_steps) * self.chunk_length)
        self._chunk_steps.clear()
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor

    def validation_step(self, batch: ChunkBatch, batch_idx: int) -> None:
        self.model_step(batch, "val")
        self.log_epoch(self.metrics["val_metrics"], len(batch))

    def test_step(self, batch: ChunkBatch, batch_idx: int) -> None:
        self.model_step(batch, "test")
        self.log_epoch(self.metrics["test_metrics"], len(batch))

    def _regularisation(self, output: LanguageModelOutput) -> Tensor | float:
        penalty: Tensor | float = 0.0
        if self.alpha:
            penalty = penalty + self.alpha * output.dropped.square().mean()
        if self.beta and output.outputs.shape[1] > 1:
            penalty = penalty + self.beta * (output.outputs[:, 1:] - output.outputs[:, :-1]).square().mean()
        return penalty


def _metrics(stage: str, character_level: bool) -> MetricCollection:
    name = "epoch_loss" if stage == "train" else "loss"
    metrics: dict[str, Metric | MetricCollection] = {name: TokenLoss(), "perplexity": Perplexity()}
    if character_level:
        metrics["bits_per_character"] = BitsPerToken()
    return MetricCollection(metrics, prefix=f"{stage}/", compute_groups=False)
