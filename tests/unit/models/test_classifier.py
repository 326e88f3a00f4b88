"""TextClassifier: gradients, independence of the batch, segments, dropout, saving."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sluice.layers.embedding import make_embedding
from sluice.layers.ngram_classifier import NgramClassifier
from sluice.models.classifier import TextClassifier
from sluice.options import EMBEDDINGS, POOLINGS
from sluice.recurrent import CELLS, RecurrentStack

torch.set_num_threads(1)  # the tensors are too small for threads

WORDS, CLASSES = 12, 3
ALL_CELLS = sorted(CELLS)
LENGTHS = torch.tensor([3, 7, 1, 5])
# pooling "last" refuses segments
LAYOUTS = [(pooling, size) for pooling in POOLINGS for size in (None, 3) if not (pooling.startswith("last") and size)]
every_layout = pytest.mark.parametrize(("pooling", "segment_length"), LAYOUTS)


def make_classifier(
    *,
    cell: str = "lstm",
    embedding: str = "learned",
    word_dropout: float = 0.0,
    bidirectional: bool = True,
    num_classes: int = CLASSES,
    hidden_size: int | list[int] = 8,
    **options: object,
) -> TextClassifier:
    torch.manual_seed(1)
    words = make_embedding(embedding, vocab_size=WORDS, size=5, padding_id=0, word_dropout=word_dropout)
    stack = RecurrentStack(
        cell=cell,
        input_size=words.output_size,
        hidden_size=hidden_size,
        num_layers=2,
        bidirectional=bidirectional,
        initial_state="learned",
        one_hot=words.one_hot,
    )
    return TextClassifier(embedding=words, recurrent=stack, num_classes=num_classes, **options)  # type: ignore[arg-type]


def texts(lengths: Tensor = LENGTHS, surplus: int = 2) -> Tensor:
    """(B, T) random word ids, padded."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(1, WORDS, (len(lengths), int(lengths.max()) + surplus), generator=draw)
    return ids.masked_fill(torch.arange(ids.shape[1]) >= lengths.unsqueeze(1), 0)


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
@every_layout
def test_every_parameter_gets_a_gradient(cell: str, embedding: str, pooling: str, segment_length: int | None) -> None:
    classifier = make_classifier(cell=cell, embedding=embedding, pooling=pooling, segment_length=segment_length)
    logits = classifier(texts(), LENGTHS).logits
    assert logits.shape == (len(LENGTHS), CLASSES)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 1])).backward()
    without = [name for name, own in classifier.named_parameters() if own.grad is None or not own.grad.any()]
    assert without == []
    assert all(own.grad.isfinite().all() for own in classifier.parameters())


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@every_layout
def test_single_text_equals_itself_in_a_batch(embedding: str, pooling: str, segment_length: int | None) -> None:
    classifier = make_classifier(embedding=embedding, pooling=pooling, segment_length=segment_length)
    ids = texts()
    ids = torch.where(ids == 0, 9, ids)  # a word id instead of the padding id
    batch = classifier(ids, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = classifier(ids[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(batch.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
        if batch.weights is not None:
            torch.testing.assert_close(batch.weights[row, :length], alone.weights[0], atol=1e-5, rtol=1e-5)
            assert (batch.weights[row, length:] == 0).all()


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("pooling", [pooling for pooling in POOLINGS if not pooling.startswith("last")])
def test_single_segment_equals_no_segments(embedding: str, pooling: str) -> None:
    ids = texts()
    plain = make_classifier(embedding=embedding, pooling=pooling)
    for size in (ids.shape[1], 50):
        segmented = make_classifier(embedding=embedding, pooling=pooling, segment_length=size)
        segmented.load_state_dict(plain.state_dict())
        torch.testing.assert_close(segmented(ids, LENGTHS).logits, plain(ids, LENGTHS).logits)


def test_segments_start_from_the_initial_state() -> None:
    """The mean over a text is the mean over its segments as separate texts, weighted by their lengths."""
    classifier, plain = make_classifier(pooling="mean", segment_length=3), make_classifier(pooling="mean")
    ids = texts()
    logits = classifier(ids, LENGTHS).logits
    for row, length in enumerate(LENGTHS.tolist()):
        pieces = ids[row, :length].split(3)
        own = sum(len(piece) * plain(piece.unsqueeze(0), torch.tensor([len(piece)])).logits[0] for piece in pieces)
        torch.testing.assert_close(logits[row], own / length)
    assert not torch.allclose(logits, plain(ids, LENGTHS).logits)


@pytest.mark.parametrize("hidden_size", [8, [8, 3]], ids=["equal", "unequal"])
def test_last_pooling_uses_the_top_layer_in_both_directions(hidden_size: int | list[int]) -> None:
    classifier = make_classifier(pooling="last", hidden_size=hidden_size)
    ids = texts()
    outputs, _ = classifier.recurrent(classifier.embedding(ids), LENGTHS)
    forward, backward = outputs.chunk(2, -1)
    own = torch.cat([forward[torch.arange(4), LENGTHS - 1], backward[:, 0]], -1)
    torch.testing.assert_close(classifier(ids, LENGTHS).logits, classifier.output(own))


@pytest.mark.parametrize("segment_length", [None, 3])
@pytest.mark.parametrize("lengths", [[0, 4], [10, 4]])
def test_invalid_lengths_are_refused(segment_length: int | None, lengths: list[int]) -> None:
    classifier = make_classifier(pooling="mean", segment_length=segment_length)
    with pytest.raises(ValueError, match="between 1 and the 9 steps"):
        classifier(torch.ones(2, 9, dtype=torch.int64), torch.tensor(lengths))


@pytest.mark.parametrize("kind", ["input_dropout", "output_dropout", "word_dropout"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_dropout_is_applied_in_training_only(kind: str, pooling: str) -> None:
    dropping, plain = make_classifier(pooling=pooling, **{kind: 0.5}), make_classifier(pooling=pooling)
    ids, expected = texts(), plain(texts(), LENGTHS).logits
    torch.testing.assert_close(dropping.eval()(ids, LENGTHS).logits, expected)
    first, second = (dropping.train()(ids, LENGTHS).logits for _ in range(2))
    assert not torch.allclose(first, expected)
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_save_and_load_give_the_same_logits(tmp_path: Path, cell: str, embedding: str) -> None:
    options = {"cell": cell, "embedding": embedding, "pooling": "attention", "segment_length": 3}
    saved, loaded = make_classifier(**options), make_classifier(**options)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(0.1)
    assert not torch.allclose(saved(texts(), LENGTHS).logits, loaded(texts(), LENGTHS).logits)
    torch.save(saved.state_dict(), tmp_path / "weights.pt")
    loaded.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(saved(texts(), LENGTHS).logits, loaded(texts(), LENGTHS).logits)


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("embedding", ["learned", "onehot"])
def test_overfits_eight_texts(cell: str, embedding: str) -> None:
    classifier = make_classifier(cell=cell, embedding=embedding, num_classes=2)
    lengths = torch.tensor([4, 6, 3, 8, 8, 5, 7, 6])
    ids, labels = texts(lengths), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.06)
    losses = []
    for _ in range(35):
        loss = F.cross_entropy(classifier(ids, lengths).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.4
    assert losses[-1] < 0.05
    assert torch.equal(classifier(ids, lengths).logits.argmax(1), labels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"pooling": "first"}, r"'first'.*last, max, mean, max_mean, last_max_mean, attention"),
        ({"pooling": "last", "segment_length": 3}, "last state of one segment"),
        ({"segment_length": 0}, "segment_length.*0"),
        ({"input_dropout": 1.0}, r"\[0, 1\), got 1\.0"),
        ({"output_dropout": -0.5}, r"\[0, 1\), got -0\.5"),
        ({"ngrams": NgramClassifier(vocab_size=9, num_classes=CLASSES, buckets=5)}, "differ, 9 words in the n-grams"),
    ],
)
def test_invalid_arguments_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_classifier(**wrong)  # type: ignore[arg-type]
