"""SequenceLabellingModule and RegressionModule: metrics of an epoch, training loss, carried state."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from sluice.data.collate import SequenceBatch
from sluice.layers.output_loss import IGNORED
from sluice.models.regressor import Regressor
from sluice.models.sequence_labeller import SequenceLabeller, SequenceLabellerOutput
from sluice.modules.base import Monitor
from sluice.modules.regression import RegressionModule
from sluice.modules.sequence_labelling import SequenceLabellingModule
from sluice.recurrent import RecurrentStack

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")  # Lightning's own

UNEVEN = [[7, 4, 1], [5, 5, 2], [12]]
TAGS = ("O", "B-x", "I-x")
uneven = pytest.mark.parametrize("sizes", UNEVEN, ids=str)
every_stage = pytest.mark.parametrize("stage", ["validate", "test"])


class Lookup(nn.Module):
    """Returns the logits of each id from a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 3, generator=torch.Generator().manual_seed(3)))

    def forward(self, inputs: Tensor, lengths: Tensor, state: Any = None) -> SequenceLabellerOutput:
        return SequenceLabellerOutput(self.table[inputs], None)


def sequences() -> SequenceBatch:
    """Twelve sequences of classes, many with ignored targets besides the padding."""
    draw = torch.Generator().manual_seed(4)
    lengths = torch.randint(1, 7, (12,), generator=draw)
    inputs = torch.randint(9, (12, 6), generator=draw)
    targets = torch.randint(3, (12, 6), generator=draw)
    targets[torch.rand(12, 6, generator=draw) < 0.2] = IGNORED
    targets[:4] = Lookup().table.argmax(1)[inputs[:4]]  # exact matches
    targets[torch.arange(6) >= lengths.unsqueeze(1)] = IGNORED
    return SequenceBatch(inputs, targets, lengths, torch.arange(12))


def cut(batch: SequenceBatch, sizes: list[int]) -> list[SequenceBatch]:
    parts = zip(*(part.split(sizes) for part in (batch.inputs, batch.targets, batch.lengths, batch.index)), strict=True)
    return [SequenceBatch(*part) for part in parts]


def compute_metrics(task: Any, batches: list[SequenceBatch], stage: str) -> dict[str, float]:
    loader: Any = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    (metrics,) = getattr(pl.Trainer(**quiet), stage)(task, loader, verbose=False)
    return {name.split("/")[1]: value for name, value in metrics.items()}


def make_labelling(network: nn.Module, **options: Any) -> SequenceLabellingModule:
    return SequenceLabellingModule(network=network, monitor=Monitor("val/loss", "min"), **options)


@every_stage
@uneven
def test_labelling_metrics_are_computed_over_all_steps(stage: str, sizes: list[int]) -> None:
    whole = sequences()
    found = compute_metrics(make_labelling(Lookup()), cut(whole, sizes), stage)
    counted = whole.targets != IGNORED
    logits = Lookup().table[whole.inputs]
    right = (logits.argmax(-1) == whole.targets)[counted]
    exact = [bool((logits.argmax(-1)[row] == whole.targets[row])[counted[row]].all()) for row in range(12)]
    assert set(found) == {"loss", "accuracy", "exact"}
    assert found["accuracy"] == pytest.approx(right.float().mean().item())
    assert found["exact"] == pytest.approx(sum(exact) / 12)
    assert 0.3 <= found["exact"] < 1
    assert found["loss"] == pytest.approx(F.cross_entropy(logits[counted], whole.targets[counted]).item())


@uneven
def test_span_f1_is_logged_for_tags_with_spans(sizes: list[int]) -> None:
    whole = sequences()
    whole.targets.masked_fill_((whole.targets == IGNORED) & (torch.arange(6) < whole.lengths.unsqueeze(1)), 0)
    task = make_labelling(Lookup(), tags=TAGS, scheme="iob2")
    others = ["val/loss", "val/accuracy", "val/exact"]
    assert task.validation_metrics == [*others, "val/f1", "val/precision", "val/recall"]
    found = compute_metrics(task, cut(whole, sizes), "test")
    expected = compute_metrics(make_labelling(Lookup(), tags=TAGS, scheme="iob2"), [whole], "test")
    assert found == pytest.approx(expected)
    assert 0 < found["f1"] < 1
    assert make_labelling(Lookup(), tags=TAGS).validation_metrics == others


def test_loss_is_the_mean_over_steps_with_a_target() -> None:
    whole, task = sequences(), make_labelling(Lookup())
    loss, logits = task.model_step(whole, "train")
    loss.backward()
    counted = whole.targets != IGNORED
    expected = F.cross_entropy(logits[counted], whole.targets[counted])
    torch.testing.assert_close(loss, expected)
    reference = Lookup()
    F.cross_entropy(reference.table[whole.inputs][counted], whole.targets[counted]).backward()
    torch.testing.assert_close(task.network.table.grad, reference.table.grad)  # type: ignore[union-attr]


