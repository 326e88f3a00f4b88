"""Training on the same batches in every epoch."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sluice.data.samplers import ResumableSampler
from sluice.errors import SharedError


class RepeatFirstEpoch(Callback):
    """Repeats the batches of the first epoch, so that with `limit_train_batches` training sees a few batches only.

    Lightning's `overfit_batches` replaces samplers by its own, which are not batch samplers.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loader = trainer.train_dataloader
        samplers = [getattr(loader, name, None) for name in ("batch_sampler", "sampler")]
        found = [sampler for sampler in samplers if isinstance(sampler, ResumableSampler)]
        if not found:
            raise SharedError(
                "debug=overfit cannot be used with this task: its training batches need a sampler of "
                "sluice.data.samplers, set trainer.limit_train_batches instead"
            )
        for sampler in found:
            sampler.repeat_first_epoch()
