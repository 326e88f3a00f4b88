"""DataModules of sequences and streams: batches, ranks, resuming; prepared tagged corpora."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from fingerprints import fingerprint
from sluice.data.collate import SequenceBatch, SequenceCollator
from sluice.data.corpora.tagged_files import TaggedFiles
from sluice.data.ragged import Ragged, RaggedSequences, Sequences
from sluice.data.sequences import SequenceData, StreamData
from sluice.data.synthetic.counting import Counting
from sluice.data.synthetic.memory_problems import Adding, Echo
from sluice.data.synthetic.tagging import SampleTagging
from sluice.data.tagging import PreparedTags, TagSettings, prepare_tags, scheme_of
from sluice.errors import UserError
from sluice.layers.output_loss import IGNORED
from sluice.text.vocab import PADDING_ID

ADDING = Adding(steps=6, size=50, val_size=30, test_size=33)
ECHO = Echo(delay=2, length=23, chunk_length=5, streams=4, val_streams=3, test_streams=2)
COUNTING = Counting(max_n=40, test_max_n=44, size=30)


def counted(split: str) -> RaggedSequences:
    ids, targets, _ = COUNTING.strings(split)
    return RaggedSequences(ids, targets)


class FakeTrainer:
    """The attributes of a Trainer that DataModules use."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.global_rank, self.world_size = rank, world_size


def on_rank(data: Any, rank: int, world_size: int) -> Any:
    data.trainer = FakeTrainer(rank, world_size)
    return data


def loaders(data: Any) -> dict[str, Any]:
    return {"train": data.train_dataloader(), "val": data.val_dataloader(), "test": data.test_dataloader()}


def test_padded_targets_are_ignored() -> None:
    ragged = RaggedSequences(
        Ragged(np.array([5, 6, 7, 8], dtype=np.int32), np.array([0, 3, 4])),
        Ragged(np.array([1, IGNORED, 0, 2], dtype=np.int32), np.array([0, 3, 4])),
    )
    batch = SequenceCollator(ragged)([1, 0])
    assert batch.inputs.tolist() == [[8, PADDING_ID, PADDING_ID], [5, 6, 7]]
    assert batch.targets.tolist() == [[2, IGNORED, IGNORED], [1, IGNORED, 0]]
    assert batch.lengths.tolist() == [1, 3]
    assert batch.index.tolist() == [1, 0]
    assert (len(batch), batch.tokens, batch.first) == (2, 4, True)


def test_features_and_values_are_unchanged() -> None:
    sequences = ADDING.sequences("train")
    batch = SequenceCollator(sequences)([4, 2])
    assert batch.inputs.dtype == batch.targets.dtype == torch.float32
    np.testing.assert_array_equal(batch.inputs, sequences.inputs[[4, 2]])
    np.testing.assert_array_equal(batch.targets, sequences.targets[[4, 2]])
    assert batch.lengths.tolist() == [6, 6]


def test_lengths_stay_on_the_cpu() -> None:
    moved = SequenceCollator(ADDING.sequences("val"))([0, 1]).to("meta")
    assert moved.inputs.device.type == moved.targets.device.type == "meta"
    assert moved.lengths.device.type == moved.index.device.type == "cpu"


@pytest.mark.parametrize("splits", [ADDING.sequences, counted])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_sequences_are_split_among_the_ranks(splits: Any, world_size: int) -> None:
    for name in ("train", "val", "test"):
        seen: list[int] = []
        numbers = []
        for rank in range(world_size):
            batches = list(loaders(on_rank(SequenceData(splits=splits, batch_size=4), rank, world_size))[name])
            seen += [index for batch in batches for index in batch.index.tolist()]
            numbers.append(len(batches))
        count = len(splits(name).lengths)
        assert set(seen) == set(range(count))
        assert name == "train" or len(seen) == count
        assert name != "train" or len(set(numbers)) == 1


