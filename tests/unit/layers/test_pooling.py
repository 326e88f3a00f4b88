"""Every pooling equals a plain loop over the steps of each sequence."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sluice.layers.pooling import AttentionPooling, Pooling, PoolingOutput, make_pooling, step_mask
from sluice.options import POOLINGS

torch.set_num_threads(1)  # these tensors are tiny: threads only wait for each other

SIZE = 4
every_kind = pytest.mark.parametrize("kind", POOLINGS)


def attend(pooling: Pooling, own: Tensor) -> Tensor:
    assert isinstance(pooling, AttentionPooling)
    scores = [pooling.query(pooling.hidden(step).tanh()).exp() for step in own]
    return sum(score * step for score, step in zip(scores, own, strict=True)) / sum(scores)  # type: ignore[return-value]


# of the steps (length, SIZE) of one sequence
PLAIN: dict[str, Callable[[Pooling, Tensor], Tensor]] = {
    "last": lambda pooling, own: own[-1],
    "max": lambda pooling, own: own.max(0).values,
    "mean": lambda pooling, own: own.mean(0),
    "max_mean": lambda pooling, own: torch.cat([own.max(0).values, own.mean(0)]),
    "last_max_mean": lambda pooling, own: torch.cat([own[-1], own.max(0).values, own.mean(0)]),
    "attention": attend,
}


def random_outputs(lengths: list[int], surplus: int) -> Tensor:
    """(B, T, SIZE), all negative, so that a zero from the padding would be the largest; zero beyond each length."""
    steps = max(lengths) + surplus
    outputs = -torch.rand(len(lengths), steps, SIZE, dtype=torch.float64) - 0.5
    return outputs * mask_of(lengths, steps).unsqueeze(-1)


def mask_of(lengths: list[int], steps: int) -> Tensor:
    return step_mask(torch.tensor(lengths), steps, torch.device("cpu"))


def pool(pooling: Pooling, outputs: Tensor, lengths: list[int]) -> PoolingOutput:
    last = torch.stack([row[length - 1] for row, length in zip(outputs, lengths, strict=True)])
    return pooling(outputs, mask_of(lengths, outputs.shape[1]), last)


@every_kind
@settings(deadline=None, max_examples=25, derandomize=True)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), surplus=st.integers(0, 2), training=st.booleans())
def test_pooling_equals_a_loop_over_valid_steps(kind: str, lengths: list[int], surplus: int, training: bool) -> None:
    pooling, outputs = make_pooling(kind, SIZE).double().train(training), random_outputs(lengths, surplus)
    outputs.requires_grad_()
    vector = pool(pooling, outputs, lengths).vector
    expected = torch.stack([PLAIN[kind](pooling, row[:length]) for row, length in zip(outputs, lengths, strict=True)])
    assert vector.shape == (len(lengths), pooling.output_size)
    torch.testing.assert_close(vector, expected)
    weights = torch.randn_like(vector)
    ours, theirs = (torch.autograd.grad((pooled * weights).sum(), outputs)[0] for pooled in (vector, expected))
    own = mask_of(lengths, outputs.shape[1])
    torch.testing.assert_close(ours[own], theirs[own])


@every_kind
def test_padding_does_not_change_the_result(kind: str) -> None:
    lengths, pooling = [2, 4, 1], make_pooling(kind, SIZE).double()
    outputs = random_outputs(lengths, 0)
    longer = torch.cat([outputs, outputs.new_zeros(3, 3, SIZE)], 1)
    torch.testing.assert_close(pool(pooling, longer, lengths).vector, pool(pooling, outputs, lengths).vector)


@every_kind
def test_only_attention_has_weights(kind: str) -> None:
    lengths = [2, 4, 1]
    weights = pool(make_pooling(kind, SIZE).double(), random_outputs(lengths, 2), lengths).weights
    assert (weights is not None) == (kind == "attention")


def test_attention_weights_sum_to_one_over_valid_steps() -> None:
    lengths = [2, 6, 1]
    weights = pool(make_pooling("attention", SIZE).double(), random_outputs(lengths, 2), lengths).weights
    assert weights is not None
    own = mask_of(lengths, 8)
    torch.testing.assert_close(weights.sum(1), torch.ones(3, dtype=torch.float64))
    assert (weights[~own] == 0).all()
    assert (weights[own] > 0).all()


def test_step_mask_is_true_on_valid_steps() -> None:
    assert mask_of([1, 3], 4).tolist() == [[True, False, False, False], [True, True, True, False]]


def test_unknown_kind_error_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"'avg'.*last, max, mean, max_mean, last_max_mean, attention"):
        make_pooling("avg", SIZE)
