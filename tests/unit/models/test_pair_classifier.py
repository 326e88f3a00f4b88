"""PairClassifier: gradients, independence of batch and order, exact contributions."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.models.pair_classifier import PairClassifier, PairClassifierOutput
from sluice.recurrent import CELLS, RecurrentStack

torch.set_num_threads(1)  # the tensors are too small for threads

WORDS, CLASSES, PAIRS = 10, 3, 3
LENGTHS = torch.tensor([3, 6, 1, 4, 2, 5])
"""Lengths of three first texts and of three second texts."""
NGRAMS, OFFSETS = torch.arange(2 * WORDS) % 13, torch.arange(WORDS + 1) * 2


def make_classifier(*, cell: str = "lstm", bidirectional: bool = True, **options: object) -> PairClassifier:
    torch.manual_seed(1)
    embedding = CharNgramEmbedding(buckets=13, size=5, initial_std=1.0)
    stack = RecurrentStack(cell=cell, input_size=5, hidden_size=4, bidirectional=bidirectional)
    settings = {"num_classes": CLASSES, "size": 6, **options}
    return PairClassifier(embedding=embedding, recurrent=stack, **settings)  # type: ignore[arg-type]


def texts(surplus: int = 2) -> Tensor:
    """(6, T) random words; padded with a word of the vocabulary."""
    draw = torch.Generator().manual_seed(5)
    words = torch.randint(1, WORDS, (len(LENGTHS), int(LENGTHS.max()) + surplus), generator=draw)
    return words.masked_fill(torch.arange(words.shape[1]) >= LENGTHS.unsqueeze(1), 9)


def run(classifier: PairClassifier, words: Tensor, lengths: Tensor = LENGTHS) -> PairClassifierOutput:
    return classifier(NGRAMS, OFFSETS, words, lengths)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_every_parameter_gets_a_gradient(cell: str) -> None:
    classifier = make_classifier(cell=cell)
    logits = run(classifier, texts()).logits
    assert logits.shape == (PAIRS, CLASSES)
    F.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    without = [name for name, own in classifier.named_parameters() if own.grad is None or not own.grad.any()]
    assert without == []
    assert all(own.grad.isfinite().all() for own in classifier.parameters())


@pytest.mark.parametrize("bidirectional", [False, True])
def test_single_pair_equals_itself_in_a_batch(bidirectional: bool) -> None:
    classifier, words = make_classifier(bidirectional=bidirectional), texts()
    batch = run(classifier, words)
    for pair in range(PAIRS):
        rows = [pair, PAIRS + pair]
        steps = int(LENGTHS[rows].max())
        alone = run(classifier, words[rows, :steps], LENGTHS[rows])
        torch.testing.assert_close(batch.logits[pair], alone.logits[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(batch.contributions[rows, :steps], alone.contributions, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(batch.weights[rows, :steps, :steps][alone.mask], alone.weights[alone.mask])
        assert (batch.contributions[rows, steps:] == 0).all()


def test_result_does_not_depend_on_the_order_of_the_texts() -> None:
    classifier, words = make_classifier(), texts()
    swapped = run(classifier, words.roll(PAIRS, 0), LENGTHS.roll(PAIRS))
    torch.testing.assert_close(swapped.logits, run(classifier, words).logits)


def test_logits_are_the_bias_plus_all_contributions() -> None:
    classifier = make_classifier()
    output = run(classifier, texts())
    first, second = output.contributions.sum(1).chunk(2)
    torch.testing.assert_close(output.logits, classifier.output.bias + first + second)


def test_changed_word_affects_itself_and_the_other_text() -> None:
    """With a unidirectional encoder, earlier words of the same text are unaffected."""
    classifier, words = make_classifier(bidirectional=False), texts()
    before = run(classifier, words)
    words[PAIRS, 3] = (words[PAIRS, 3] + 1) % WORDS
    after = run(classifier, words)
    torch.testing.assert_close(after.contributions[PAIRS, :3], before.contributions[PAIRS, :3])
    assert not torch.allclose(after.contributions[PAIRS, 3], before.contributions[PAIRS, 3])
    assert not torch.allclose(after.contributions[0, :3], before.contributions[0, :3])
    torch.testing.assert_close(after.contributions[1], before.contributions[1])


def test_attention_is_over_the_other_text() -> None:
    output = run(make_classifier(), texts())
    others = output.mask.roll(PAIRS, 0)
    assert (output.weights.masked_select(~others.unsqueeze(1)) == 0).all()
    torch.testing.assert_close(output.weights.sum(-1), torch.ones_like(output.weights[..., 0]))


def test_margin_contributions_match_an_example() -> None:
    contributions = torch.tensor([[[1.0, 2.0, 6.0], [0.0, 3.0, 0.0]], [[0.0, 1.0, 0.5], [9.0, 9.0, 9.0]]])
    mask = torch.tensor([[True, True], [True, False]])
    output = PairClassifierOutput(torch.tensor([[0.0, 8.0, 1.0]]), contributions, torch.zeros(2, 2, 2), mask)
    assert output.margin_contributions().tolist() == [[2 - 3.5, 3.0, 0.75, float("-inf")]]


@pytest.mark.parametrize("kind", ["input_dropout", "output_dropout"])
def test_dropout_is_applied_in_training_only(kind: str) -> None:
    dropping, expected = make_classifier(**{kind: 0.5}), run(make_classifier(), texts()).logits
    torch.testing.assert_close(run(dropping.eval(), texts()).logits, expected)
    assert not torch.allclose(run(dropping.train(), texts()).logits, expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"output_dropout": 1.0}, r"\[0, 1\), got 1\.0"),
    ],
)
def test_invalid_arguments_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_classifier(**wrong)
