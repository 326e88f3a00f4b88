"""Adversarial training moves the embedded texts by the given share of their length, where it hurts, and only then."""

import pytest
import torch
from torch.nn import functional as F

from sluice.data.collate import TextBatch
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.classifier import TextClassifier
from sluice.modules.base import Monitor
from sluice.modules.classification import ClassificationModule
from sluice.recurrent import RecurrentStack

SHARE = 0.05
BATCH = TextBatch(
    torch.tensor([[5, 3, 8, 2], [4, 9, 1, 1]]), torch.tensor([4, 2]), torch.tensor([0, 1]), torch.tensor([0, 1])
)


def make_task(epsilon: float) -> ClassificationModule:
    torch.manual_seed(2)
    network = TextClassifier(
        embedding=LearnedEmbedding(vocab_size=10, size=6, padding_id=1),
        recurrent=RecurrentStack(cell="lstm", input_size=6, hidden_size=5, bidirectional=True),
        num_classes=2,
    )
    monitor = Monitor("val/loss", "min")
    return ClassificationModule(network=network, monitor=monitor, labels=("neg", "pos"), adversarial_epsilon=epsilon)


def seen_features(task: ClassificationModule, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What the network classified on the way to the training loss."""
    seen: list[torch.Tensor] = []
    classify = task.network.classify
    monkeypatch.setattr(task.network, "classify", lambda x, lengths: (seen.append(x), classify(x, lengths))[1])
    task.model_step(BATCH, "train")
    return seen


def test_each_text_is_moved_by_the_share_of_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, moved = seen_features(make_task(SHARE), monkeypatch)
    move = moved - clean
    torch.testing.assert_close(move.flatten(1).norm(dim=1), SHARE * clean.flatten(1).norm(dim=1))
    assert torch.all(move[1, 2:] == 0), "the padding was moved"


def test_the_loss_rises_more_than_along_any_random_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(SHARE)
    clean, moved = seen_features(task, monkeypatch)
    length = (moved - clean).flatten(1).norm(dim=1).view(-1, 1, 1)

    def loss(features: torch.Tensor) -> float:
        with torch.no_grad():
            return float(F.cross_entropy(task.network.classify(features, BATCH.lengths).logits, BATCH.labels))

    own_steps = (torch.arange(4) < BATCH.lengths.unsqueeze(1)).unsqueeze(-1)
    random = [torch.randn_like(clean) * own_steps for _ in range(20)]
    others = [loss(clean + length * r / r.flatten(1).norm(dim=1).view(-1, 1, 1)) for r in random]
    assert loss(moved) > max(others)
    assert loss(moved) > loss(clean)


def test_every_parameter_gets_a_gradient() -> None:
    task = make_task(SHARE)
    task.model_step(BATCH, "train")[0].backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in task.network.parameters())


def test_evaluation_sees_the_texts_as_they_are() -> None:
    with torch.inference_mode():
        expected = make_task(0.0).model_step(BATCH, "val")[1]
        assert torch.equal(make_task(SHARE).model_step(BATCH, "val")[1], expected)
