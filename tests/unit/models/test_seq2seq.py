"""Seq2Seq: steps equal the forward pass, independence of the batch, gradients, sampling, tied weights."""

from typing import Any

import pytest
import torch
from seq2seq_checks import BEGIN, END, PADDING, SOURCE_WORDS, TARGET_WORDS, make_seq2seq, random_pairs
from torch import Tensor
from torch.nn import functional as F

from sluice.decoding.search import DecodingSettings
from sluice.layers.embedding import LearnedEmbedding, OneHotEmbedding
from sluice.models.decoder import Decoder
from sluice.models.seq2seq import Seq2Seq, SpecialIds
from sluice.options import ATTENTIONS, BRIDGES
from sluice.recurrent import CELLS, RecurrentStack

CELLS_OF_SLUICE = sorted(name for name, cell in CELLS.items() if cell.__module__.startswith("sluice."))
FEEDING = pytest.mark.parametrize("input_feeding", [False, True], ids=["no input feeding", "input feeding"])
KINDS = pytest.mark.parametrize("attention", ATTENTIONS)
PAIRS = random_pairs([5, 2, 4], [6, 3, 4])


def by_steps(network: Seq2Seq) -> tuple[Tensor, Tensor | None]:
    """Features (B, T, F) and weights (B, T, S) from the step function alone."""
    source, source_lengths, inputs, _, _ = PAIRS
    state = network.encode(source, source_lengths)
    features, weights = [], []
    for words in inputs.unbind(1):
        step_features, step_weights, state = network.decoder.step(words, state)
        features.append(step_features)
        weights.append(step_weights)
    return torch.stack(features, 1), None if weights[0] is None else torch.stack(weights, 1)


def assert_steps_equal_the_forward_pass(network: Seq2Seq) -> None:
    """Compares features, attention weights and all gradients within the sentence lengths."""
    source, source_lengths, inputs, _, lengths = PAIRS
    inside = torch.arange(inputs.shape[1]) < lengths.unsqueeze(1)
    whole = network(source, source_lengths, inputs, lengths)
    features, weights = by_steps(network)
    assert torch.allclose(features[inside], whole.features[inside])
    if weights is not None:
        assert torch.allclose(weights[inside], whole.weights[inside])
    parameters = [parameter for name, parameter in network.named_parameters() if not name.startswith("output.")]
    ours, expected = ((values[inside] ** 3).sum() for values in (features, whole.features))
    unused = {"allow_unused": True, "materialize_grads": True}
    for one, other in zip(
        torch.autograd.grad(ours, parameters, **unused),
        torch.autograd.grad(expected, parameters, **unused),
        strict=True,
    ):
        assert torch.allclose(one, other)


@FEEDING
@KINDS
def test_steps_equal_the_forward_pass_for_every_attention(attention: str, input_feeding: bool) -> None:
    assert_steps_equal_the_forward_pass(make_seq2seq(attention=attention, input_feeding=input_feeding))


@FEEDING
@pytest.mark.parametrize("cell", CELLS_OF_SLUICE)
def test_steps_equal_the_forward_pass_for_every_cell(cell: str, input_feeding: bool) -> None:
    assert_steps_equal_the_forward_pass(make_seq2seq(cell=cell, input_feeding=input_feeding))


@FEEDING
@pytest.mark.parametrize("bridge", BRIDGES)
def test_encoder_layers_may_differ_in_size(bridge: str, input_feeding: bool) -> None:
    sizes: dict[str, Any] = {"cell": "lstm", "encoder_sizes": [3, 4, 4], "layers": 2}
    network = make_seq2seq(**sizes, bridge=bridge, input_feeding=input_feeding)
    assert_steps_equal_the_forward_pass(network)
    (translation,) = network.translate(*random_pairs([5], [1])[:2], DecodingSettings(beam=3))
    assert translation[0].words is not None


@FEEDING
@KINDS
def test_single_sentence_equals_itself_in_a_batch(attention: str, input_feeding: bool) -> None:
    network = make_seq2seq(attention=attention, input_feeding=input_feeding)
    source, source_lengths, inputs, _, lengths = PAIRS
    together = network(source, source_lengths, inputs, lengths).features
    for row, (source_length, length) in enumerate(zip(source_lengths.tolist(), lengths.tolist(), strict=True)):
        one = slice(row, row + 1)
        alone = network(source[one, :source_length], source_lengths[one], inputs[one, :length], lengths[one]).features
        assert torch.allclose(alone[0], together[row, :length])


@FEEDING
@pytest.mark.parametrize("beam", [1, 3])
def test_translation_does_not_depend_on_the_batch(input_feeding: bool, beam: int) -> None:
    network, settings = make_seq2seq(input_feeding=input_feeding), DecodingSettings(beam=beam, n_best=beam)
    source, lengths, *_ = random_pairs([5, 2, 4, 7, 1, 3], [1] * 6)
    together = network.translate(source, lengths, settings)
    for row, length in enumerate(lengths.tolist()):
        (alone,) = network.translate(source[row : row + 1, :length], lengths[row : row + 1], settings)
        assert [found.words for found in alone] == [found.words for found in together[row]]
        for one, other in zip(alone, together[row], strict=True):
            assert one.score == pytest.approx(other.score)
            assert torch.allclose(one.weights, other.weights[:, :length])
            assert not other.weights[:, length:].any()