def test_batch_without_targets_has_loss_0() -> None:
    whole = sequences()
    whole.targets.fill_(IGNORED)
    loss, _ = make_labelling(Lookup()).model_step(whole, "train")
    assert loss.item() == 0


def make_labeller(bidirectional: bool = False) -> SequenceLabeller:
    torch.manual_seed(1)
    stack = RecurrentStack(cell="lstm", input_size=2, hidden_size=4, bidirectional=bidirectional)
    return SequenceLabeller(recurrent=stack, num_outputs=3)


def chunks() -> list[SequenceBatch]:
    """Two streams of nine steps, in chunks of three."""
    draw = torch.Generator().manual_seed(6)
    features, targets = torch.randn(2, 9, 2, generator=draw), torch.randint(3, (2, 9), generator=draw)
    rows = torch.arange(2)
    return [
        SequenceBatch(features[:, at : at + 3], targets[:, at : at + 3], torch.tensor([3, 3]), rows, first=at == 0)
        for at in (0, 3, 6)
    ]


def test_state_is_carried_over_and_reset_for_new_streams() -> None:
    network = make_labeller()
    task = make_labelling(network, carry_state=True)
    expected = network(torch.cat([batch.inputs for batch in chunks()], 1), torch.tensor([9, 9])).outputs
    for _ in range(2):
        logits = [task.model_step(batch, "train")[1] for batch in chunks()]
        torch.testing.assert_close(torch.cat(logits, 1), expected)
    task.model_step(chunks()[1], "val")
    fresh = network(chunks()[1].inputs, torch.tensor([3, 3])).outputs
    torch.testing.assert_close(
        task.model_step(chunks()[0], "test")[1], network(chunks()[0].inputs, torch.tensor([3, 3])).outputs
    )
    torch.testing.assert_close(make_labelling(network).model_step(chunks()[1], "train")[1], fresh)


def test_carried_state_is_detached_and_can_be_loaded() -> None:
    network = make_labeller()
    task, other = (make_labelling(network, carry_state=True) for _ in range(2))
    assert task.recurrent_state() == {}
    task.model_step(chunks()[0], "train")
    saved = task.recurrent_state()
    assert not any(part.requires_grad for part in saved["train"])
    other.load_recurrent_state(saved)
    torch.testing.assert_close(other.model_step(chunks()[1], "train")[1], task.model_step(chunks()[1], "train")[1])
    other.load_recurrent_state({})


def values(every_step: bool) -> SequenceBatch:
    draw = torch.Generator().manual_seed(8)
    features = torch.randn(12, 5, 2, generator=draw)
    targets = torch.randn(12, 5, 3, generator=draw) if every_step else torch.randn(12, generator=draw)
    return SequenceBatch(features, targets, torch.full((12,), 5), torch.arange(12))


def make_regression(every_step: bool) -> RegressionModule:
    torch.manual_seed(2)
    stack = RecurrentStack(cell="gru", input_size=2, hidden_size=4)
    network = SequenceLabeller(recurrent=stack, num_outputs=3) if every_step else Regressor(recurrent=stack)
    return RegressionModule(network=network, monitor=Monitor("val/rmse", "min"))


@every_stage
@uneven
@pytest.mark.parametrize("every_step", [False, True])
def test_regression_metrics_are_computed_over_all_values(stage: str, sizes: list[int], every_step: bool) -> None:
    task, whole = make_regression(every_step), values(every_step)
    found = compute_metrics(task, cut(whole, sizes), stage)
    predicted = task.predict(whole).view_as(whole.targets)
    assert found["loss"] == pytest.approx(F.mse_loss(predicted, whole.targets).item(), rel=1e-5)
    assert found["rmse"] == pytest.approx(F.mse_loss(predicted, whole.targets).sqrt().item(), rel=1e-5)
    assert ("last_step" in found) == every_step
    if every_step:
        assert found["last_step"] == pytest.approx(F.mse_loss(predicted[:, -1], whole.targets[:, -1]).item(), rel=1e-5)
    assert [f"val/{name}" for name in found] == task.validation_metrics


@pytest.mark.parametrize("every_step", [False, True])
def test_regression_loss_is_the_mean_squared_error(every_step: bool) -> None:
    task, whole = make_regression(every_step), values(every_step)
    loss, predicted = task.model_step(whole, "train")
    assert predicted.shape == whole.targets.shape
    torch.testing.assert_close(loss, (predicted - whole.targets).square().mean())
