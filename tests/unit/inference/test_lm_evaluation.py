"""What a text costs: read plainly, with a cache, and with weights that follow it and go back."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from sluice.inference.lm_evaluation import LMEvaluator, TextLoss
from sluice.inference.neural_cache import NeuralCache
from sluice.layers.embedding import make_embedding
from sluice.layers.heads import make_head
from sluice.models.language import LanguageModel
from sluice.recurrent import RecurrentStack

torch.set_num_threads(1)  # these tensors are tiny: threads only wait for each other

WORDS, UNITS, END = 11, 6, 2
TEXT = np.random.default_rng(4).integers(0, WORDS, 53).astype(np.int32)
OTHER = np.random.default_rng(5).integers(0, WORDS, 200).astype(np.int32)


def make_model(*, head: str = "full", initial_state: str = "zeros", tied: bool = True) -> LanguageModel:
    torch.manual_seed(1)
    words: Any = make_embedding("learned", vocab_size=WORDS, size=UNITS, padding_id=1, word_dropout=0.0)
    stack = RecurrentStack(cell="lstm", input_size=UNITS, hidden_size=UNITS, num_layers=2, initial_state=initial_state)
    table = words.table.weight if tied else None
    output = make_head(head, input_size=UNITS, vocab_size=WORDS, table=table, cutoffs=(4, 8))
    model = LanguageModel(embedding=words, recurrent=stack, head=output, output_dropout=0.5, input_dropout=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape))
    return model


def reader(model: LanguageModel, **options: int) -> LMEvaluator:
    return LMEvaluator(model, end_id=END, **options)


def written_out(model: LanguageModel, text: np.ndarray) -> list[float]:
    """−log p of each token of one stream, from all before it, by one long pass."""
    ids = torch.from_numpy(np.concatenate([[END], text]).astype(np.int64))[None]
    read = model.eval()(ids[:, :-1])
    logs = model.head.log_probabilities(read.features[0]).detach()
    return (-logs.gather(1, ids[0, 1:, None])).squeeze(1).tolist()


@pytest.mark.parametrize("chunk_length", [1, 5, 53, 100])
@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_a_text_costs_the_same_in_chunks_of_any_length(head: str, chunk_length: int) -> None:
    """Without dropout, though the model was left in training mode."""
    model = make_model(head=head, initial_state="learned")
    found = reader(model.train(), chunk_length=chunk_length)
    losses = torch.cat(list(found.losses(TEXT)), 1)[0]
    expected = written_out(model, TEXT)
    torch.testing.assert_close(losses, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    cost = found.evaluate(TEXT)
    assert cost.tokens == 53
    assert cost.nll == pytest.approx(math.fsum(expected), rel=1e-5)


@pytest.mark.parametrize("streams", [1, 2, 5, 53, 100])
def test_streams_side_by_side_are_the_pieces_read_alone(streams: int) -> None:
    model = make_model()
    length = -(-53 // min(streams, 53))
    pieces = [TEXT[start : start + length] for start in range(0, 53, length)]
    expected = math.fsum(written_out(model, pieces[0]))
    for before, piece in pairwise(pieces):
        losses = LMEvaluator(model, end_id=int(before[-1])).losses(piece)
        expected += math.fsum(float(loss) for chunk in losses for loss in chunk.flatten())
    cost = reader(model, streams=streams, chunk_length=7).evaluate(TEXT)
    assert cost.tokens == 53
    assert cost.nll == pytest.approx(expected, rel=1e-5)


def test_perplexity_is_exp_of_the_loss_a_token() -> None:
    cost = TextLoss(nll=20 * math.log(7), tokens=20)
    assert (cost.loss, cost.perplexity) == (pytest.approx(math.log(7)), pytest.approx(7))


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("chunk_length", [4, 60])
def test_a_cache_mixes_in_what_was_read(streams: int, chunk_length: int) -> None:
    model = make_model().eval()
    found = reader(model, streams=streams, chunk_length=chunk_length)
    none = NeuralCache(window=20, sharpness=0.5, weight=0.0)
    assert found.evaluate_with_cache(TEXT, none).nll == pytest.approx(found.evaluate(TEXT).nll, rel=1e-5)
    repeated = np.tile(TEXT[:6], 12)
    cache = NeuralCache(window=20, sharpness=0.5, weight=0.3)
    assert found.evaluate_with_cache(repeated, cache).nll < found.evaluate(repeated).nll


def dynamic(found: LMEvaluator, text: np.ndarray, **options: float) -> TextLoss:
    chosen: Any = {"learning_rate": 1e-3, "decay": 1e-3, "statistics_chunks": 10, **options}
    return found.evaluate_dynamic(text, training_text=OTHER, **chosen)


@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
@pytest.mark.parametrize("head", ["full", "adaptive"])
@pytest.mark.parametrize("tied", [False, True])
def test_weights_that_follow_a_text_find_its_habits_and_go_back(head: str, initial_state: str, tied: bool) -> None:
    model = make_model(head=head, initial_state=initial_state, tied=tied)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found, repeated = reader(model, chunk_length=5), np.tile(TEXT[:6], 30)
    followed = dynamic(found, repeated, learning_rate=0.02)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert followed.tokens == 180
    assert followed.perplexity < 0.8 * found.evaluate(repeated).perplexity


def test_weights_that_hardly_move_cost_what_the_model_costs() -> None:
    found = reader(make_model(), chunk_length=5)
    assert dynamic(found, TEXT, learning_rate=1e-9).nll == pytest.approx(found.evaluate(TEXT).nll, rel=1e-4)


def test_a_chunk_is_paid_for_before_the_weights_have_seen_it() -> None:
    found = reader(make_model(), chunk_length=60)
    assert dynamic(found, TEXT, learning_rate=0.5).nll == pytest.approx(found.evaluate(TEXT).nll, rel=1e-5)


def test_the_statistics_may_ask_for_more_chunks_than_there_are() -> None:
    found = reader(make_model(), chunk_length=50)
    assert dynamic(found, TEXT, statistics_chunks=10_000).nll == pytest.approx(
        dynamic(found, TEXT, statistics_chunks=4).nll
    )


@pytest.mark.parametrize(
    "read",
    [
        lambda found: found.evaluate(TEXT),
        lambda found: found.evaluate_with_cache(TEXT, NeuralCache(window=5, sharpness=1.0, weight=0.5)),
    ],
    ids=["plain", "cache"],
)
def test_reading_leaves_the_weights_alone(read: Callable[[LMEvaluator], TextLoss]) -> None:
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = read(reader(model))
    assert read(reader(model)) == first, "and it can be done again"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
