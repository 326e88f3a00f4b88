"""F1 and AUROC: as torchmetrics with several classes, NaN with one."""

import warnings

import pytest
import torch
from torchmetrics.classification import BinaryAUROC, BinaryF1Score, MulticlassF1Score

from sluice.metrics.classification_scores import F1, AreaUnderROC, MacroF1


@pytest.mark.parametrize(("own", "torchs"), [(F1, BinaryF1Score), (AreaUnderROC, BinaryAUROC)])
def test_two_classes(own, torchs):
    made, expected = own(), torchs()
    for _ in range(3):
        probabilities, labels = torch.rand(8), torch.randint(2, (8,))
        labels[:2] = torch.tensor([0, 1])
        made.update(probabilities, labels)
        expected.update(probabilities, labels)
    assert made.compute() == expected.compute()


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("metric", [F1, AreaUnderROC])
def test_one_of_two_classes_is_undefined_without_a_warning(metric, label):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = metric()
        made.update(torch.rand(5), torch.full((5,), label))
        assert made.compute().isnan()


def test_several_classes():
    probabilities, labels = torch.rand(30, 4), torch.randint(4, (30,))
    assert MacroF1(4)(probabilities, labels) == MulticlassF1Score(num_classes=4, average="macro")(probabilities, labels)
    assert MacroF1(4)(probabilities, torch.full((30,), 2)).isnan()
