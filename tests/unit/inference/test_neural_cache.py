"""The neural cache matches the formula of the paper, for any chunking."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sluice.inference.neural_cache import NeuralCache

ROWS, STEPS, UNITS, WORDS = 2, 13, 4, 5


def text() -> tuple[Tensor, Tensor, Tensor]:
    """h (B, T, H), the words (B, T), with the last ones of one row missing, and their −log p_model."""
    draw = torch.Generator().manual_seed(3)
    outputs = torch.randn(ROWS, STEPS, UNITS, generator=draw)
    words = torch.randint(WORDS, (ROWS, STEPS), generator=draw)
    words[1, -2:] = -1
    losses = (0.1 + 3 * torch.rand(ROWS, STEPS, generator=draw)).masked_fill(words < 0, 0.0)
    return outputs, words, losses


def expected_losses(window: int, sharpness: float, weight: float) -> Tensor:
    """The formula, one position at a time."""
    outputs, words, losses = text()
    found = torch.zeros(ROWS, STEPS)
    for row in range(ROWS):
        for t in range(STEPS):
            if words[row, t] < 0:
                continue
            positions = [i for i in range(max(0, t - window), t) if words[row, i] >= 0]
            weights = [float((sharpness * outputs[row, t] @ outputs[row, i]).exp()) for i in positions]
            hits = [weight for weight, i in zip(weights, positions, strict=True) if words[row, i] == words[row, t]]
            model = float((-losses[row, t]).exp())
            mixed = (1 - weight) * model + weight * sum(hits) / sum(weights) if positions else model
            found[row, t] = -torch.tensor(mixed).log()
    return found


@given(
    st.integers(1, 20),
    st.floats(0, 2),
    st.floats(0, 0.9),
    st.lists(st.integers(1, STEPS - 1), unique=True, max_size=5).map(sorted),
)
@settings(deadline=None, max_examples=40)
def test_losses_match_the_formula_for_any_chunks(window: int, sharpness: float, weight: float, ends: list[int]) -> None:
    cache = NeuralCache(window=window, sharpness=sharpness, weight=weight)
    pieces = [
        cache.losses(*(part[:, start:end] for part in text()))
        for start, end in zip([0, *ends], [*ends, STEPS], strict=True)
    ]
    torch.testing.assert_close(torch.cat(pieces, 1), expected_losses(window, sharpness, weight), rtol=1e-4, atol=1e-5)


def test_weight_zero_gives_the_model_loss() -> None:
    outputs, words, losses = text()
    torch.testing.assert_close(NeuralCache(window=5, sharpness=1.0, weight=0.0).losses(outputs, words, losses), losses)


def test_probabilities_of_all_words_sum_to_one() -> None:
    """The same position evaluated for every word."""
    outputs, words, _ = text()
    model = torch.rand(ROWS, WORDS).softmax(1)
    total = torch.zeros(ROWS)
    for word in range(WORDS):
        cache = NeuralCache(window=8, sharpness=0.7, weight=0.4)
        cache.losses(outputs[:, :8], words[:, :8], torch.ones(ROWS, 8))
        asked = torch.full((ROWS, 1), word)
        total += (-cache.losses(outputs[:, 8:9], asked, -model[:, word : word + 1].log())).exp().squeeze(1)
    torch.testing.assert_close(total, torch.ones(ROWS))


@pytest.mark.parametrize(("name", "value"), [("window", 0), ("sharpness", -0.1), ("weight", -0.1), ("weight", 1.0)])
def test_invalid_options_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"a window of 1 or more, a sharpness of 0 or more and a weight in \[0, 1\)"):
        NeuralCache(**{"window": 5, "sharpness": 0.3, "weight": 0.1, name: value})  # type: ignore[arg-type]
