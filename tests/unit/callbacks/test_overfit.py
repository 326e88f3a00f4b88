"""debug=overfit trains on the same batches in every epoch."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader

from running import TINY, train
from sluice.callbacks.training_monitor import TrainingMonitor
from sluice.errors import UserError

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.mark.slow
def test_epochs_have_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def record(self: object, trainer: object, module: object, outputs: object, batch: object, index: int) -> None:
        seen.append(int(getattr(batch, "ids").sum()))  # noqa: B009, a text batch

    monkeypatch.setattr(TrainingMonitor, "on_train_batch_end", record)
    settings = [setting for setting in TINY if setting != "debug=fast"]
    ended = train(*settings, "debug=overfit", "trainer.max_epochs=3", "task.data.batch_size=8", "name=mine")
    assert ended.code == 0, ended.err
    assert len(seen) == 9
    assert seen[:3] == seen[3:6] == seen[6:]


def test_other_samplers_are_refused(tmp_path: Path) -> None:
    from sluice.callbacks.overfit import RepeatFirstEpoch

    class Module(pl.LightningModule):
        def training_step(self, batch: Tensor, index: int) -> None: ...

        def configure_optimizers(self) -> None: ...

    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=1, default_root_dir=tmp_path, callbacks=[RepeatFirstEpoch()], **quiet)
    with pytest.raises(UserError, match="debug=overfit cannot be used with this task"):
        trainer.fit(Module(), DataLoader([1.0, 2.0]))  # type: ignore[arg-type]
