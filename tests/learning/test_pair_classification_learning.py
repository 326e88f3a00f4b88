"""A pair classifier generalises to words absent from training, and reports the words that decide the class."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from sluice.data.pair_encoding import CharNgramSettings
from sluice.data.synthetic.text_pairs import SamplePairs
from sluice.data.text_pairs import TextPairData
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.models.pair_classifier import PairClassifier
from sluice.modules.base import Monitor
from sluice.modules.pairs import PairModule
from sluice.recurrent import RecurrentStack

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_pair_classifier_generalises_to_unseen_words(tmp_path: Path) -> None:
    corpus, settings = SamplePairs(size=5000, val_size=100, test_size=500, seed=1), CharNgramSettings()
    data = TextPairData(corpus=corpus, settings=settings, cache_dir=tmp_path, batch_size=32)
    torch.manual_seed(1)
    network = PairClassifier(
        embedding=CharNgramEmbedding(buckets=settings.buckets, size=32, initial_std=0.3),
        recurrent=RecurrentStack(cell="rnn", input_size=32, hidden_size=16, bidirectional=True),
        num_classes=2,
        size=64,
        output_dropout=0.3,
    )
    optimizer = partial(torch.optim.Adam, lr=2e-3)
    monitor = Monitor("val/loss", "min")
    task = PairModule(
        network=network, monitor=monitor, labels=corpus.labels, optimizer=optimizer, has_deciding_words=True
    )
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        max_epochs=4,
        accelerator="cpu",
        gradient_clip_val=1.0,
        enable_checkpointing=False,
        limit_val_batches=0,
        **quiet,
    )
    trainer.fit(task, datamodule=data)
    (figures,) = trainer.test(task, datamodule=data, verbose=False)
    assert figures["test/accuracy"] > 0.95
    assert figures["test/deciding_found"] > 0.9
    seen, new = ({word for pair in corpus.pairs(split) for word in pair.first.split()} for split in ("train", "test"))
    assert len(new - seen) > 100, "a word vocabulary would not suffice"
