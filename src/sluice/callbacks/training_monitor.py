"""How training fares: speed, gradient norm, learning rate."""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sluice.callbacks.throughput import Speed
from sluice.lightning_internals import is_logged_step


class Vitals(Speed):
    """Logs tokens a second, the gradient's norm before clipping and the learning rate, every `log_every_n_steps`."""

    counted = "tokens"

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if is_logged_step(trainer):
            pl_module.log("train/gradient_norm", gradient_norm(pl_module))
            pl_module.log("train/learning_rate", optimizer.param_groups[0]["lr"])


def gradient_norm(module: nn.Module) -> Tensor:
    """Euclidean norm of all gradients together."""
    norms = [parameter.grad.norm() for parameter in module.parameters() if parameter.grad is not None]
    return torch.stack(norms).norm()