def test_order_depends_on_epoch_and_seed() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = SequenceData(splits=ADDING.sequences, batch_size=4, seed=seed).train_dataloader()
        loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
        return [index for batch in loader for index in batch.index.tolist()]

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: SequenceData(splits=ADDING.sequences, batch_size=4),
        lambda: StreamData(splits=ECHO.sequences, chunk_length=5),
    ],
)
def test_resumed_epoch_skips_processed_batches(make: Any) -> None:
    whole = list(make().train_dataloader())
    resumed = make()
    resumed.load_state_dict({"epoch": 0, "batch": 2})
    rest = list(resumed.train_dataloader())
    assert len(rest) == len(whole) - 2
    for ours, theirs in zip(rest, whole[2:], strict=True):
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)
        assert ours.first == theirs.first


class Recorder(pl.LightningModule):
    """Records the state of the DataModule at every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[dict[str, int]] = []

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self.states.append(self.trainer.datamodule.state_dict())  # type: ignore[attr-defined]

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.filterwarnings("ignore")
def test_state_dict_has_epoch_and_batch() -> None:
    for data in (
        SequenceData(splits=ADDING.sequences, batch_size=4),
        StreamData(splits=ECHO.sequences, chunk_length=5),
    ):
        assert data.state_dict() == {"epoch": 0, "batch": 0}
        quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(max_steps=2, accelerator="cpu", enable_checkpointing=False, limit_val_batches=0, **quiet)
        recorder = Recorder()
        trainer.fit(recorder, datamodule=data)
        assert recorder.states == [{"epoch": 0, "batch": 0}, {"epoch": 0, "batch": 1}]


@pytest.mark.parametrize(("split", "streams"), [("train", 4), ("val", 3), ("test", 2)])
def test_concatenated_chunks_are_the_streams(split: str, streams: int) -> None:
    batches = list(loaders(StreamData(splits=ECHO.sequences, chunk_length=5))[split])
    assert [batch.first for batch in batches] == [True, False, False, False, False]
    assert [batch.lengths.tolist() for batch in batches] == [[5] * streams] * 4 + [[3] * streams]
    whole = ECHO.sequences(split)
    np.testing.assert_array_equal(torch.cat([batch.inputs for batch in batches], 1), whole.inputs)
    np.testing.assert_array_equal(torch.cat([batch.targets for batch in batches], 1), whole.targets)


def test_streams_are_split_among_the_ranks() -> None:
    for split in ("train", "test"):
        parts = [
            torch.cat(
                [
                    batch.inputs
                    for batch in loaders(on_rank(StreamData(splits=ECHO.sequences, chunk_length=5), rank, 2))[split]
                ],
                1,
            )
            for rank in range(2)
        ]
        rows = sorted(row.tolist() for part in parts for row in part)
        assert rows == sorted(ECHO.sequences(split).inputs.tolist())


def test_indivisible_streams_are_refused() -> None:
    with pytest.raises(UserError, match="4 training streams cannot be split among 3 processes"):
        on_rank(StreamData(splits=ECHO.sequences, chunk_length=5), 0, 3).train_dataloader()
    with pytest.raises(UserError, match="test split has 2 streams, too few for 3"):
        on_rank(StreamData(splits=ECHO.sequences, chunk_length=5), 0, 3).test_dataloader()
    few = Sequences(np.zeros((2, 3), dtype=np.int64), np.zeros((2, 3), dtype=np.int64))
    with pytest.raises(UserError, match="val split has 2 sequences, too few for 3"):
        on_rank(SequenceData(splits=lambda _: few), 0, 3).val_dataloader()


def decoded(prepared: PreparedTags, split: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    words, tags = prepared.splits[split]
    return [
        (
            tuple(prepared.vocab.decode(words.flat[start:end])),
            tuple(prepared.tags[i] for i in tags.flat[start:end]),
        )
        for start, end in zip(words.offsets[:-1], words.offsets[1:], strict=True)
    ]


def test_tagged_corpus_is_decoded_from_its_ids(tmp_path: Path) -> None:
    corpus = SampleTagging(size=200, val_size=20, test_size=30)
    prepared = prepare_tags(corpus, TagSettings(), tmp_path)
    assert prepared.tags == ("B-company", "B-person", "B-place", "I-company", "I-person", "I-place", "O")
    assert decoded(prepared, "train") == [tuple(sentence) for sentence in corpus.sentences("train")]
    known = set(prepared.vocab.tokens)
    expected = [
        (tuple(word if word in known else "<unk>" for word in words), tags) for words, tags in corpus.sentences("test")
    ]
    assert decoded(prepared, "test") == expected
    again = prepare_tags(corpus, TagSettings(), tmp_path)
    assert decoded(again, "val") == decoded(prepared, "val")


def test_missing_splits_are_held_out(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("".join(f"w{number} {'AB'[number % 2]}\n\n" for number in range(40)))
    prepared = prepare_tags(TaggedFiles(path=tmp_path / "train.txt"), TagSettings(), tmp_path)
    sizes = {name: len(split.inputs) for name, split in prepared.splits.items()}
    assert sizes == {"train": 32, "val": 4, "test": 4}
    (tmp_path / "test.txt").write_text("w1 A\n")
    corpus = TaggedFiles(path=tmp_path / "train.txt", test_path=tmp_path / "test.txt")
    sizes = {name: len(split.inputs) for name, split in prepare_tags(corpus, TagSettings(), tmp_path).splits.items()}
    assert sizes == {"train": 36, "val": 4, "test": 1}


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("w1 C\n", "line 1: the tag 'C' does not occur in the .*txt, only A, B"),
        ("w1\n", "line 1: words and tags are both in column 1 of 1"),
    ],
)
def test_unknown_tag_is_refused(tmp_path: Path, test: str, message: str) -> None:
    (tmp_path / "train.txt").write_text("".join(f"w{number} {'AB'[number % 2]}\n\n" for number in range(40)))
    (tmp_path / "test.txt").write_text(test)
    corpus = TaggedFiles(path=tmp_path / "train.txt", test_path=tmp_path / "test.txt")
    with pytest.raises(UserError, match=message):
        prepare_tags(corpus, TagSettings(), tmp_path)


@pytest.mark.parametrize(
    ("tags", "setting", "scheme"),
    [
        (("I-x", "O"), "auto", "iob1"),
        (("O", "B-x"), "auto", "iob2"),
        (("B-x", "I-x"), "auto", "iob2"),
        (("S-x", "O"), "auto", "bioes"),
        (("A", "O"), "auto", "none"),
        (("B-x", "O"), "none", "none"),
        (("B-x", "O"), "bilou", "bilou"),
    ],
)
def test_scheme_of_training_tags(tmp_path: Path, tags: tuple[str, str], setting: str, scheme: str) -> None:
    rows = "".join(f"w{number} {tag}\n" for number, tag in enumerate(tags))
    (tmp_path / "train.txt").write_text(f"{rows}\n" * 9)
    prepared = prepare_tags(TaggedFiles(path=tmp_path / "train.txt"), TagSettings(), tmp_path)
    assert scheme_of(prepared, setting) == scheme


def test_too_few_sentences_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a X\nb Y\n" * 9)
    with pytest.raises(UserError, match=r"train\.txt: 1 training sentence is too few .*; end each sentence with"):
        prepare_tags(TaggedFiles(path=tmp_path / "train.txt"), TagSettings(), tmp_path)


def test_rare_tag_stays_in_training(tmp_path: Path) -> None:
    rows = [f"w{number} {f'R{number}' if number < 15 else 'AB'[number % 2]}\n\n" for number in range(40)]
    (tmp_path / "train.txt").write_text("".join(rows))
    prepared = prepare_tags(TaggedFiles(path=tmp_path / "train.txt"), TagSettings(), tmp_path)
    assert set(prepared.tags) == {"A", "B", *(f"R{number}" for number in range(15))}
    assert {name: len(split.inputs) for name, split in prepared.splits.items()} == {"train": 32, "val": 4, "test": 4}


def test_single_tag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a X\n\n" * 9)
    with pytest.raises(UserError, match="all words have the tag 'X'"):
        prepare_tags(TaggedFiles(path=tmp_path / "train.txt"), TagSettings(), tmp_path)


def test_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("a X\n")
    before = fingerprint(TaggedFiles(path=path))
    assert before == fingerprint(TaggedFiles(path=path))
    path.write_text("a Y\n\nb X\n")
    assert before != fingerprint(TaggedFiles(path=path))
    with pytest.raises(UserError, match=r"not\.txt cannot be read"):
        _ = fingerprint(TaggedFiles(path=tmp_path / "not.txt"))