@FEEDING
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("penalty", ["none", "average", "gnmt"])
def test_scores_equal_those_of_rescoring(input_feeding: bool, beam: int, penalty: str) -> None:
    network = make_seq2seq(input_feeding=input_feeding)
    settings = DecodingSettings(beam=beam, n_best=beam, length_penalty=penalty, alpha=0.7, max_length_offset=3)
    source, lengths, *_ = random_pairs([5, 2, 4], [1] * 3)
    for row, hypotheses in enumerate(network.translate(source, lengths, settings)):
        assert len({tuple(found.words) for found in hypotheses}) == beam
        assert [found.score for found in hypotheses] == sorted((found.score for found in hypotheses), reverse=True)
        for found in hypotheses:
            written = torch.tensor([[BEGIN, *found.words, END]])
            length = torch.tensor([written.shape[1] - 1])
            made = network(source[row : row + 1], lengths[row : row + 1], written[:, :-1], length)
            gains = network.log_probabilities(made.features).gather(2, written[:, 1:].unsqueeze(2))
            assert found.log_probability == pytest.approx(gains.sum().item())
            assert found.score == pytest.approx(settings.penalty.score(gains.sum().item(), int(length)))
            assert torch.allclose(found.weights, made.weights[0])


@FEEDING
@KINDS
@pytest.mark.parametrize("bridge", BRIDGES)
def test_every_parameter_gets_a_gradient(attention: str, input_feeding: bool, bridge: str) -> None:
    network = make_seq2seq(cell="lstm", attention=attention, input_feeding=input_feeding, bridge=bridge)
    source, source_lengths, inputs, labels, lengths = PAIRS
    made = network(source, source_lengths, inputs, lengths)
    network.loss(made.features, labels, lengths).smoothed.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_padding_does_not_contribute_to_the_loss() -> None:
    network = make_seq2seq()
    source, source_lengths, inputs, labels, lengths = PAIRS
    made = network(source, source_lengths, inputs, lengths)
    expected = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(lengths.tolist()):
        gains = network.log_probabilities(made.features[row, :length])
        expected -= gains.gather(1, labels[row, :length].unsqueeze(1)).sum()
    cost = network.loss(made.features, labels, lengths)
    assert torch.allclose(cost.smoothed, expected)
    spoilt = made.features.masked_fill((labels == PADDING).unsqueeze(2), float("nan"))
    assert torch.equal(network.loss(spoilt, labels, lengths).smoothed, cost.smoothed)


@FEEDING
def test_sampling_0_is_teacher_forcing_and_1_is_greedy_search(input_feeding: bool) -> None:
    network = make_seq2seq(input_feeding=input_feeding)
    source, source_lengths, inputs, _, lengths = PAIRS
    state = network.encode(source, source_lengths)
    teacher = network.decoder.forward_sampled(inputs, state, network._most_probable, 0.0)
    inside = torch.arange(inputs.shape[1]) < lengths.unsqueeze(1)
    assert torch.allclose(teacher.features[inside], network(source, source_lengths, inputs, lengths).features[inside])
    free = network(source, source_lengths, inputs, lengths, sampling=1.0)
    written, words = [], inputs[:, 0]
    for _ in range(inputs.shape[1]):
        features, _, state = network.decoder.step(words, state)
        words = network.log_probabilities(features).argmax(-1)
        written.append(features)
    assert torch.allclose(free.features, torch.stack(written, 1))


def test_sampling_replaces_words_with_its_probability() -> None:
    network = make_seq2seq()
    source, source_lengths, inputs, _, lengths = random_pairs([3] * 200, [6] * 200)
    whole = network(source, source_lengths, inputs, lengths).features
    torch.manual_seed(1)
    sampled = network(source, source_lengths, inputs, lengths, sampling=0.3).features
    changed = (sampled[:, 1] - whole[:, 1]).abs().amax(-1) > 1e-9
    assert 0.15 < changed.double().mean().item() < 0.35, "some words are replaced by themselves"
    assert torch.allclose(sampled[:, 0], whole[:, 0])


@pytest.mark.parametrize("sampling", [0.0, 0.5])
@FEEDING
def test_dropout_is_applied_in_training_only(input_feeding: bool, sampling: float) -> None:
    network = make_seq2seq(input_feeding=input_feeding, dropout=0.4, recurrent_dropout=0.3)
    source, source_lengths, inputs, _, lengths = PAIRS
    runs = [network(source, source_lengths, inputs, lengths, sampling).features for _ in range(2)]
    assert not torch.allclose(*runs)
    network.eval()
    runs = [network(source, source_lengths, inputs, lengths).features for _ in range(2)]
    assert torch.equal(*runs)


