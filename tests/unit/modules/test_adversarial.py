"""Adversarial training: norm and direction of the perturbation, gradients, evaluation."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from sluice.data.collate import TextBatch
from sluice.layers.embedding import LearnedEmbedding
from sluice.layers.ngram_classifier import NgramClassifier
from sluice.models.classifier import TextClassifier
from sluice.modules.base import Monitor
from sluice.modules.classification import ClassificationModule
from sluice.recurrent import RecurrentStack

EPSILON = 0.05
BATCH = TextBatch(
    torch.tensor([[5, 3, 8, 2], [4, 9, 1, 1]]), torch.tensor([4, 2]), torch.tensor([0, 1]), torch.tensor([0, 1])
)


def make_task(epsilon: float, **options: Any) -> ClassificationModule:
    torch.manual_seed(2)
    network = TextClassifier(
        embedding=LearnedEmbedding(vocab_size=10, size=6, padding_id=1),
        recurrent=RecurrentStack(cell="lstm", input_size=6, hidden_size=5, bidirectional=True),
        num_classes=2,
    )
    monitor = Monitor("val/loss", "min")
    options |= {"labels": ("neg", "pos"), "adversarial_epsilon": epsilon}
    return ClassificationModule(network=network, monitor=monitor, **options)


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


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("options", [{}, {"class_weights": [0.3, 2.0]}, {"label_smoothing": 0.2}], ids=str)
def test_gradients_are_those_of_the_mean_of_both_losses(options: dict[str, Any], frozen: bool) -> None:
    """The perturbation of a second task is computed with a graph for the perturbation alone."""
    task, other = make_task(EPSILON, **options), make_task(EPSILON, **options)
    for each in (task, other):
        each.network.embedding.requires_grad_(not frozen)
    loss, _ = task.model_step(BATCH, "train")
    features = other.network.embed(BATCH.ids)
    leaf = features.detach().requires_grad_()
    plain = F.cross_entropy(other.network.classify(leaf, BATCH.lengths).logits, BATCH.labels, reduction="sum")
    (gradient,) = torch.autograd.grad(plain, leaf)
    scale = EPSILON * leaf.flatten(1).norm(dim=1) / gradient.flatten(1).norm(dim=1)
    perturbed = features + (scale.view(-1, 1, 1) * gradient).detach()
    weight = torch.tensor(options["class_weights"]) if "class_weights" in options else None
    smoothing = options.get("label_smoothing", 0.0)
    losses = [
        F.cross_entropy(
            other.network.classify(part, BATCH.lengths).logits, BATCH.labels, weight=weight, label_smoothing=smoothing
        )
        for part in (features, perturbed)
    ]
    expected = sum(losses) / 2
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for (name, mine), theirs in zip(task.network.named_parameters(), other.network.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None), name
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize(("precision", "expected"), [(None, 2), (torch.bfloat16, 2), (torch.float16, 3)])
def test_backward_passes_of_the_recurrent_stack(
    precision: torch.dtype | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each loss, and in float16, whose loss is scaled in the last one, another for the perturbation."""
    task = make_task(EPSILON)
    run = task.network.recurrent.forward
    passes: list[torch.Tensor] = []

    def noting(*args: Any) -> Any:
        outputs, state = run(*args)
        outputs.register_hook(lambda grad: passes.append(grad))
        return outputs, state

    monkeypatch.setattr(task.network.recurrent, "forward", noting)
    with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
        loss, _ = task.model_step(BATCH, "train")
    loss.backward()
    assert len(passes) == expected


def test_no_perturbation_in_evaluation() -> None:
    with torch.inference_mode():
        expected = make_task(0.0).model_step(BATCH, "val")[1]
        assert torch.equal(make_task(EPSILON).model_step(BATCH, "val")[1], expected)


@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
def test_classifier_of_ngrams_has_a_loss_of_its_own(epsilon: float) -> None:
    task = make_task(epsilon)
    linear = NgramClassifier(vocab_size=10, num_classes=2, buckets=20)
    linear.ratios.normal_()
    alone, _ = task.model_step(BATCH, "train")
    task.network.ngrams = linear
    together, logits = task.model_step(BATCH, "train")
    own = linear(BATCH.ids, torch.arange(4) < BATCH.lengths.unsqueeze(1))
    torch.testing.assert_close(together, alone + F.cross_entropy(own, BATCH.labels))
    torch.testing.assert_close(logits, task.network(BATCH.ids, BATCH.lengths).logits)
