"""Writing on: what may be drawn and how often, and the likeliest continuations."""

import itertools
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from sluice.decoding.sampling import Continued, beam, sample

WORDS = 6


class Seen(NamedTuple):
    """The state of the model of these tests: a number for each row, made of all tokens so far."""

    number: Tensor
    """(1, N)."""


def step(last: Tensor, state: Any) -> tuple[Tensor, Seen]:
    """A model whose distribution hangs on all tokens so far, and no two alike."""
    before = torch.zeros(1, len(last), dtype=torch.int64) if state is None else state.number
    number = (before * 7 + last + 1) % 1009
    places = torch.arange(1, WORDS + 1)
    logits = torch.sin(number.squeeze(0).unsqueeze(1) * places * 0.7) * 2
    return logits.log_softmax(-1), Seen(number)


def logs_of(first: int, ids: list[int]) -> list[Tensor]:
    """(V,) log-probabilities before each token of a text."""
    found, state = [], None
    for last in [first, *ids[:-1]]:
        scores, state = step(torch.tensor([last]), state)
        found.append(scores[0])
    return found


def log_probability(first: int, ids: list[int]) -> float:
    return sum(float(logs[token]) for logs, token in zip(logs_of(first, ids), ids, strict=True))


def drawn(tokens: int = 5, rows: int = 8, seed: int = 1, **options: Any) -> Continued:
    last = torch.full((rows,), 2)
    return sample(step, last, None, tokens=tokens, generator=torch.Generator().manual_seed(seed), **options)


class TestSample:
    def test_a_seed_repeats_itself_and_another_does_not(self) -> None:
        assert torch.equal(drawn(seed=3).ids, drawn(seed=3).ids)
        assert not torch.equal(drawn(seed=3).ids, drawn(seed=4).ids)

    def test_training_draws_what_it_would_have_drawn(self) -> None:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        drawn()
        assert torch.equal(torch.get_rng_state(), before)

    def test_each_row_goes_its_own_way_and_is_told_its_own_probability(self) -> None:
        found = drawn(temperature=2.0, top_k=4)
        assert found.ids.shape == (8, 5)
        assert len({tuple(row) for row in found.ids.tolist()}) > 1
        for row, logs in zip(found.ids.tolist(), found.log_probabilities.tolist(), strict=True):
            assert logs == pytest.approx(log_probability(2, row), abs=1e-4)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    def test_tokens_come_as_often_as_the_tempered_model_says(self, temperature: float) -> None:
        found = drawn(tokens=1, rows=20_000, temperature=temperature)
        shares = torch.bincount(found.ids[:, 0], minlength=WORDS) / 20_000
        expected = (logs_of(2, [0])[0] / temperature).softmax(-1)
        torch.testing.assert_close(shares, expected, rtol=0, atol=0.015)

    @pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-40])
    def test_near_zero_the_likeliest_always_wins(self, temperature: float) -> None:
        greedy = beam(step, torch.tensor([2]), None, tokens=5, width=1).ids
        assert torch.equal(drawn(temperature=temperature).ids, greedy.expand(8, -1))

    @pytest.mark.parametrize("top_k", [1, 3, WORDS, 100])
    def test_only_the_likeliest_are_drawn_and_all_of_them(self, top_k: int) -> None:
        logs = logs_of(2, [0])[0]
        allowed = logs.topk(min(top_k, WORDS)).indices.tolist()
        found = drawn(tokens=1, rows=20_000, top_k=top_k).ids[:, 0]
        assert set(found.tolist()) == set(allowed)
        shares = torch.bincount(found, minlength=WORDS)[allowed] / 20_000
        torch.testing.assert_close(shares, logs[allowed].softmax(-1), rtol=0, atol=0.015)

    @pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 1.0])
    def test_the_nucleus_is_the_least_set_that_has_the_probability(self, top_p: float) -> None:
        logs = logs_of(2, [0])[0]
        order = logs.argsort(descending=True).tolist()
        size = next(size for size in range(1, WORDS + 1) if float(logs[order[:size]].exp().sum()) >= top_p - 1e-6)
        found = drawn(tokens=1, rows=20_000, top_p=top_p).ids[:, 0]
        assert set(found.tolist()) == set(order[:size])

    def test_banned_tokens_are_never_written(self) -> None:
        found = drawn(tokens=30, rows=50, banned=(0, 3), temperature=3.0)
        assert set(found.ids.flatten().tolist()) == {1, 2, 4, 5}
        assert not (set(drawn(tokens=30, rows=50, banned=(0, 3), top_k=1).ids.flatten().tolist()) & {0, 3})

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"temperature": -1.0}, "temperature must be above 0, got -1"),
            ({"temperature": float("nan")}, "temperature must be above 0, got nan"),
            ({"top_k": 0}, "top-k must be at least 1, got 0"),
            ({"top_p": 0.0}, r"top-p must lie in \(0, 1\], got 0"),
            ({"top_p": 1.5}, r"top-p must lie in \(0, 1\], got 1.5"),
        ],
    )
    def test_values_out_of_range_are_refused(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            drawn(**options)


class TestBeam:
    def test_of_width_one_is_greedy(self) -> None:
        found = beam(step, torch.tensor([2]), None, tokens=8, width=1)
        expected: list[int] = []
        for _ in range(8):
            expected.append(int(logs_of(2, [*expected, 0])[-1].argmax()))
        assert found.ids.tolist() == [expected]
        assert float(found.log_probabilities[0]) == pytest.approx(log_probability(2, expected), abs=1e-4)

    def test_as_wide_as_there_are_texts_it_finds_the_best_of_all(self) -> None:
        every = sorted(itertools.product(range(WORDS), repeat=3), key=lambda ids: -log_probability(2, list(ids)))
        found = beam(step, torch.tensor([2]), None, tokens=3, width=WORDS**2)
        assert found.ids[:5].tolist() == [list(ids) for ids in every[:5]]
        assert found.log_probabilities[:5].tolist() == pytest.approx(
            [log_probability(2, list(ids)) for ids in every[:5]], abs=1e-4
        )

    @pytest.mark.parametrize("width", [2, 5, 40, 500])
    def test_texts_are_told_apart_best_first_and_with_their_own_probability(self, width: int) -> None:
        found = beam(step, torch.tensor([2]), None, tokens=3, width=width)
        texts = found.ids.tolist()
        assert len({tuple(ids) for ids in texts}) == len(texts) == min(width, WORDS**3)
        assert found.log_probabilities.tolist() == sorted(found.log_probabilities.tolist(), reverse=True)
        for ids, logs in zip(texts, found.log_probabilities.tolist(), strict=True):
            assert logs == pytest.approx(log_probability(2, ids), abs=1e-4)

    def test_a_wider_one_finds_nothing_worse(self) -> None:
        best = [
            float(beam(step, torch.tensor([2]), None, tokens=4, width=w).log_probabilities[0]) for w in (1, 216, 1296)
        ]
        assert best[0] <= best[2] + 1e-5
        assert best[1] == pytest.approx(best[2], abs=1e-5), "216 hold all texts of three tokens"

    def test_banned_tokens_are_never_written(self) -> None:
        found = beam(step, torch.tensor([2]), None, tokens=4, width=300, banned=(0, 3, 5))
        assert set(found.ids.flatten().tolist()) == {1, 2, 4}
        assert len(found.ids) == 3**4

    def test_no_width_is_refused(self) -> None:
        with pytest.raises(ValueError, match="the beam must be at least 1 wide, got 0"):
            beam(step, torch.tensor([2]), None, tokens=1, width=0)
