"""What every DataModule of Sluice looks like to the rest of the program."""

from typing import Protocol

from torch.utils.data import DataLoader

from sluice.data.collate import Batch
from sluice.data.corpus import Corpus
from sluice.data.identity import DataIdentity


class Data(Protocol):
    """A LightningDataModule over a corpus."""

    @property
    def corpus(self) -> Corpus:
        """What it reads."""

    @property
    def identity(self) -> DataIdentity:
        """Its sources and splits, for comparison when a model is used or resumed."""

    def prepare_data(self) -> None:
        """Prepares and caches."""

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training split."""

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation split."""

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split."""
