"""F1 and AUROC, which are NaN where they are not defined: in texts of a single class."""

import warnings

from torch import Tensor
from torchmetrics.classification import BinaryAUROC, BinaryF1Score, MulticlassF1Score
from torchmetrics.utilities import dim_zero_cat


class F1(BinaryF1Score):
    """F1 score of the second of two classes; NaN if all texts are of one class.

    Example:
        >>> import torch
        >>> metric = F1()
        >>> metric(torch.tensor([0.9, 0.2]), torch.tensor([1, 1]))
        tensor(nan)
    """

    def compute(self) -> Tensor:
        tp, fp, tn, fn = (dim_zero_cat(state) for state in (self.tp, self.fp, self.tn, self.fn))
        both = (tp + fn > 0) & (tn + fp > 0)
        return super().compute().masked_fill(~both, float("nan"))


class MacroF1(MulticlassF1Score):
    """Mean of the F1 scores of several classes; NaN if all texts are of one class."""

    def __init__(self, num_classes: int) -> None:
        """
        Args:
            num_classes: number of classes.
        """
        super().__init__(num_classes=num_classes, average="macro")

    def compute(self) -> Tensor:
        several = (dim_zero_cat(self.tp) + dim_zero_cat(self.fn) > 0).sum() > 1
        return super().compute().masked_fill(~several, float("nan"))


class AreaUnderROC(BinaryAUROC):
    """Area under the ROC curve of the second of two classes; NaN if all texts are of one class."""

    def compute(self) -> Tensor:  # type: ignore[override]
        targets = dim_zero_cat(self.target)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No (positive|negative) samples in targets")
            return super().compute().masked_fill(targets.min() == targets.max(), float("nan"))
