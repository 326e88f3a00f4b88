"""The DataModules of sentence pairs."""

from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_fabric.utilities.data import _set_sampler_epoch
from torch.utils.data import DataLoader

from sluice.config.tasks.translation import Multi30k
from sluice.data import samplers
from sluice.data.collate import ParallelBatch, ParallelCollator, Resegmentation
from sluice.data.parallel import ParallelSettings
from sluice.data.ragged import Lines, ParallelSplit, Ragged
from sluice.data.samplers import BucketBatchSampler, StagedBatchSampler
from sluice.data.synthetic.execute import Execute, programs_as_pairs
from sluice.data.synthetic.parallel import SampleParallel
from sluice.data.translation import StagedTranslationData, TranslationData, curriculum_stages
from sluice.errors import UserError
from sluice.recipes.multi30k import Multi30kRecipe
from sluice.text.bpe_dropout import BPEDropout
from sluice.text.coder import BOS_ID, EOS_ID
from sluice.text.vocab import PADDING_ID

SIZES = {"train": 90, "val": 50, "test": 50}


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def make_data(cache_dir: Path, **options: Any) -> TranslationData:
    settings = ParallelSettings(min_freq=1)
    options = {"batch_size": 8} | options
    return TranslationData(corpus=SampleParallel(size=90), settings=settings, cache_dir=cache_dir, **options)