def test_translate_disables_dropout_and_restores_training() -> None:
    network = make_seq2seq(dropout=0.5)
    source, lengths, *_ = PAIRS
    first, second = (network.translate(source, lengths, DecodingSettings()) for _ in range(2))
    assert [found[0].words for found in first] == [found[0].words for found in second]
    assert network.training
    assert network.decoder.input_dropout.training


def test_forbidden_ids_are_never_generated() -> None:
    network = make_seq2seq()
    with torch.no_grad():
        network.output.bias[[PADDING, BEGIN]] = 50.0
    source, lengths, *_ = PAIRS
    for hypotheses in network.translate(source, lengths, DecodingSettings(beam=3, n_best=3)):
        for found in hypotheses:
            assert {PADDING, BEGIN, END}.isdisjoint(found.words)
            assert found.log_probability > float("-inf")


def test_forbidden_ids_have_no_probability() -> None:
    """The other words' probabilities sum to one, and smoothing is spread over the other words only."""
    network = make_seq2seq()
    source, source_lengths, inputs, _, lengths = PAIRS
    features = network(source, source_lengths, inputs, lengths).features.detach()
    kept = [word for word in range(TARGET_WORDS) if word not in (PADDING, BEGIN)]
    logits = F.linear(features, network.output.weight[kept], network.output.bias[kept])
    found = network.log_probabilities(features)
    torch.testing.assert_close(found[..., kept], logits.float().log_softmax(-1))
    assert (found[..., [PADDING, BEGIN]] == -torch.inf).all()
    labels = torch.full_like(inputs, kept[2])
    expected = F.cross_entropy(logits[0, : lengths[0]], torch.full((int(lengths[0]),), 2), label_smoothing=0.4)
    loss = network.loss(features[:1], labels[:1], lengths[:1], smoothing=0.4).smoothed / lengths[0]
    torch.testing.assert_close(loss, expected)


def test_tied_weights_are_one_parameter() -> None:
    for tie, count in (("none", 3), ("output", 2), ("all", 1)):
        network = make_seq2seq(tie_weights=tie, source_words=TARGET_WORDS)
        tables = (network.output.weight, network.decoder.embedding.table.weight, network.source_embedding.table.weight)
        assert len({id(table) for table in tables}) == count
        assert network.output.weight is tables[1] or tie == "none"


def test_one_hot_source_indexes_the_first_weights() -> None:
    network = make_seq2seq()
    shape: dict[str, Any] = {"cell": "gru", "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    made = Seq2Seq(
        source_embedding=OneHotEmbedding(vocab_size=SOURCE_WORDS),
        encoder=RecurrentStack(input_size=SOURCE_WORDS, one_hot=True, **shape),
        decoder=network.decoder,
        ids=SpecialIds(BEGIN, END),
    ).double()
    source, source_lengths, inputs, labels, lengths = PAIRS
    cost = made.loss(made(source, source_lengths, inputs, lengths).features, labels, lengths)
    cost.smoothed.backward()
    first: Any = made.encoder.cells[0]
    inside = torch.arange(source.shape[1]) < source_lengths.unsqueeze(1)
    assert set(first.weight_ih.grad.abs().sum(1).nonzero().flatten().tolist()) == set(source[inside].tolist())


class TestInvalidSettings:
    def test_unknown_names_are_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown tie_weights='source': expected one of none, output, all"):
            make_seq2seq(tie_weights="source")
        with pytest.raises(ValueError, match="unknown bridge 'first': expected one of zeros, last, learned"):
            make_seq2seq(bridge="first")

    def test_tying_unequal_sizes_is_refused(self) -> None:
        with pytest.raises(ValueError, match="the output size of the decoder is 7, that of the target embedding 6"):
            make_seq2seq(output_size=7)
        make_seq2seq(output_size=7, tie_weights="none")

    def test_tying_separate_vocabularies_is_refused(self) -> None:
        with pytest.raises(ValueError, match="requires a joint vocabulary"):
            make_seq2seq(tie_weights="all")

    def test_bidirectional_decoder_is_refused(self) -> None:
        stack = RecurrentStack(cell="gru", input_size=6, hidden_size=4, bidirectional=True)
        embedding = LearnedEmbedding(vocab_size=9, size=6, padding_id=PADDING)
        with pytest.raises(ValueError, match="cannot be bidirectional"):
            Decoder(embedding=embedding, stack=stack, attention=None, memory_size=4, output_size=6)

    def test_stack_of_another_input_size_is_refused(self) -> None:
        stack = RecurrentStack(cell="gru", input_size=6, hidden_size=4)
        embedding = LearnedEmbedding(vocab_size=9, size=6, padding_id=PADDING)
        with pytest.raises(ValueError, match="must be 10, got 6"):
            Decoder(embedding=embedding, stack=stack, attention=None, memory_size=4, output_size=6)
