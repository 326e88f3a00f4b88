"""Loss of a text: plain, with a neural cache, and with dynamic evaluation."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sluice.inference.lm_evaluation import LMEvaluator, TextLoss, unused_setting
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


def make_reader(model: LanguageModel, **options: int) -> LMEvaluator:
    return LMEvaluator(model, end_id=END, **options)


def expected_losses(model: LanguageModel, text: np.ndarray) -> list[float]:
    """−log p of each token of one stream given all previous ones, in one pass."""
    ids = torch.from_numpy(np.concatenate([[END], text]).astype(np.int64))[None]
    read = model.eval()(ids[:, :-1])
    logs = model.head.log_probabilities(read.features[0]).detach()
    return (-logs.gather(1, ids[0, 1:, None])).squeeze(1).tolist()


@pytest.mark.parametrize("chunk_length", [1, 5, 53, 100])
@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_loss_does_not_depend_on_the_chunk_length(head: str, chunk_length: int) -> None:
    """Dropout is off even if the model is in training mode."""
    model = make_model(head=head, initial_state="learned")
    found = make_reader(model.train(), chunk_length=chunk_length)
    losses = torch.cat(list(found.losses(TEXT)), 1)[0]
    expected = expected_losses(model, TEXT)
    torch.testing.assert_close(losses, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    cost = found.evaluate(TEXT)
    assert cost.tokens == 53
    assert cost.nll == pytest.approx(math.fsum(expected), rel=1e-5)


@pytest.mark.parametrize("streams", [1, 2, 5, 53, 100])
def test_parallel_streams_equal_pieces_read_alone(streams: int) -> None:
    model = make_model()
    length = -(-53 // min(streams, 53))
    pieces = [TEXT[start : start + length] for start in range(0, 53, length)]
    expected = math.fsum(expected_losses(model, pieces[0]))
    for before, piece in pairwise(pieces):
        losses = LMEvaluator(model, end_id=int(before[-1])).losses(piece)
        expected += math.fsum(float(loss) for chunk in losses for loss in chunk.flatten())
    cost = make_reader(model, streams=streams, chunk_length=7).evaluate(TEXT)
    assert cost.tokens == 53
    assert cost.nll == pytest.approx(expected, rel=1e-5)


def test_perplexity_is_exp_of_the_mean_loss() -> None:
    cost = TextLoss(nll=20 * math.log(7), tokens=20)
    assert (cost.loss, cost.perplexity) == (pytest.approx(math.log(7)), pytest.approx(7))


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("chunk_length", [4, 60])
def test_cache_lowers_the_loss_of_repeated_text(streams: int, chunk_length: int) -> None:
    model = make_model().eval()
    found = make_reader(model, streams=streams, chunk_length=chunk_length)
    none = NeuralCache(window=20, sharpness=0.5, weight=0.0)
    assert found.evaluate_with_cache(TEXT, none).nll == pytest.approx(found.evaluate(TEXT).nll, rel=1e-5)
    repeated = np.tile(TEXT[:6], 12)
    cache = NeuralCache(window=20, sharpness=0.5, weight=0.3)
    assert found.evaluate_with_cache(repeated, cache).nll < found.evaluate(repeated).nll


def dynamic_cost(found: LMEvaluator, text: np.ndarray, **options: float | None) -> TextLoss:
    chosen: Any = {
        **{"learning_rate": 1e-3, "decay": 1e-3, "epsilon": 1e-6, "statistics_streams": 1, "statistics_chunks": 10},
        **options,
    }
    return found.evaluate_dynamic(text, training_text=OTHER, **chosen)


@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
@pytest.mark.parametrize("head", ["full", "adaptive"])
@pytest.mark.parametrize("tied", [False, True])
def test_dynamic_evaluation_adapts_and_restores_weights(head: str, initial_state: str, tied: bool) -> None:
    model = make_model(head=head, initial_state=initial_state, tied=tied)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found, repeated = make_reader(model, chunk_length=5), np.tile(TEXT[:6], 30)
    adapted = dynamic_cost(found, repeated, learning_rate=0.02)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert adapted.tokens == 180
    assert adapted.perplexity < 0.8 * found.evaluate(repeated).perplexity


def test_tiny_learning_rate_gives_the_plain_loss() -> None:
    found = make_reader(make_model(), chunk_length=5)
    assert dynamic_cost(found, TEXT, learning_rate=1e-9).nll == pytest.approx(found.evaluate(TEXT).nll, rel=1e-4)


def test_divergence_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    cost = dynamic_cost(make_reader(make_model(), chunk_length=5), TEXT, learning_rate=1e4)
    assert not math.isfinite(cost.perplexity)
    assert "Dynamic evaluation diverged: reduce dynamic.learning_rate, which is 10000." in caplog.text


def test_loss_of_a_chunk_precedes_its_update() -> None:
    found = make_reader(make_model(), chunk_length=60)
    assert dynamic_cost(found, TEXT, learning_rate=0.5).nll == pytest.approx(found.evaluate(TEXT).nll, rel=1e-5)


def test_statistics_are_limited_to_the_available_chunks() -> None:
    found = make_reader(make_model(), chunk_length=50)
    whole = dynamic_cost(found, TEXT, statistics_chunks=None).nll
    assert whole == dynamic_cost(found, TEXT, statistics_chunks=10_000).nll
    assert whole == dynamic_cost(found, TEXT, statistics_chunks=4).nll
    assert whole != dynamic_cost(found, TEXT, statistics_chunks=3).nll


def adapted_by_equations(
    model: LanguageModel, *, chunk: int, streams: int, eta: float, lamb: float, eps: float
) -> float:
    """Σ −log p of TEXT, written from the equations of Krause et al. (2018), sections 4 and 5, in float64.

    θ_l = θ_{l−1} − η ∇L / (√MS + ε) + λ (θ_0 − θ_{l−1}) ⊙ RMS_norm,  RMS_norm = √MS / avg(√MS), λ RMS_norm at most 1;
    MS averages the squared gradients of the mean loss over the chunks of the training text.
    """
    parameters = list(model.double().eval().parameters())

    def chunk_losses(rows: np.ndarray) -> Iterator[Tensor]:
        ids, state = torch.from_numpy(rows.astype(np.int64)), None
        for start in range(0, ids.shape[1] - 1, chunk):
            piece = ids[:, start : start + chunk + 1]
            output = model(piece[:, :-1], state)
            state = type(output.state)(*(part.detach() for part in output.state))
            logits = output.features.flatten(0, 1) @ model.head.weight.T + model.head.bias
            yield torch.nn.functional.cross_entropy(logits, piece[:, 1:].flatten())

    part = len(OTHER) // streams
    rows = np.stack([np.concatenate([[END, *OTHER][row * part : (row + 1) * part + 1]]) for row in range(streams)])
    squares = [[gradient**2 for gradient in torch.autograd.grad(loss, parameters)] for loss in chunk_losses(rows)]
    rms = [(sum(parts) / len(parts)).sqrt() for parts in zip(*squares, strict=True)]
    average = sum(float(values.mean()) for values in rms) / len(rms)
    trained, total = [parameter.detach().clone() for parameter in parameters], 0.0
    for number, loss in enumerate(chunk_losses(np.concatenate([[END], TEXT])[None])):
        total += float(loss.detach()) * min(chunk, len(TEXT) - number * chunk)
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient, root, origin in zip(parameters, gradients, rms, trained, strict=True):
            pull = (lamb * root / average).clamp(max=1)
            parameter.data = parameter - eta * gradient / (root + eps) + pull * (origin - parameter)
            parameter.data = parameter.data.detach()
    return total


@pytest.mark.parametrize("decay", [0.0, 0.05, 0.6])
@pytest.mark.parametrize("streams", [1, 4])
def test_dynamic_evaluation_follows_the_equations(streams: int, decay: float) -> None:
    """With a decay of 0.6, λ RMS_norm exceeds 1 for some weights; the gradient's norm exceeds 0.25."""
    options = {"learning_rate": 5e-3, "decay": decay, "epsilon": 1e-3, "statistics_streams": streams}
    cost = dynamic_cost(make_reader(make_model().double(), chunk_length=5), TEXT, statistics_chunks=None, **options)
    expected = adapted_by_equations(make_model(), chunk=5, streams=streams, eta=5e-3, lamb=decay, eps=1e-3)
    assert cost.nll == pytest.approx(expected, rel=1e-9)
    assert abs(cost.nll - make_reader(make_model().double()).evaluate(TEXT).nll) > 0.1


