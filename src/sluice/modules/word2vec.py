"""Word vectors trained by skip-gram or CBOW with negative sampling."""

from typing import Any

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sluice.data.word2vec import WindowBatch
from sluice.metrics.metric_dict import MetricDict
from sluice.metrics.weighted_mean import WeightedMean
from sluice.models.word2vec import Word2Vec
from sluice.modules.base import STAGES, TaskModule


class Word2VecModule(TaskModule):
    """Negative-sampling loss per pair (skip-gram) or per word (CBOW), with explicit gradients instead of autograd.

    Gradients are summed over the pairs of a batch. Losses of an epoch are means over all pairs, never averaged over
    batches.
    """

    network: Word2Vec

    def __init__(self, **options: Any) -> None:
        """
        Args:
            options: arguments of TaskModule.
        """
        super().__init__(**options)
        self.automatic_optimization = False
        self.losses: MetricDict[WeightedMean] = MetricDict({f"{stage}_loss": WeightedMean() for stage in STAGES})

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics logged in validation, which can be monitored."""
        return ["val/loss"]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizers: Any = super().configure_optimizers()
        if isinstance(optimizers, dict):
            del optimizers["lr_scheduler"]["monitor"]  # schedules are stepped manually
        return optimizers

    def model_step(self, batch: WindowBatch, stage: str) -> Tensor:
        """Returns the mean loss and accumulates it for `stage`; in training also sets the gradients."""
        total = self.network.backward(batch.blocks) if stage == "train" else self.network.gradients(batch.blocks).loss
        examples = batch.pairs if self.network.method == "skipgram" else batch.tokens
        loss = total / max(examples, 1)
        self.losses[f"{stage}_loss"].update(loss, examples)
        return loss

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        loss: Tensor = optimizer.step(lambda: self.model_step(batch, "train"))
        self.log("train/loss", loss, batch_size=len(batch))
        self.log_epoch({"train/epoch_loss": self.losses["train_loss"]}, len(batch))
        self._step_schedules("step")
        return loss.detach()

    def on_train_epoch_end(self) -> None:
        self._step_schedules("epoch")

    def _step_schedules(self, interval: str) -> None:
        """Steps the schedules of this interval that are due, and ReduceLROnPlateau with the metric that it reads."""
        for entry in self.trainer.lr_scheduler_configs:
            is_due = interval == "step" or (self.current_epoch + 1) % entry.frequency == 0
            if entry.interval == interval and is_due:
                reads_metric = isinstance(entry.scheduler, ReduceLROnPlateau)
                self.lr_scheduler_step(entry.scheduler, self._metric_of_schedule() if reads_metric else None)

    def _metric_of_schedule(self) -> Tensor:
        """Returns the value of the metric that ReduceLROnPlateau reads.

        Raises:
            MisconfigurationException: if it has not been logged, as Lightning does in automatic optimization.
        """
        name, metrics = self._schedule_metric, self.trainer.callback_metrics
        if name not in metrics:
            raise MisconfigurationException(
                f"ReduceLROnPlateau reads {name}, which is not available after epoch {self.current_epoch + 1}: set "
                "scheduler.frequency to trainer.check_val_every_n_epoch"
            )
        return metrics[name]

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: WindowBatch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def _evaluate(self, batch: WindowBatch, stage: str) -> None:
        with torch.no_grad():
            self.model_step(batch, stage)
        self.log_epoch({f"{stage}/loss": self.losses[f"{stage}_loss"]}, len(batch))
