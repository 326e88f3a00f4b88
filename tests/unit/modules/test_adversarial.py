"""Adversarial training: norm and direction of the perturbation, gradients, evaluation."""

import pytest
import torch
from torch.nn import functional as F

from sluice.data.collate import TextBatch
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.classifier import TextClassifier
from sluice.modules.base import Monitor
from sluice.modules.classification import ClassificationModule
from sluice.recurrent import RecurrentStack

EPSILON = 0.05
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


def classified_features(task: ClassificationModule, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The features classified for the training loss."""
    features: list[torch.Tensor] = []
    classify = task.network.classify
    monkeypatch.setattr(task.network, "classify", lambda x, lengths: (features.append(x), classify(x, lengths))[1])
    task.model_step(BATCH, "train")
    return features


def test_norm_of_the_perturbation_is_relative_to_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, perturbed = classified_features(make_task(EPSILON), monkeypatch)
    perturbation = perturbed - clean
    torch.testing.assert_close(perturbation.flatten(1).norm(dim=1), EPSILON * clean.flatten(1).norm(dim=1))
    assert torch.all(perturbation[1, 2:] == 0), "the padding was perturbed"


def test_loss_rises_more_than_in_random_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(EPSILON)
    clean, perturbed = classified_features(task, monkeypatch)
    norm = (perturbed - clean).flatten(1).norm(dim=1).view(-1, 1, 1)

    def loss(features: torch.Tensor) -> float:
        with torch.no_grad():
            return float(F.cross_entropy(task.network.classify(features, BATCH.lengths).logits, BATCH.labels))

    inside = (torch.arange(4) < BATCH.lengths.unsqueeze(1)).unsqueeze(-1)
    random = [torch.randn_like(clean) * inside for _ in range(20)]
    others = [loss(clean + norm * r / r.flatten(1).norm(dim=1).view(-1, 1, 1)) for r in random]
    assert loss(perturbed) > max(others)
    assert loss(perturbed) > loss(clean)


def test_every_parameter_gets_a_gradient() -> None:
    task = make_task(EPSILON)
    task.model_step(BATCH, "train")[0].backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in task.network.parameters())


def test_no_perturbation_in_evaluation() -> None:
    with torch.inference_mode():
        expected = make_task(0.0).model_step(BATCH, "val")[1]
        assert torch.equal(make_task(EPSILON).model_step(BATCH, "val")[1], expected)
