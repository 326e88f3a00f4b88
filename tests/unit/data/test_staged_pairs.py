"""Training in stages: which pairs an epoch has, on how many ranks, and where it goes on."""

from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightning_fabric.utilities.data import _set_sampler_epoch
from torch.utils.data import DataLoader

from sluice.data.pair_batches import PairBatch
from sluice.data.parallel import PairSettings
from sluice.data.samplers import BucketBatchSampler
from sluice.data.staged_pairs import StagedPairs, climbing
from sluice.data.staged_sampler import StagedBatchSampler
from sluice.data.synthetic.as_pairs import programs_as_pairs
from sluice.data.synthetic.execute import Execute
from sluice.errors import UserError

STAGES, SIZE = 4, 30


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def make_data(cache_dir: Path, *, max_length: int = 500, **options: Any) -> StagedPairs:
    execute = Execute(length=2, nesting=2, curriculum="naive", size=SIZE, val_size=9, test_size=9)
    return StagedPairs(
        corpus=programs_as_pairs(execute),
        settings=PairSettings(unit="chars", min_freq=1, max_length=max_length, max_ratio=500),
        cache_dir=cache_dir,
        batch_size=8,
        stages=STAGES,
        stage_size=SIZE,
        stage_of=climbing(STAGES, epochs=8, share=1.0),
        **options,
    )


def epoch_of(loader: DataLoader[PairBatch], epoch: int) -> list[list[int]]:
    _set_sampler_epoch(loader, epoch)
    return [batch.index.tolist() for batch in loader]


@given(st.integers(1, 20), st.integers(1, 200), st.floats(0.05, 1))
def test_stages_follow_one_another_for_equally_long(stages: int, epochs: int, share: float) -> None:
    passed = [climbing(stages, epochs=epochs, share=share)(epoch) for epoch in range(epochs)]
    assert passed == sorted(passed)
    assert passed[0] == 0
    assert max(passed) <= stages - 1
    lasted = np.bincount(passed, minlength=stages)[:-1]
    assert all(abs(own - share * epochs / stages) < 1.001 for own in lasted)


def test_stages_of_an_epoch_each_and_the_rest() -> None:
    assert [climbing(3, epochs=6, share=0.5)(epoch) for epoch in range(6)] == [0, 1, 2, 2, 2, 2]
    assert [climbing(3, epochs=3, share=0.0)(epoch) for epoch in range(3)] == [2, 2, 2]


def test_an_epoch_has_the_pairs_of_its_stage_once(cache_dir: Path) -> None:
    loader = make_data(cache_dir).train_dataloader()
    for epoch in range(10):
        first = min(epoch // 2, STAGES - 1) * SIZE
        assert sorted(chain(*epoch_of(loader, epoch))) == list(range(first, first + SIZE))
    assert epoch_of(loader, 2) != epoch_of(loader, 3)
    assert len(loader) == 4


def test_ranks_share_a_stage(cache_dir: Path) -> None:
    ranks = []
    for rank in range(3):
        data = make_data(cache_dir)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)  # type: ignore[assignment]
        ranks.append(epoch_of(data.train_dataloader(), 2))
    assert {len(batches) for batches in ranks} == {2}
    assert set(chain(*chain(*ranks))) == set(range(SIZE, 2 * SIZE))


def test_a_run_goes_on_within_a_stage(cache_dir: Path) -> None:
    whole = make_data(cache_dir).train_dataloader()
    data = make_data(cache_dir)
    data.load_state_dict({"epoch": 3, "batch": 2})
    loader = data.train_dataloader()
    for epoch, left_out in ((3, 2), (4, 0)):
        assert epoch_of(loader, epoch) == epoch_of(whole, epoch)[left_out:]


def test_every_split_but_training_is_whole(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    assert sorted(index for batch in data.val_dataloader() for index in batch.index.tolist()) == list(range(9))


def test_no_stage_may_lack_programs(cache_dir: Path) -> None:
    with pytest.raises(UserError, match=r"max_length=20 is too small: \d+ training pairs are longer, and no stage"):
        make_data(cache_dir, max_length=20).train_dataloader()


def test_stages_of_different_length_are_refused() -> None:
    stages = [BucketBatchSampler(np.ones(size, dtype=np.int64), batch_size=2) for size in (4, 6)]
    with pytest.raises(ValueError, match=r"as many batches, got \[2, 3\]"):
        StagedBatchSampler(stages, stage_of=lambda epoch: 0)
