"""Gradual unfreezing: training begins with the output layer and proceeds to lower layers."""

import pytorch_lightning as pl
from torch import nn

from sluice.optim.layer_groups import layer_groups


class GradualUnfreezing(pl.Callback):
    """Trains the output layers only at first, and one more layer from the top after every few epochs.

    Howard & Ruder (2018), "Universal language model fine-tuning for text classification", arXiv 1801.06146, section
    3.3. The embedding comes last. Gradients of frozen layers are removed before clipping, so that the optimizer skips
    their weights: no weight decay, no moments.
    """

    def __init__(self, *, epochs_per_layer: int = 1) -> None:
        """
        Args:
            epochs_per_layer: epochs after which the next layer is trained too.

        Raises:
            ValueError: for a number below 1.
        """
        if epochs_per_layer < 1:
            raise ValueError(f"epochs_per_layer must be at least 1, got {epochs_per_layer}")
        self.epochs_per_layer = epochs_per_layer
        self._epoch: int | None = None
        self._frozen: list[nn.Parameter] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            layer_groups(_network(pl_module))

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch != self._epoch:  # Lightning calls no hook at the start of an epoch that is resumed
            self._epoch, trained = trainer.current_epoch, 1 + trainer.current_epoch // self.epochs_per_layer
            groups = layer_groups(_network(pl_module))
            self._frozen = [parameter for group in groups[trained:] for parameter in group]
        for parameter in self._frozen:
            parameter.grad = None


def _network(pl_module: pl.LightningModule) -> nn.Module:
    network = pl_module.network
    assert isinstance(network, nn.Module)
    return network
