"""ClassificationModule: metrics of an epoch and training loss."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from sluice.data.collate import TextBatch
from sluice.models.classifier import ClassifierOutput
from sluice.modules.base import Monitor
from sluice.modules.classification import ClassificationModule, scores_of

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")  # Lightning's own

UNEVEN = [[7, 4, 1], [5, 5, 2], [1, 11], [12]]
"""Batch sizes; twelve texts in total."""


class Lookup(nn.Module):
    """Returns the logits of each text, which has one id, from a table."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, ids: Tensor, lengths: Tensor) -> ClassifierOutput:
        return ClassifierOutput(self.table[ids[:, 0]], None)


def make_task(classes: int, **options: Any) -> ClassificationModule:
    table = torch.randn(12, classes, generator=torch.Generator().manual_seed(3))
    names = tuple("abc"[:classes])
    return ClassificationModule(network=Lookup(table), monitor=Monitor("val/loss", "min"), labels=names, **options)


def test_network_of_a_custom_task_may_have_a_layer_named_ngrams() -> None:
    task = make_task(3)
    before, _ = task.model_step(batch_of(torch.arange(12), 3), "train")
    task.network.ngrams = nn.Linear(1, 3)  # type: ignore[assignment]
    after, _ = task.model_step(batch_of(torch.arange(12), 3), "train")
    assert torch.equal(before, after)


def labels_of(classes: int) -> Tensor:
    return torch.randint(classes, (12,), generator=torch.Generator().manual_seed(4))


def batch_of(index: Tensor, classes: int) -> TextBatch:
    return TextBatch(index.unsqueeze(1), torch.ones(len(index), dtype=torch.int64), labels_of(classes)[index], index)


def compute_metrics(
    task: ClassificationModule, sizes: list[int], classes: int, stage: str = "validate"
) -> dict[str, float]:
    """Metrics of one epoch over batches of these sizes."""
    batches = [batch_of(index, classes) for index in torch.arange(12).split(sizes)]
    loader: Any = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    (metrics,) = getattr(pl.Trainer(**quiet), stage)(task, loader, verbose=False)
    return {name.split("/")[1]: value for name, value in metrics.items()}


def expected_f1(predicted: Tensor, labels: Tensor, positive: int) -> float:
    right = ((predicted == positive) & (labels == positive)).sum().item()
    return 2 * right / ((predicted == positive).sum() + (labels == positive).sum()).item()


def expected_auroc(scores: Tensor, labels: Tensor) -> float:
    """Fraction of pairs, one of each class, in which the positive one has the higher score."""
    return (scores[labels == 1].unsqueeze(1) > scores[labels == 0]).float().mean().item()


@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("sizes", UNEVEN, ids=str)
def test_metrics_of_two_classes_are_computed_over_all_texts(sizes: list[int], stage: str) -> None:
    task, labels = make_task(2), labels_of(2)
    logits = task.network.table.detach()
    metrics = compute_metrics(task, sizes, 2, stage)
    assert metrics["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert metrics["f1"] == pytest.approx(expected_f1(logits.argmax(1), labels, 1))
    assert metrics["auroc"] == pytest.approx(expected_auroc(logits.softmax(1)[:, 1], labels), abs=1e-6)
    assert 0 < metrics["accuracy"] < 1


@pytest.mark.parametrize("sizes", UNEVEN, ids=str)
def test_metrics_of_three_classes_are_computed_over_all_texts(sizes: list[int]) -> None:
    task, labels = make_task(3), labels_of(3)
    logits = task.network.table.detach()
    metrics = compute_metrics(task, sizes, 3)
    assert metrics.keys() == {"accuracy", "f1", "loss"}
    assert metrics["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert metrics["f1"] == pytest.approx(sum(expected_f1(logits.argmax(1), labels, k) for k in range(3)) / 3)


def test_metrics_are_reset_after_an_epoch() -> None:
    task = make_task(2)
    first = compute_metrics(task, [7, 5], 2)
    task.network.table.data = -task.network.table.data
    second = compute_metrics(task, [7, 5], 2)
    assert second["accuracy"] == pytest.approx(1 - first["accuracy"])
    assert second["auroc"] == pytest.approx(1 - first["auroc"])


def test_confusion_matrix_counts_all_texts() -> None:
    task, labels = make_task(3), labels_of(3)
    compute_metrics(task, [5, 7], 3, "test")
    predicted = task.network.table.argmax(1)
    expected = [[int(((labels == row) & (predicted == column)).sum()) for column in range(3)] for row in range(3)]
    assert task.confusion_matrix() == expected
    assert sum(map(sum, expected)) == 12


def test_class_weights_are_used_in_training_only() -> None:
    task, labels = make_task(3, class_weights=[1.0, 5.0, 0.5]), labels_of(3)
    batch, logits = batch_of(torch.arange(12), 3), task.network.table
    weighted = F.cross_entropy(logits, labels, weight=torch.tensor([1.0, 5.0, 0.5]))
    assert task.model_step(batch, "train")[0].item() == pytest.approx(weighted.item())
    assert task.model_step(batch, "val")[0].item() == pytest.approx(F.cross_entropy(logits, labels).item())
    assert task.model_step(batch, "test")[0].item() != pytest.approx(weighted.item())


def test_labels_are_smoothed_in_training_only() -> None:
    task, labels = make_task(2, label_smoothing=0.2), labels_of(2)
    batch, logits = batch_of(torch.arange(12), 2), task.network.table
    target = F.one_hot(labels, 2) * 0.8 + 0.1
    smoothed = -(target * logits.log_softmax(1)).sum(1).mean()
    assert task.model_step(batch, "train")[0].item() == pytest.approx(smoothed.item())
    assert task.model_step(batch, "val")[0].item() == pytest.approx(F.cross_entropy(logits, labels).item())


def test_validation_metrics_are_those_logged() -> None:
    for classes in (2, 3):
        task = make_task(classes)
        logged = {f"val/{name}" for name in compute_metrics(task, [12], classes)}
        assert set(task.validation_metrics) == logged


def test_training_requires_an_optimizer() -> None:
    with pytest.raises(ValueError, match="without an optimizer"):
        make_task(2).configure_optimizers()


def test_loss_of_probabilities_is_the_finite_cross_entropy() -> None:
    logits, labels = torch.tensor([[0.3, -1.0], [2.0, 1.0], [0.0, 0.0]]), torch.tensor([0, 1, 1])
    scores, confusion = scores_of(logits.softmax(-1), labels)
    assert scores["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)))
    assert confusion == [[1, 0], [2, 0]]
    certain, _ = scores_of(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 1]))
    assert 0 < certain["loss"] < 100