def loader_of(data: TranslationData, split: str) -> DataLoader[ParallelBatch]:
    return {"train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader}[split]()


def read_indices(loader: DataLoader[ParallelBatch]) -> list[int]:
    return torch.cat([batch.index for batch in loader]).tolist()


@pytest.mark.parametrize("split", SIZES)
def test_batches_hold_the_padded_pairs(cache_dir: Path, split: str) -> None:
    data = make_data(cache_dir)
    pairs = [pair for pair in data.corpus.pairs() if pair.split == split]
    for batch in loader_of(data, split):
        for row, index in enumerate(batch.index.tolist()):
            source, target = batch.source[row].tolist(), batch.target[row].tolist()
            length, steps = int(batch.source_lengths[row]), int(batch.target_lengths[row])
            assert source[:length] == data.prepared.source.source_ids(pairs[index].source)
            assert target[: steps + 1] == [BOS_ID, *data.prepared.target.encode(pairs[index].target), EOS_ID]
            assert set(source[length:] + target[steps + 1 :]) <= {PADDING_ID}
        assert batch.source.shape[1] == batch.source_lengths.max()
        assert batch.target.shape[1] == batch.target_lengths.max() + 1


def test_labels_are_inputs_shifted_by_one_step(cache_dir: Path) -> None:
    batch = next(iter(make_data(cache_dir).train_dataloader()))
    assert torch.equal(batch.inputs[:, 1:], batch.labels[:, :-1])
    assert (batch.inputs[:, 0] == BOS_ID).all()
    assert (batch.labels.gather(1, batch.target_lengths.unsqueeze(1) - 1) == EOS_ID).all()
    assert batch.tokens == (batch.labels != PADDING_ID).sum()


@pytest.mark.parametrize("split", SIZES)
def test_every_pair_is_yielded_once_with_texts_in_evaluation(cache_dir: Path, split: str) -> None:
    data = make_data(cache_dir)
    batches = list(loader_of(data, split))
    assert sorted(chain(*(batch.index.tolist() for batch in batches))) == list(range(SIZES[split]))
    lines = data.prepared.splits[split]
    for batch in batches:
        expected = [] if split == "train" else batch.index.tolist()
        assert batch.source_texts == [lines.source_lines[i] for i in expected]
        assert batch.target_texts == [lines.target_lines[i] for i in expected]


def test_pairs_of_a_batch_have_similar_lengths(cache_dir: Path) -> None:
    loader = make_data(cache_dir, batch_size=9).train_dataloader()
    batches = list(loader)
    targets = sum(batch.tokens for batch in batches) / sum(batch.labels.numel() for batch in batches)
    sources = sum(int(batch.source_lengths.sum()) for batch in batches) / sum(b.source.numel() for b in batches)
    assert targets > 0.93
    assert sources > 0.85


def test_sort_keys_compare_targets_first_then_sources(cache_dir: Path) -> None:
    split = make_data(cache_dir).prepared.splits["train"]
    keys, scale = split.sort_keys()
    expected = np.lexsort((split.source.lengths, split.target.lengths))
    assert np.array_equal(np.argsort(keys, kind="stable"), expected)
    assert np.array_equal(keys // scale, split.target.lengths - 1)


def test_max_tokens_limits_padded_training_targets(cache_dir: Path) -> None:
    data = make_data(cache_dir, max_tokens=64, batch_size=50)
    sizes = [batch.labels.numel() for batch in data.train_dataloader()]
    assert max(sizes) <= 64
    assert sorted(sizes)[len(sizes) // 2] > 40
    assert max(batch.labels.numel() for batch in data.val_dataloader()) > 64
    with pytest.raises(UserError, match=r"max_tokens=10 is too small: the longest target has \d\d tokens"):
        make_data(cache_dir, max_tokens=10).train_dataloader()


def test_long_pair_does_not_shrink_other_evaluation_batches(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "EVALUATION_TOKENS", 8 * 20)
    assert sorted(len(batch) for batch in make_data(cache_dir).val_dataloader()) == [2, 8, 8, 8, 8, 8, 8]


def test_max_tokens_limits_evaluation_batches_too(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "EVALUATION_TOKENS", 1)
    data = make_data(cache_dir, max_tokens=64, batch_size=50)
    assert 40 < max(batch.labels.numel() for batch in data.val_dataloader()) <= 64


@pytest.mark.parametrize("split", SIZES)
def test_pairs_are_split_among_the_ranks(cache_dir: Path, split: str) -> None:
    ranks = []
    for rank in range(3):
        data = make_data(cache_dir)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)  # type: ignore[assignment]
        ranks.append([batch.index.tolist() for batch in loader_of(data, split)])
    pairs = list(chain(*chain(*ranks)))
    assert set(pairs) == set(range(SIZES[split]))
    if split == "train":
        assert {len(batches) for batches in ranks} == {4}
    else:
        assert len(pairs) == SIZES[split]
        assert all(ranks)


def test_extra_beams_decode_the_pairs_of_all_ranks(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    data.trainer = SimpleNamespace(global_rank=0, world_size=2)  # type: ignore[assignment]
    config: Any = SimpleNamespace(task=Multi30k(extra_beams=[2, 3]))
    module: Any = SimpleNamespace(decode_and_score=lambda batches, decoding: {"pairs": sum(map(len, batches))})
    found = Multi30kRecipe().extra_metrics(config, data, module)
    assert found == {"test/pairs_beam_2": SIZES["test"], "test/pairs_beam_3": SIZES["test"]}


def test_fewer_pairs_than_ranks_are_refused(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    data.trainer = SimpleNamespace(global_rank=0, world_size=51)  # type: ignore[assignment]
    with pytest.raises(UserError, match="the val split has 50 pairs, too few for 51 processes"):
        data.val_dataloader()


def test_resumed_epoch_skips_processed_batches(cache_dir: Path) -> None:
    whole = make_data(cache_dir, seed=5).train_dataloader()
    data = make_data(cache_dir, seed=5)
    data.load_state_dict({"epoch": 1, "batch": 4})
    loader = data.train_dataloader()
    for epoch, left_out in ((1, 32), (2, 0)):
        for each in (whole, loader):
            _set_sampler_epoch(each, epoch)
        assert read_indices(loader) == read_indices(whole)[left_out:]
        assert len(loader) == len(whole)


def test_training_order_depends_on_seed_and_epoch(cache_dir: Path) -> None:
    loader = make_data(cache_dir, seed=1).train_dataloader()
    first = read_indices(loader)
    _set_sampler_epoch(loader, 1)
    assert read_indices(loader) != first
    assert read_indices(make_data(cache_dir, seed=1).train_dataloader()) == first
    assert read_indices(make_data(cache_dir, seed=2).train_dataloader()) != first


def test_dropped_pairs_are_logged(cache_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = ParallelSettings(min_freq=1, max_length=8)
    TranslationData(corpus=SampleParallel(size=90), settings=settings, cache_dir=cache_dir).prepare_data()
    assert "training pairs longer than 8 tokens." in caplog.text


def test_batch_moves_to_a_device(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    batch = ParallelCollator(data.prepared.splits["val"], with_texts=True)([0, 1, 2])
    moved = batch.to("meta")
    assert (moved.source.device.type, moved.target.device.type) == ("meta", "meta")
    assert {tensor.device.type for tensor in (moved.source_lengths, moved.target_lengths, moved.index)} == {"cpu"}
    assert (len(moved), moved.tokens, moved.source_texts) == (3, batch.tokens, batch.source_texts)


STAGES, SIZE = 4, 30


def staged_data(cache_dir: Path, *, max_length: int = 500, **options: Any) -> StagedTranslationData:
    execute = Execute(length=2, nesting=2, curriculum="naive", size=SIZE, val_size=9, test_size=9)
    return StagedTranslationData(
        corpus=programs_as_pairs(execute),
        settings=ParallelSettings(unit="chars", min_freq=1, max_length=max_length, max_ratio=500),
        cache_dir=cache_dir,
        batch_size=8,
        stages=STAGES,
        stage_size=SIZE,
        stage_of=curriculum_stages(STAGES, epochs=8, fraction=1.0),
        **options,
    )


def epoch_of(loader: DataLoader[ParallelBatch], epoch: int) -> list[list[int]]:
    _set_sampler_epoch(loader, epoch)
    return [batch.index.tolist() for batch in loader]


@given(st.integers(1, 20), st.integers(1, 200), st.floats(0.05, 1))
def test_stages_divide_the_epochs_equally(stages: int, epochs: int, fraction: float) -> None:
    passed = [curriculum_stages(stages, epochs=epochs, fraction=fraction)(epoch) for epoch in range(epochs)]
    assert passed == sorted(passed)
    assert passed[0] == 0
    assert max(passed) <= stages - 1
    durations = np.bincount(passed, minlength=stages)[:-1]
    assert all(abs(duration - fraction * epochs / stages) < 1.001 for duration in durations)


def test_last_stage_continues() -> None:
    assert [curriculum_stages(3, epochs=6, fraction=0.5)(epoch) for epoch in range(6)] == [0, 1, 2, 2, 2, 2]
    assert [curriculum_stages(3, epochs=3, fraction=0.0)(epoch) for epoch in range(3)] == [2, 2, 2]


def test_epoch_has_the_pairs_of_its_stage(cache_dir: Path) -> None:
    loader = staged_data(cache_dir).train_dataloader()
    for epoch in range(10):
        first = min(epoch // 2, STAGES - 1) * SIZE
        assert sorted(chain(*epoch_of(loader, epoch))) == list(range(first, first + SIZE))
    assert epoch_of(loader, 2) != epoch_of(loader, 3)
    assert len(loader) == 4


def test_stage_is_split_among_the_ranks(cache_dir: Path) -> None:
    ranks = []
    for rank in range(3):
        data = staged_data(cache_dir)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)  # type: ignore[assignment]
        ranks.append(epoch_of(data.train_dataloader(), 2))
    assert {len(batches) for batches in ranks} == {2}
    assert set(chain(*chain(*ranks))) == set(range(SIZE, 2 * SIZE))


def test_resumed_stage_skips_processed_batches(cache_dir: Path) -> None:
    whole = staged_data(cache_dir).train_dataloader()
    data = staged_data(cache_dir)
    data.load_state_dict({"epoch": 3, "batch": 2})
    loader = data.train_dataloader()
    for epoch, left_out in ((3, 2), (4, 0)):
        assert epoch_of(loader, epoch) == epoch_of(whole, epoch)[left_out:]


def test_evaluation_has_no_stages(cache_dir: Path) -> None:
    data = staged_data(cache_dir)
    assert sorted(index for batch in data.val_dataloader() for index in batch.index.tolist()) == list(range(9))


def test_dropped_programs_are_refused(cache_dir: Path) -> None:
    with pytest.raises(UserError, match=r"max_length=20 is too small: \d+ training pairs are longer, but"):
        staged_data(cache_dir, max_length=20).train_dataloader()


def test_stages_of_different_lengths_are_refused() -> None:
    stages = [BucketBatchSampler(np.ones(size, dtype=np.int64), batch_size=2) for size in (4, 6)]
    with pytest.raises(ValueError, match=r"equal numbers of batches, got \[2, 3\]"):
        StagedBatchSampler(stages, stage_of=lambda epoch: 0)


class TestSubwordDropout:
    """`subword_dropout`: training sentences are segmented anew in each epoch, others never."""

    SETTINGS = ParallelSettings(unit="subwords", subword_size=350, lowercase=True)

    def data(self, cache_dir: Path, dropout: float, **options: Any) -> TranslationData:
        settings = replace(self.SETTINGS, subword_dropout=dropout, **options)
        return TranslationData(corpus=SampleParallel(size=90), settings=settings, cache_dir=cache_dir)

    @staticmethod
    def segmentations(data: TranslationData, epoch: int, workers: int = 0) -> dict[int, tuple[list[int], list[int]]]:
        """Pieces of source and target of each training pair."""
        data.num_workers = workers
        loader, rows = data.train_dataloader(), {}
        _set_sampler_epoch(loader, epoch)
        for batch in loader:
            for at, index in enumerate(batch.index.tolist()):
                source = batch.source[at, : batch.source_lengths[at]]
                target = batch.target[at, : batch.target_lengths[at] + 1]
                rows[index] = (source.tolist(), target.tolist())
        return rows

    @pytest.mark.parametrize("max_tokens", [None, 400])
    def test_changes_training_sentences_in_each_epoch(self, cache_dir: Path, max_tokens: int | None) -> None:
        data = self.data(cache_dir, 0.5)
        data.batch_size, data.max_tokens = 90, max_tokens  # the batches are the same in every epoch
        epochs = [self.segmentations(data, epoch) for epoch in range(2)]
        given = data.prepared.splits["train"]
        for side, (coder, texts) in enumerate(
            [(data.prepared.source, given.source), (data.prepared.target, given.target)]
        ):
            for rows in epochs:
                joined = {i: "".join(coder.vocab.decode(row[side])) for i, row in rows.items()}
                assert joined == {i: "".join(coder.vocab.decode(texts[i])) for i in range(len(texts))}
            assert np.mean([epochs[0][i][side] != epochs[1][i][side] for i in range(len(texts))]) > 0.9
            assert np.mean([epochs[0][i][side] != texts[i].tolist() for i in range(len(texts))]) > 0.9

    def test_sides_with_a_joint_vocabulary_differ(self, cache_dir: Path) -> None:
        same = ParallelSplit(*[Ragged.from_rows([[4, 5, 6, 7, 4, 5, 6, 7]] * 20)] * 2, *[Lines.of(["x"] * 20)] * 2)
        dropout = BPEDropout(["<unk>", "<pad>", "<bos>", "<eos>", "a", "b", "c", "d", "ab", "cd"], 0.5)
        source, target = Resegmentation(dropout, dropout)(same, np.arange(20))
        assert [source[i].tolist() for i in range(20)] != [target[i].tolist() for i in range(20)]

    def test_is_the_same_after_resuming_and_in_workers(self, cache_dir: Path) -> None:
        complete = self.segmentations(self.data(cache_dir, 0.5), epoch=1)
        assert self.segmentations(self.data(cache_dir, 0.5), epoch=1, workers=1) == complete
        resumed = self.data(cache_dir, 0.5)
        resumed.load_state_dict({"epoch": 1, "batch": 0})
        assert self.segmentations(resumed, epoch=1) == complete
        resumed.batch_size = 20
        whole = self.segmentations(resumed, epoch=1)
        resumed.load_state_dict({"epoch": 1, "batch": 2})
        rest = self.segmentations(resumed, epoch=1)
        assert 0 < len(rest) < len(whole)
        assert rest.items() <= whole.items()

    def test_leaves_validation_sentences_as_they_are(self, cache_dir: Path) -> None:
        for one, other in zip(
            self.data(cache_dir, 0.0).val_dataloader(), self.data(cache_dir, 0.5).val_dataloader(), strict=True
        ):
            assert torch.equal(one.source, other.source)
            assert torch.equal(one.target, other.target)

    def test_leaves_symbols_as_they_are(self, cache_dir: Path) -> None:
        data = self.data(cache_dir, 1.0, symbols=True)
        given = data.prepared.splits["train"]
        for batch in data.train_dataloader():
            for at, index in enumerate(batch.index.tolist()):
                assert batch.source[at, : batch.source_lengths[at]].tolist() == given.source[index].tolist()
                assert batch.target_lengths[at] > len(given.target[index])

    @pytest.mark.parametrize("options", [{"unit": "words"}, {"subwords": "unigram"}])
    def test_other_units_are_refused(self, options: dict[str, str]) -> None:
        with pytest.raises(UserError, match=r"task\.text\.subword_dropout=0\.5 needs byte-pair encoding"):
            replace(self.SETTINGS, subword_dropout=0.5, **options).check()  # type: ignore[arg-type]