@pytest.mark.parametrize(
    "read",
    [
        lambda found: found.evaluate(TEXT),
        lambda found: found.evaluate_with_cache(TEXT, NeuralCache(window=5, sharpness=1.0, weight=0.5)),
    ],
    ids=["plain", "cache"],
)
def test_evaluation_does_not_change_the_weights(read: Callable[[LMEvaluator], TextLoss]) -> None:
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = read(make_reader(model))
    assert read(make_reader(model)) == first, "repeated evaluation gives the same loss"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("key", "split", "method", "expected"),
    [
        ("data.test_streams", "train", "plain", ("--split train", "data.val_streams")),
        ("data.test_streams", "val", "cache", ("--split val", "data.val_streams")),
        ("data.val_streams", "test", "dynamic", ("--split test", "data.test_streams")),
        ("data.test_streams", "test", "dynamic", None),
        ("data.val_streams", "train", "plain", None),
        ("data.chunk_length", "test", "dynamic", ("--method dynamic", "dynamic.chunk_length")),
        ("data.chunk_length", "test", "cache", None),
        ("dynamic.chunk_length", "test", "dynamic", None),
        ("dynamic.chunk_length", "test", "cache", ("--method cache", "--method dynamic")),
        ("data.path", "train", "dynamic", None),
    ],
)
def test_settings_without_effect_are_recognised(
    key: str, split: str, method: str, expected: tuple[str, str] | None
) -> None:
    assert unused_setting(key, split, method) == expected
