"""Greedy and beam search, compared with all sentences of a toy model."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import BEGIN, END, Toy

from sluice.decoding.beam import beam_search
from sluice.decoding.greedy import greedy_search
from sluice.decoding.length_penalty import LengthPenalty
from sluice.decoding.search import DecodingSettings, decode
from sluice.decoding.steps import Hypothesis
from sluice.options import LENGTH_PENALTIES

MARKS: dict[str, Any] = {"begin_id": BEGIN, "end_id": END}
PENALTY = st.builds(LengthPenalty, st.sampled_from(LENGTH_PENALTIES), st.sampled_from([0.0, 0.6, 1.0, 2.0]))
MAX_LENGTHS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def ranked(toy: Toy, sentence: int, max_lengths: int, penalty: LengthPenalty) -> list[tuple[float, list[int]]]:
    """All sentences with their scores, sorted by score."""
    scored = [(penalty.score(toy.total(sentence, w), len(w) + 1), w) for w in toy.every_sentence(max_lengths)]
    return sorted(scored, key=lambda pair: -pair[0])


def beams(toy: Toy, max_lengths: list[int], penalty: LengthPenalty, beam: int, n_best: int) -> list[list[Hypothesis]]:
    wide: dict[str, Any] = {"beam": beam, "n_best": n_best, "penalty": penalty}
    return beam_search(toy, toy.start(len(max_lengths)), torch.tensor(max_lengths), **MARKS, **wide)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), MAX_LENGTHS, PENALTY, st.integers(1, 5))
def test_exhaustive_beam_finds_the_best_sentences(
    seed: int, max_lengths: list[int], penalty: LengthPenalty, n_best: int
) -> None:
    toy = Toy(seed)
    for sentence, found in enumerate(beams(toy, max_lengths, penalty, 40, n_best)):
        expected = ranked(toy, sentence, max_lengths[sentence], penalty)[:n_best]
        assert [hypothesis.words for hypothesis in found] == [words for _, words in expected]
        assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected], rel=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), MAX_LENGTHS, PENALTY)
def test_beam_of_width_one_is_greedy(seed: int, max_lengths: list[int], penalty: LengthPenalty) -> None:
    toy = Toy(seed)
    greedy = greedy_search(toy, toy.start(len(max_lengths)), torch.tensor(max_lengths), **MARKS, penalty=penalty)
    for one, (other,) in zip(greedy, beams(toy, max_lengths, penalty, 1, 1), strict=True):
        assert one.words == other.words
        assert one.score == pytest.approx(other.score, rel=1e-5)
        assert torch.equal(one.weights, other.weights)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 4))
def test_greedy_search_takes_the_most_probable_word(seed: int, max_lengths: int) -> None:
    toy = Toy(seed)
    (found,) = greedy_search(toy, toy.start(1), torch.tensor([max_lengths]), **MARKS, penalty=LengthPenalty())
    written = [BEGIN]
    while len(written) <= max_lengths and (word := int(toy.gains(0, written).argmax())) != END:
        written.append(word)
    assert found.words == written[1:]
    assert found.log_probability == pytest.approx(toy.total(0, written[1:]), rel=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), MAX_LENGTHS, PENALTY, st.integers(1, 4))
def test_single_sentence_equals_itself_in_a_batch(
    seed: int, max_lengths: list[int], penalty: LengthPenalty, beam: int
) -> None:
    toy = Toy(seed)
    together = beams(toy, max_lengths, penalty, beam, beam)
    state = toy.start(len(max_lengths))
    for sentence, found in enumerate(together):
        one = torch.tensor([sentence])
        wide: dict[str, Any] = {"beam": beam, "n_best": beam, "penalty": penalty}
        (alone,) = beam_search(toy, state.select(one), torch.tensor(max_lengths)[one], **MARKS, **wide)
        assert [hypothesis.words for hypothesis in alone] == [hypothesis.words for hypothesis in found]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), MAX_LENGTHS, PENALTY, st.integers(1, 6))
def test_hypotheses_are_distinct_and_correctly_scored(
    seed: int, max_lengths: list[int], penalty: LengthPenalty, beam: int
) -> None:
    toy = Toy(seed)
    for sentence, found in enumerate(beams(toy, max_lengths, penalty, beam, beam)):
        assert len({tuple(hypothesis.words) for hypothesis in found}) == len(found) > 0
        for hypothesis in found:
            assert len(hypothesis.words) <= max_lengths[sentence]
            assert hypothesis.log_probability == pytest.approx(toy.total(sentence, hypothesis.words), rel=1e-5)
            assert hypothesis.weights is not None
            assert hypothesis.weights[:, 0].tolist() == list(range(1, len(hypothesis.words) + 2))


class LateEnding(Toy):
    """Ends at once with probability 0.5, and later with 0.3 at every step."""

    def gains(self, sentence: int, written: list[int]) -> torch.Tensor:
        probabilities = [0.0, 0.5, 0.5, 0.0] if len(written) == 1 else [0.0, 0.3, 0.7, 0.0]
        return torch.tensor(probabilities, dtype=torch.float64).log()


def test_search_continues_while_a_live_hypothesis_can_win() -> None:
    """The empty sentence ends first; the long one scores higher only with the average penalty."""
    (found,) = beams(LateEnding(0), [6], LengthPenalty("average"), 2, 1)
    assert found[0].words == [2] * 6
    toy = LateEnding(0)
    (found,) = beams(toy, [6], LengthPenalty("none"), 2, 1)
    assert found[0].words == []
    assert len(toy.rows) == 1, "no live hypothesis can win after the first step"


def test_finished_sentences_leave_the_batch() -> None:
    toy = Toy(0)
    max_lengths = torch.tensor([1, 4, 2, 3])
    greedy_search(toy, toy.start(4), max_lengths, **MARKS, penalty=LengthPenalty())
    assert toy.rows == sorted(toy.rows, reverse=True)
    assert toy.rows[-1] < 4


def test_model_without_attention_gives_no_weights() -> None:
    toy = Toy(0)

    def step(words: torch.Tensor, state: Any) -> Any:
        return toy(words, state)._replace(weights=None)

    for beam in (1, 3):
        found = decode(
            step, toy.start(2), torch.tensor([1, 1]), DecodingSettings(beam=beam, max_length_offset=2), **MARKS
        )
        assert all(hypothesis.weights is None for hypotheses in found for hypothesis in hypotheses)


def test_maximum_length_depends_on_the_source() -> None:
    settings = DecodingSettings(max_length_factor=1.5, max_length_offset=3)
    assert settings.max_lengths(torch.tensor([1, 4, 7])).tolist() == [4, 9, 13]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam must be at least 1, got 0"),
        ({"beam": 2, "n_best": 3}, "n_best=3 must lie between 1 and the beam, 2"),
        ({"n_best": 0}, "n_best=0 must lie"),
        ({"length_penalty": "wu"}, "unknown length penalty 'wu': expected one of none, average, gnmt"),
        ({"alpha": -1.0}, "alpha of the length penalty must be at least 0, got -1.0"),
        ({"max_length_offset": 0}, "max_length_offset at least 1"),
    ],
)
def test_invalid_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecodingSettings(**options).check()


def test_length_penalties_match_the_papers() -> None:
    assert LengthPenalty("none").score(-6.0, 4) == -6
    assert LengthPenalty("average", 1.0).score(-6.0, 4) == -1.5
    assert LengthPenalty("average", 0.5).score(-6.0, 4) == -3
    assert LengthPenalty("gnmt", 0.6).score(-6.0, 7) == pytest.approx(-6 / 2**0.6)


@given(PENALTY, st.floats(-50, 0), st.floats(0, 20), st.integers(1, 30), st.integers(0, 30))
def test_no_continuation_exceeds_the_bound(
    penalty: LengthPenalty, now: float, lost: float, length: int, more: int
) -> None:
    assert penalty.score(now - lost, length) <= penalty.bound(now, length + more) + 1e-9


def test_sampled_words_follow_their_probabilities() -> None:
    toy, drawn = Toy(3), []
    for seed in range(20):
        how = DecodingSettings(max_length_factor=0, max_length_offset=2, seed=seed)
        found = decode(toy, toy.start(1).select(torch.zeros(200).long()), torch.ones(200).long(), how, **MARKS)
        drawn += [tuple(best.words) for (best,) in found]
    for words in toy.every_sentence(1):  # longer ones are forced to end
        frequency, expected = drawn.count(tuple(words)) / len(drawn), math.exp(toy.total(0, words))
        assert frequency == pytest.approx(expected, abs=5 * math.sqrt(0.25 / len(drawn)))


def test_seed_fixes_the_samples_and_excludes_a_beam() -> None:
    toy = Toy(3)

    def drawn(seed: int) -> list[list[Hypothesis]]:
        how = DecodingSettings(max_length_factor=0, max_length_offset=4, seed=seed)
        return decode(toy, toy.start(3), torch.ones(3).long(), how, **MARKS)

    assert [best.words for (best,) in drawn(1)] == [best.words for (best,) in drawn(1)]
    assert len({tuple(tuple(best.words) for (best,) in drawn(seed)) for seed in range(20)}) > 10
    for sentence, (best,) in enumerate(drawn(2)):
        assert best.log_probability == pytest.approx(toy.total(sentence, best.words), rel=1e-5)
    with pytest.raises(ValueError, match="needs beam=1, got beam=2"):
        DecodingSettings(beam=2, seed=1).check()
