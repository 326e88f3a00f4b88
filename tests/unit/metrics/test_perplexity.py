"""Loss, perplexity and bits per token, over batches of any size and over ranks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sluice.metrics.perplexity import BitsPerToken, Perplexity, TokenLoss

batches = st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 5000)), min_size=1, max_size=8).filter(
    lambda found: sum(tokens for _, tokens in found) > 0
)


@given(batches)
def test_metrics_do_not_depend_on_the_batches(found: list[tuple[float, int]]) -> None:
    nll, tokens = math.fsum(own for own, _ in found), sum(count for _, count in found)
    metrics = TokenLoss(), Perplexity(), BitsPerToken()
    for metric in metrics:
        for own, count in found:
            metric.update(torch.tensor(own, dtype=torch.float64), count)
    loss = nll / tokens
    assert float(metrics[0].compute()) == pytest.approx(loss)
    assert float(metrics[2].compute()) == pytest.approx(loss / math.log(2))
    if loss < 500:
        assert float(metrics[1].compute()) == pytest.approx(math.exp(loss))


def test_perplexity_is_not_a_mean_of_perplexities() -> None:
    metric = Perplexity()
    metric.update(torch.tensor(0.0), 30)
    metric.update(torch.tensor(10 * math.log(16.0)), 10)
    assert float(metric.compute()) == pytest.approx(2.0)


@given(batches, st.integers(1, 4))
def test_states_are_summed_over_ranks(found: list[tuple[float, int]], ranks: int) -> None:
    alone, parts = TokenLoss(), [TokenLoss() for _ in range(ranks)]
    for number, (own, count) in enumerate(found):
        for metric in (alone, parts[number % ranks]):
            metric.update(torch.tensor(own, dtype=torch.float64), count)
    for name, reduce in alone._reductions.items():
        gathered = torch.stack([getattr(part, name) for part in parts])
        setattr(parts[0], name, reduce(gathered))  # type: ignore[operator]
    assert float(parts[0].compute()) == pytest.approx(float(alone.compute()))


def test_reset_clears_the_sums() -> None:
    metric = TokenLoss()
    metric.update(torch.tensor(8.0), 2)
    assert float(metric.compute()) == 4
    metric.reset()
    metric.update(torch.tensor(3.0), 3)
    assert float(metric.compute()) == 1


def test_sums_are_in_float64() -> None:
    metric = TokenLoss()
    metric.update(torch.tensor(2.0**24), 2**24)
    for _ in range(64):
        metric.update(torch.tensor(0.5), 0)
    assert float(metric.nll) == 2**24 + 32
