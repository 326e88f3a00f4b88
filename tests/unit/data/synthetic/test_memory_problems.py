"""Adding, copying and echo against their definitions, and their baselines."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sluice.data.corpus import SPLITS
from sluice.data.synthetic.memory_problems import BASELINE, Adding, Copying, Echo
from sluice.errors import UserError
from sluice.layers.output_loss import IGNORED

SIZES = {"size": 30, "val_size": 10, "test_size": 20}
STREAMS = {"streams": 5, "val_streams": 2, "test_streams": 3}
MAKERS = [
    lambda seed: Adding(steps=9, **SIZES, seed=seed),
    lambda seed: Copying(delay=4, **SIZES, seed=seed),
    lambda seed: Echo(length=30, **STREAMS, seed=seed),
]


@given(st.integers(2, 30), st.integers(0, 999))
def test_target_is_the_sum_of_two_marked_numbers(steps: int, seed: int) -> None:
    inputs, targets = Adding(steps=steps, **SIZES, seed=seed).sequences("train")
    assert inputs.shape == (30, steps, 2)
    assert inputs.dtype == targets.dtype == np.float32
    assert ((inputs[..., 0] >= 0) & (inputs[..., 0] < 1)).all()
    for row, target in zip(inputs, targets, strict=True):
        marked = np.flatnonzero(row[:, 1] == 1)
        assert len(marked) == 2
        assert (row[:, 1] != 0).sum() == 2
        assert target == row[marked[0], 0] + row[marked[1], 0]


def test_marked_positions_are_uniform() -> None:
    inputs, _ = Adding(steps=4, size=6000, seed=0).sequences("train")
    pairs, counts = np.unique(inputs[..., 1], axis=0, return_counts=True)
    assert len(pairs) == 6
    np.testing.assert_allclose(counts / 6000, 1 / 6, atol=0.02)


def test_adding_baseline_is_the_error_of_a_constant() -> None:
    _, targets = Adding(steps=5, size=100_000).sequences("train")
    assert np.square(targets - 1).mean() == pytest.approx(BASELINE, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(4, 9), st.integers(4, 12))
def test_copying_repeats_the_symbols_after_the_mark(delay: int, length: int, symbols: int) -> None:
    copying = Copying(delay=delay, length=length, symbols=symbols, **SIZES)
    inputs, targets = copying.sequences("val")
    assert inputs.shape == targets.shape == (10, delay + 2 * length) == (10, copying.steps)
    for row, target in zip(inputs, targets, strict=True):
        symbol_part, blanks, end = row[:length], row[length : length + delay - 1], row[length + delay - 1 :]
        assert ((symbol_part >= 1) & (symbol_part <= symbols)).all()
        assert (blanks == 0).all()
        assert end.tolist() == [symbols + 1] + [0] * length
        assert (target[: delay + length] == 0).all()
        assert target[delay + length :].tolist() == symbol_part.tolist()
    assert copying.num_ids == symbols + 2


def test_copying_baseline_is_the_loss_without_memory() -> None:
    copying = Copying(delay=20, length=5, symbols=4, size=50)
    _, targets = copying.sequences("train")
    probabilities = torch.zeros(copying.steps, copying.num_ids)
    probabilities[:-5, 0] = 1
    probabilities[-5:, 1:5] = 1 / 4
    logits = probabilities.log().clamp_min(-1e9).expand(50, -1, -1)
    loss = F.cross_entropy(logits.reshape(-1, copying.num_ids), torch.from_numpy(targets).reshape(-1))
    assert loss.item() == pytest.approx(copying.baseline, rel=1e-5)


@given(st.integers(0, 15), st.integers(0, 99))
def test_echo_repeats_the_stream_with_a_delay(delay: int, seed: int) -> None:
    inputs, targets = Echo(delay=delay, length=30, **STREAMS, seed=seed).sequences("train")
    assert inputs.shape == targets.shape == (5, 30)
    assert set(np.unique(inputs)) <= {0, 1}
    for time in range(30):
        expected = inputs[:, time - delay] if time >= delay else np.full(5, IGNORED)
        np.testing.assert_array_equal(targets[:, time], expected)


@pytest.mark.parametrize("make", MAKERS, ids=["adding", "copying", "echo"])
def test_seeds_repeat_and_splits_are_disjoint(make: object) -> None:
    seen: set[bytes] = set()
    for split in SPLITS:
        first, same, other = (make(seed).sequences(split) for seed in (3, 3, 4))  # type: ignore[operator]
        np.testing.assert_array_equal(first.inputs, same.inputs)
        assert (first.inputs != other.inputs).any()
        rows = {row.tobytes() for row in first.inputs}
        assert not rows & seen
        seen |= rows
        assert first.lengths.tolist() == [first.inputs.shape[1]] * len(first.inputs)
    assert len(first.inputs) == make(3).sizes["test"]  # type: ignore[operator]


def test_too_few_different_sequences_are_refused() -> None:
    """Two symbols give two sequences, too few for three splits."""
    makers = [Copying(length=1, symbols=2, seed=seed) for seed in range(4)]
    for copying in makers:
        with pytest.raises(UserError, match="too few different sequences"):
            _ = [copying.sequences(split) for split in SPLITS]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adding(steps=1), "steps=1 is too small: choose 2"),
        (lambda: Adding(size=0), "size=0"),
        (lambda: Copying(delay=0), "delay=0"),
        (lambda: Copying(symbols=1), "symbols=1 is too small: choose 2"),
        (lambda: Echo(delay=30, length=30), "delay=30 must be below the length=30 of a stream"),
        (lambda: Echo(delay=-1), "delay=-1"),
        (lambda: Echo(length=10, chunk_length=11), "chunk_length=11 is longer than a stream of length=10"),
    ],
)
def test_invalid_settings_are_refused(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]
