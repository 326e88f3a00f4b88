"""Continuing a text: sampling with temperature, top-k and top-p, and beam search."""

import itertools
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from sluice.decoding.sampling import Continuations, fixed_length_beam_search, sample

WORDS = 6


class ToyState(NamedTuple):
    """The state of the toy model: one number per row, computed from all previous tokens."""

    number: Tensor
    """(1, N)."""


def step(last: Tensor, state: Any) -> tuple[Tensor, ToyState]:
    """A toy model whose distribution depends on all previous tokens."""
    before = torch.zeros(1, len(last), dtype=torch.int64) if state is None else state.number
    number = (before * 7 + last + 1) % 1009
    positions = torch.arange(1, WORDS + 1)
    logits = torch.sin(number.squeeze(0).unsqueeze(1) * positions * 0.7) * 2
    return logits.log_softmax(-1), ToyState(number)


def logs_of(first: int, ids: list[int]) -> list[Tensor]:
    """(V,) log-probabilities before each token of a text."""
    found, state = [], None
    for last in [first, *ids[:-1]]:
        scores, state = step(torch.tensor([last]), state)
        found.append(scores[0])
    return found


def log_probability(first: int, ids: list[int]) -> float:
    return sum(float(logs[token]) for logs, token in zip(logs_of(first, ids), ids, strict=True))


def draw_tokens(tokens: int = 5, rows: int = 8, seed: int = 1, **options: Any) -> Continuations:
    last = torch.full((rows,), 2)
    return sample(step, last, None, tokens=tokens, generator=torch.Generator().manual_seed(seed), **options)


