"""Many-to-one classification."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Accuracy, ConfusionMatrix, Metric, MetricCollection

from sluice.data.collate import LabelledBatch, TextBatch
from sluice.layers.ngram_classifier import NgramClassifier
from sluice.metrics.classification_scores import F1, AreaUnderROC, MacroF1
from sluice.metrics.metric_dict import MetricDict
from sluice.metrics.weighted_mean import WeightedMean
from sluice.models.classifier import TextClassifier
from sluice.modules.base import STAGES, TaskModule
from sluice.modules.known_gradients import attach_gradients
from sluice.modules.monitor import Monitor


class ClassificationModule(TaskModule):
    """Classification with cross-entropy; logs accuracy, F1 and, for two classes, AUROC.

    The test also computes a confusion matrix. Metrics of an epoch are computed over all texts and ranks, never averaged
    over batches.

    Example:
        >>> from sluice.layers.embedding import make_embedding
        >>> from sluice.recurrent import RecurrentStack
        >>> embedding = make_embedding("learned", vocab_size=100, size=8, padding_id=1, word_dropout=0.0)
        >>> recurrent = RecurrentStack(cell="lstm", input_size=8, hidden_size=16)
        >>> network = TextClassifier(embedding=embedding, recurrent=recurrent, num_classes=2)
        >>> module = ClassificationModule(network=network, labels=("neg", "pos"))
        >>> ids, lengths = torch.randint(2, 100, (4, 12)), torch.tensor([12, 9, 5, 1])
        >>> batch = TextBatch(ids, lengths, labels=torch.tensor([0, 1, 1, 0]), index=torch.arange(4))
        >>> loss, logits = module.model_step(batch, "train")
        >>> logits.shape
        torch.Size([4, 2])
    """

    network: TextClassifier
    default_monitor = Monitor("val/accuracy", "max")

    def __init__(
        self,
        *,
        labels: tuple[str, ...],
        label_smoothing: float = 0.0,
        class_weights: list[float] | None = None,
        adversarial_epsilon: float = 0.0,
        **options: Any,
    ) -> None:
        """
        Args:
            labels: class names; the position is the class id. F1 of two classes is that of the second.
            label_smoothing: probability mass spread over all classes, in training only.
            class_weights: weight of each class in the training loss; None for equal weights.
            adversarial_epsilon: norm of the perturbation of the embedded text in training, as a fraction of the norm of
                the text; 0 for none. The loss is then the mean over the texts and the perturbed texts.
            options: arguments of TaskModule.
        """
        super().__init__(**options)
        self.labels, self.label_smoothing = labels, label_smoothing
        self.class_weights, self.adversarial_epsilon = class_weights, adversarial_epsilon
        weights = None if class_weights is None else torch.tensor(class_weights)
        self._class_weights: Tensor | None
        self.register_buffer("_class_weights", weights, persistent=False)
        self.metrics: MetricDict[MetricCollection] = MetricDict(
            {f"{stage}_metrics": _metrics(stage, len(labels)) for stage in ("val", "test")}
        )
        self.losses: MetricDict[WeightedMean] = MetricDict({f"{stage}_loss": WeightedMean() for stage in STAGES})
        self.train_accuracy = Accuracy(task="multiclass", num_classes=len(labels))
        self.confusion = ConfusionMatrix(task="multiclass", num_classes=len(labels))
        self._confusion = torch.zeros(len(labels), len(labels))

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics logged in validation, which can be monitored."""
        return ["val/loss", *self.metrics["val_metrics"]]

    def model_step(self, batch: LabelledBatch, stage: str) -> tuple[Tensor, Tensor]:
        """Returns the loss to minimise and the logits (B, classes); accumulates the plain cross-entropy of `stage`."""
        if stage == "train":
            loss, logits = self._loss_and_logits(batch)
        else:
            logits = self.compute_logits(batch, stage)
        plain = F.cross_entropy(logits, batch.labels)
        self.losses[f"{stage}_loss"].update(plain, len(batch))
        return (loss if stage == "train" else plain), logits

    def compute_logits(self, batch: LabelledBatch, stage: str) -> Tensor:
        """Returns the logits (B, classes) of a batch."""
        assert isinstance(batch, TextBatch)
        return self.network(batch.ids, batch.lengths).logits

    def _loss_and_logits(self, batch: LabelledBatch) -> tuple[Tensor, Tensor]:
        """Returns the loss to minimise and the logits (B, classes).

        A classifier of n-grams has a loss of its own. With a common one it would fit the training texts alone, and the
        recurrent part would learn little.
        """
        has_ngrams = isinstance(getattr(self.network, "ngrams", None), NgramClassifier)  # custom networks differ
        if not isinstance(batch, TextBatch) or not (has_ngrams or self.adversarial_epsilon):
            logits = self.compute_logits(batch, "train")
            return self._training_loss(logits, batch.labels), logits
        features = self.network.embed(batch.ids)
        if self.adversarial_epsilon:
            assert isinstance(features, Tensor)
            loss, logits = self._adversarial_loss(features, batch)
        else:
            logits = self.network.classify(features, batch.lengths).logits
            loss = self._training_loss(logits, batch.labels)
        ngram_logits = self.network.ngram_logits(batch.ids, batch.lengths) if has_ngrams else None
        if ngram_logits is None:
            return loss, logits
        return loss + self._training_loss(ngram_logits, batch.labels), logits + ngram_logits

    def _training_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weight = None if self._class_weights is None else self._class_weights.to(logits.dtype)
        return F.cross_entropy(logits, labels, weight=weight, label_smoothing=self.label_smoothing)

    def _adversarial_loss(self, features: Tensor, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Returns the mean loss of the texts and the adversarially perturbed texts, and the logits of the texts.

        Miyato, Dai & Goodfellow (2017), "Adversarial training methods for semi-supervised text classification", eq. 5:
        r = ε g / ‖g‖ with g the gradient of the loss, each text as one vector; ε is relative to the norm of the text.
        """
        clean, logits, gradient = self._loss_and_gradient(features, batch)
        scale = features.detach().flatten(1).norm(dim=1) / gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
        perturbed = features + self.adversarial_epsilon * scale.view(-1, 1, 1) * gradient
        perturbed_logits = self.network.classify(perturbed, batch.lengths).logits
        return (clean + self._training_loss(perturbed_logits, batch.labels)) / 2, logits

    def _loss_and_gradient(self, features: Tensor, batch: TextBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the loss, the logits and, up to a factor for each text, the gradient of the plain loss by `features`.

        Where the loss is the plain one, its gradients by the weights are computed at the same time. Not in float16,
        where they would need the loss scaling of the backward pass.
        """
        inputs = features.detach().requires_grad_()
        device = features.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
        if self.label_smoothing or dtype == torch.float16:
            inputs = features if features.requires_grad else inputs
            logits = self.network.classify(inputs, batch.lengths).logits
            plain = F.cross_entropy(logits, batch.labels, reduction="sum")
            (gradient,) = torch.autograd.grad(plain, inputs, retain_graph=True)
            return self._training_loss(logits, batch.labels), logits, gradient
        logits = self.network.classify(inputs, batch.lengths).logits
        loss = self._training_loss(logits, batch.labels)
        weights = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        grads = torch.autograd.grad(loss, [inputs, *weights], allow_unused=True)
        return attach_gradients(loss, [features, *weights], grads), logits, grads[0]

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        loss, logits = self.model_step(batch, "train")
        self.train_accuracy.update(logits.detach(), batch.labels)
        self.log("train/loss", loss, batch_size=len(batch))
        self.log_number("train/padding_fraction", batch.padding_fraction, len(batch))
        epoch = {"train/epoch_loss": self.losses["train_loss"], "train/accuracy": self.train_accuracy}
        self.log_epoch(epoch, len(batch))
        return loss

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate(batch, "val")

    def test_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        outputs = self._evaluate(batch, "test")
        self.confusion.update(outputs["probabilities"], batch.labels)
        return outputs

    def predict_step(self, batch: LabelledBatch, batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the (B,) indices of the texts, their probabilities (B, classes) and their labels (B,), on the CPU."""
        probabilities = self.compute_logits(batch, "test").float().softmax(-1)
        return batch.index, probabilities.cpu(), batch.labels.cpu()

    def confusion_matrix(self) -> list[list[int]]:
        """Returns the counts of the last test by true class (outer) and predicted class (inner)."""
        return self._confusion.int().tolist()

    def on_test_epoch_end(self) -> None:
        self._confusion = self.confusion.compute()
        self.confusion.reset()

    def _evaluate(self, batch: LabelledBatch, stage: str) -> dict[str, Tensor]:
        _, logits = self.model_step(batch, stage)
        probabilities = logits.float().softmax(-1)
        metrics = self.metrics[f"{stage}_metrics"]
        metrics.update(probabilities[:, 1] if len(self.labels) == 2 else probabilities, batch.labels)
        self.log_epoch(metrics, len(batch))
        self.log_epoch({f"{stage}/loss": self.losses[f"{stage}_loss"]}, len(batch))
        return {"probabilities": probabilities}


def scores_of(probabilities: Tensor, labels: Tensor) -> tuple[dict[str, float], list[list[int]]]:
    """Returns the metrics of a test, and the confusion matrix: true classes (outer), predicted classes (inner).

    Args:
        probabilities: (N, classes).
        labels: (N,) int64.
    """
    classes = probabilities.shape[1]
    metrics, confusion = _metrics("", classes), ConfusionMatrix(task="multiclass", num_classes=classes)
    found = metrics(probabilities[:, 1] if classes == 2 else probabilities, labels)
    scores = {name.removeprefix("/"): float(value) for name, value in found.items()}
    loss = F.nll_loss(probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log(), labels)
    return {**scores, "loss": float(loss)}, confusion(probabilities, labels).int().tolist()


def _metrics(stage: str, classes: int) -> MetricCollection:
    metrics: dict[str, Metric | MetricCollection]
    if classes == 2:
        metrics = {"accuracy": Accuracy(task="binary"), "f1": F1(), "auroc": AreaUnderROC()}
    else:
        metrics = {"accuracy": Accuracy(task="multiclass", num_classes=classes), "f1": MacroF1(classes)}
    return MetricCollection(metrics, prefix=f"{stage}/", compute_groups=False)
