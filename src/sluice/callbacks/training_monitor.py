"""How training fares: speed, gradient norm, learning rate."""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sluice.callbacks.throughput import Speed
from sluice.lightning_internals import is_logged_step


class Vitals(Speed):
    """Logs tokens a second, the gradient's norm before clipping and the learning rate, every `log_every_n_steps`.

    Instead of Lightning's LearningRateMonitor, which writes a row of its own into metrics.csv under the name of the
    optimiser's class.
    """

    counted = "tokens"

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if is_logged_step(trainer):
            pl_module.log("train/gradient_norm", gradient_norm(pl_module))
            pl_module.log("train/learning_rate", optimizer.param_groups[0]["lr"])


def gradient_norm(module: nn.Module) -> Tensor:
    """Euclidean norm of all gradients together.

    Instead of Lightning's `grad_norm`, which reads the norm of each parameter back from the device, and torch's
    `get_total_norm`, which refuses sparse gradients.
    """
    norms = [parameter.grad.norm() for parameter in module.parameters() if parameter.grad is not None]
    return torch.stack(norms).norm()