class TestSample:
    def test_samples_depend_on_the_seed(self) -> None:
        assert torch.equal(draw_tokens(seed=3).ids, draw_tokens(seed=3).ids)
        assert not torch.equal(draw_tokens(seed=3).ids, draw_tokens(seed=4).ids)

    def test_sampling_does_not_change_the_global_rng(self) -> None:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        draw_tokens()
        assert torch.equal(torch.get_rng_state(), before)

    def test_rows_are_independent_with_correct_log_probabilities(self) -> None:
        found = draw_tokens(temperature=2.0, top_k=4)
        assert found.ids.shape == (8, 5)
        assert len({tuple(row) for row in found.ids.tolist()}) > 1
        for row, logs in zip(found.ids.tolist(), found.log_probabilities.tolist(), strict=True):
            assert logs == pytest.approx(log_probability(2, row), abs=1e-4)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    def test_token_frequencies_match_the_tempered_softmax(self, temperature: float) -> None:
        found = draw_tokens(tokens=1, rows=20_000, temperature=temperature)
        frequencies = torch.bincount(found.ids[:, 0], minlength=WORDS) / 20_000
        expected = (logs_of(2, [0])[0] / temperature).softmax(-1)
        torch.testing.assert_close(frequencies, expected, rtol=0, atol=0.015)

    @pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-40])
    def test_temperature_near_zero_is_greedy(self, temperature: float) -> None:
        greedy = fixed_length_beam_search(step, torch.tensor([2]), None, tokens=5, width=1).ids
        assert torch.equal(draw_tokens(temperature=temperature).ids, greedy.expand(8, -1))

    @pytest.mark.parametrize("top_k", [1, 3, WORDS, 100])
    def test_top_k_draws_only_the_k_most_probable_tokens(self, top_k: int) -> None:
        logs = logs_of(2, [0])[0]
        allowed = logs.topk(min(top_k, WORDS)).indices.tolist()
        found = draw_tokens(tokens=1, rows=20_000, top_k=top_k).ids[:, 0]
        assert set(found.tolist()) == set(allowed)
        frequencies = torch.bincount(found, minlength=WORDS)[allowed] / 20_000
        torch.testing.assert_close(frequencies, logs[allowed].softmax(-1), rtol=0, atol=0.015)

    @pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 1.0])
    def test_top_p_draws_from_the_smallest_nucleus(self, top_p: float) -> None:
        logs = logs_of(2, [0])[0]
        order = logs.argsort(descending=True).tolist()
        size = next(size for size in range(1, WORDS + 1) if float(logs[order[:size]].exp().sum()) >= top_p - 1e-6)
        found = draw_tokens(tokens=1, rows=20_000, top_p=top_p).ids[:, 0]
        assert set(found.tolist()) == set(order[:size])

    def test_banned_tokens_are_never_generated(self) -> None:
        found = draw_tokens(tokens=30, rows=50, banned=(0, 3), temperature=3.0)
        assert set(found.ids.flatten().tolist()) == {1, 2, 4, 5}
        assert not (set(draw_tokens(tokens=30, rows=50, banned=(0, 3), top_k=1).ids.flatten().tolist()) & {0, 3})

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"temperature": 0.0}, "temperature must be above 0 and finite, got 0"),
            ({"temperature": -1.0}, "temperature must be above 0 and finite, got -1"),
            ({"temperature": float("nan")}, "temperature must be above 0 and finite, got nan"),
            ({"top_k": 0}, "top-k must be at least 1, got 0"),
            ({"top_p": 0.0}, r"top-p must lie in \(0, 1\], got 0"),
            ({"top_p": 1.5}, r"top-p must lie in \(0, 1\], got 1.5"),
        ],
    )
    def test_invalid_options_are_refused(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            draw_tokens(**options)


class TestBeam:
    def test_beam_of_width_one_is_greedy(self) -> None:
        found = fixed_length_beam_search(step, torch.tensor([2]), None, tokens=8, width=1)
        expected: list[int] = []
        for _ in range(8):
            expected.append(int(logs_of(2, [*expected, 0])[-1].argmax()))
        assert found.ids.tolist() == [expected]
        assert float(found.log_probabilities[0]) == pytest.approx(log_probability(2, expected), abs=1e-4)

    def test_exhaustive_beam_finds_the_best_texts(self) -> None:
        every = sorted(itertools.product(range(WORDS), repeat=3), key=lambda ids: -log_probability(2, list(ids)))
        found = fixed_length_beam_search(step, torch.tensor([2]), None, tokens=3, width=WORDS**2)
        assert found.ids[:5].tolist() == [list(ids) for ids in every[:5]]
        assert found.log_probabilities[:5].tolist() == pytest.approx(
            [log_probability(2, list(ids)) for ids in every[:5]], abs=1e-4
        )

    @pytest.mark.parametrize("width", [2, 5, 40, 500])
    def test_texts_are_distinct_and_sorted_by_log_probability(self, width: int) -> None:
        found = fixed_length_beam_search(step, torch.tensor([2]), None, tokens=3, width=width)
        texts = found.ids.tolist()
        assert len({tuple(ids) for ids in texts}) == len(texts) == min(width, WORDS**3)
        assert found.log_probabilities.tolist() == sorted(found.log_probabilities.tolist(), reverse=True)
        for ids, logs in zip(texts, found.log_probabilities.tolist(), strict=True):
            assert logs == pytest.approx(log_probability(2, ids), abs=1e-4)

    def test_wider_beam_finds_no_worse_text(self) -> None:
        best = [
            float(fixed_length_beam_search(step, torch.tensor([2]), None, tokens=4, width=w).log_probabilities[0])
            for w in (1, 216, 1296)
        ]
        assert best[0] <= best[2] + 1e-5
        assert best[1] == pytest.approx(best[2], abs=1e-5), "a width of 216 covers all texts of three tokens"

    def test_banned_tokens_are_never_generated(self) -> None:
        found = fixed_length_beam_search(step, torch.tensor([2]), None, tokens=4, width=300, banned=(0, 3, 5))
        assert set(found.ids.flatten().tolist()) == {1, 2, 4}
        assert len(found.ids) == 3**4

    def test_beam_width_zero_is_refused(self) -> None:
        with pytest.raises(ValueError, match="the beam size must be at least 1, got 0"):
            fixed_length_beam_search(step, torch.tensor([2]), None, tokens=1, width=0)


def test_tiny_top_p_keeps_the_most_probable_token() -> None:
    log_probabilities = torch.tensor([[0.1, 0.3, 0.6]]).log()

    def step(last: Tensor, state: Any) -> tuple[Tensor, Any]:
        return log_probabilities.repeat(len(last), 1), state

    assert sample(step, torch.tensor([0, 1]), None, tokens=2, top_p=1e-300).ids.tolist() == [[2, 2], [2, 2]]
