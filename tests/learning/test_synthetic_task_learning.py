"""Each synthetic task is learned at its smallest setting, better than a network without memory could."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from sluice.data.classification import ClassificationData, TextSettings
from sluice.data.ragged import RaggedSequences
from sluice.data.sequences import SequenceData, StreamData
from sluice.data.synthetic.counting import SYMBOLS, Counting
from sluice.data.synthetic.memory_problems import BASELINE, Adding, Copying, Echo
from sluice.data.synthetic.tagging import SampleTagging
from sluice.data.synthetic.temporal_order import TemporalOrder
from sluice.data.synthetic.waves import Waves, last_step_error, linear_model
from sluice.data.tagging import TagSettings, prepare_tags
from sluice.layers.embedding import make_embedding
from sluice.models.classifier import TextClassifier
from sluice.models.regressor import Regressor
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.modules.base import Monitor
from sluice.modules.classification import ClassificationModule
from sluice.modules.regression import RegressionModule
from sluice.modules.sequence_labelling import SequenceLabellingModule
from sluice.recurrent import RecurrentStack
from sluice.text.tokenization import Tokenization
from sluice.text.vocab import PADDING_ID

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

UNITS = 64
SHARED: dict[str, Any] = {"monitor": Monitor("val/loss", "min"), "optimizer": partial(torch.optim.Adam, lr=5e-3)}


def figures_of(task: Any, data: Any, *, epochs: int) -> dict[str, float]:
    """Trains and returns the test metrics."""
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        gradient_clip_val=1.0,
        enable_checkpointing=False,
        limit_val_batches=0,
        **quiet,
    )
    trainer.fit(task, datamodule=data)
    (figures,) = trainer.test(task, datamodule=data, verbose=False)
    return {name.removeprefix("test/"): value for name, value in figures.items()}


def one_hot_labeller(ids: int, outputs: int, cell: str = "lstm") -> SequenceLabeller:
    torch.manual_seed(1)
    words = make_embedding("onehot", vocab_size=ids, size=1, padding_id=PADDING_ID, word_dropout=0.0)
    stack = RecurrentStack(cell=cell, input_size=ids, hidden_size=UNITS, one_hot=True)
    return SequenceLabeller(embedding=words, recurrent=stack, num_outputs=outputs)


def test_temporal_order_is_learned(tmp_path: Path) -> None:
    corpus = TemporalOrder(level="easy", size=3000, val_size=100, test_size=1000)
    data = ClassificationData(
        corpus=corpus, settings=TextSettings(tokens=Tokenization(tokenizer="whitespace")), cache_dir=tmp_path
    )
    size = len(data.prepared.vocab)
    torch.manual_seed(1)
    words = make_embedding("onehot", vocab_size=size, size=1, padding_id=PADDING_ID, word_dropout=0.0)
    stack = RecurrentStack(cell="gru", input_size=size, hidden_size=UNITS, one_hot=True)
    network = TextClassifier(embedding=words, recurrent=stack, num_classes=4, pooling="last")
    assert (
        figures_of(ClassificationModule(network=network, labels=corpus.labels, **SHARED), data, epochs=4)["accuracy"]
        > 0.99
    )


def test_adding_beats_the_baseline() -> None:
    adding = Adding(steps=10, size=6000, val_size=100, test_size=1000)
    torch.manual_seed(1)
    stack = RecurrentStack(cell="lstm", input_size=2, hidden_size=UNITS)
    task = RegressionModule(network=Regressor(recurrent=stack), **SHARED)
    assert figures_of(task, SequenceData(splits=adding.sequences, batch_size=32), epochs=5)["loss"] < BASELINE / 50


def test_copying_is_learned() -> None:
    copying = Copying(delay=3, length=4, size=8000, test_size=500)
    task = SequenceLabellingModule(network=one_hot_labeller(copying.num_ids, copying.num_ids), **SHARED)
    figures = figures_of(task, SequenceData(splits=copying.sequences, batch_size=32), epochs=8)
    assert figures["exact"] > 0.85
    assert figures["loss"] < copying.baseline / 10


def test_echo_needs_the_carried_state() -> None:
    echo = Echo(delay=3, length=400, chunk_length=4, streams=32)
    carried, fresh = (
        figures_of(
            SequenceLabellingModule(network=one_hot_labeller(2, 2, "rnn"), carry_state=carry, **SHARED),
            StreamData(splits=echo.sequences, chunk_length=echo.chunk_length),
            epochs=6,
        )
        for carry in (True, False)
    )
    assert carried["accuracy"] > 0.99
    assert fresh["accuracy"] < 0.8


@pytest.mark.parametrize("language", ["anbn", "anbncn"])
def test_counting_is_learned(language: str) -> None:
    counting = Counting(language=language, max_n=12, test_max_n=13, size=3000)

    def determined(split: str) -> RaggedSequences:
        strings = counting.strings("val" if split == "test" else split)
        return RaggedSequences(strings.ids, strings.determined)

    task = SequenceLabellingModule(network=one_hot_labeller(len(SYMBOLS), len(SYMBOLS)), **SHARED)
    assert figures_of(task, SequenceData(splits=determined, batch_size=32), epochs=10)["exact"] == 1


def test_waves_beat_a_linear_model() -> None:
    waves = Waves(steps=30, size=3000, val_size=100, test_size=500)
    torch.manual_seed(1)
    stack = RecurrentStack(cell="gru", input_size=1, hidden_size=UNITS)
    task = RegressionModule(network=SequenceLabeller(recurrent=stack, num_outputs=waves.horizon), **SHARED)
    figures = figures_of(task, SequenceData(splits=waves.sequences, batch_size=32), epochs=5)
    test = waves.sequences("test")
    assert figures["last_step"] < last_step_error(linear_model(waves.sequences("train"), test), test)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_tagging_needs_both_directions(tmp_path: Path, bidirectional: bool) -> None:
    prepared = prepare_tags(SampleTagging(size=2000), TagSettings(), tmp_path)
    torch.manual_seed(1)
    words = make_embedding("learned", vocab_size=len(prepared.vocab), size=32, padding_id=PADDING_ID, word_dropout=0.0)
    stack = RecurrentStack(cell="lstm", input_size=32, hidden_size=32, bidirectional=bidirectional)
    network = SequenceLabeller(embedding=words, recurrent=stack, num_outputs=len(prepared.tags))
    task = SequenceLabellingModule(network=network, tags=prepared.tags, scheme="iob2", **SHARED)
    figures = figures_of(task, SequenceData(splits=lambda split: prepared.splits[split], batch_size=32), epochs=6)
    assert (figures["f1"] > 0.97) == bidirectional
    assert figures["f1"] > 0.4
