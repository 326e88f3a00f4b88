"""Groups of parameters by layer, and their learning rates and gradients in fine-tuning."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from sluice.callbacks.gradual_unfreezing import GradualUnfreezing
from sluice.data.collate import TextBatch
from sluice.errors import UserError
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.classifier import TextClassifier
from sluice.modules.classification import ClassificationModule
from sluice.optim.configured import ConfiguredSchedule
from sluice.optim.layer_groups import layer_groups
from sluice.optim.schedules import cosine, one_cycle
from sluice.recurrent import RecurrentStack

BATCH = TextBatch(torch.tensor([[5, 3, 8, 2]]), torch.tensor([4]), torch.tensor([0]), torch.tensor([0]))
EXPECTED = ["output", "recurrent.cells.2 recurrent.cells.3", "recurrent.cells.0 recurrent.cells.1", "embedding.table"]


def make_network() -> TextClassifier:
    torch.manual_seed(2)
    return TextClassifier(
        embedding=LearnedEmbedding(vocab_size=10, size=6, padding_id=1),
        recurrent=RecurrentStack(cell="lstm", input_size=6, hidden_size=5, num_layers=2, bidirectional=True),
        num_classes=2,
    )


def make_task(layer_decay: float, schedule: Any = None) -> ClassificationModule:
    return ClassificationModule(
        network=make_network(),
        labels=("neg", "pos"),
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.1),
        schedule=schedule,
        layer_decay=layer_decay,
    )


def layers_of(network: nn.Module, parameters: list[nn.Parameter]) -> str:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return " ".join(dict.fromkeys(names[id(parameter)].rpartition(".")[0] for parameter in parameters))


def test_groups_go_from_the_output_to_the_embedding() -> None:
    network = make_network()
    groups = layer_groups(network)
    assert [layers_of(network, group) for group in groups] == EXPECTED
    assert sum(map(len, groups)) == len(list(network.parameters()))


def test_frozen_parameters_are_left_out() -> None:
    network = make_network()
    network.embedding.requires_grad_(False)
    assert layer_groups(network)[-1] == []


def test_networks_without_one_core_are_refused() -> None:
    with pytest.raises(UserError, match="cannot be used with Linear"):
        layer_groups(nn.Linear(2, 2))


ONE_CYCLE = ConfiguredSchedule(torch.optim.lr_scheduler.OneCycleLR, {"max_lr": 0.2})
CYCLIC = ConfiguredSchedule(torch.optim.lr_scheduler.CyclicLR, {"base_lr": 0.1, "max_lr": 0.2, "cycle_momentum": False})


@pytest.mark.parametrize("schedule", [None, cosine, one_cycle, ONE_CYCLE, CYCLIC])
def test_learning_rate_falls_from_layer_to_layer(schedule: Any) -> None:
    task = make_task(0.5, schedule)
    task.trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    made: Any = task.configure_optimizers()
    groups = (made if schedule is None else made["optimizer"]).param_groups
    assert [layers_of(task.network, group["params"]) for group in groups] == EXPECTED
    rates = [group["lr"] for group in groups]
    assert rates == pytest.approx([rates[0] * factor for factor in (1, 0.5, 0.25, 0.125)])
    assert not any("factor" in group for group in groups)


def test_layers_are_unfrozen_from_the_top() -> None:
    task, unfreezing = make_task(1.0), GradualUnfreezing(epochs_per_layer=2)
    for epoch, trained in enumerate([1, 1, 2, 2, 3, 3, 4, 4, 4]):
        trainer: Any = SimpleNamespace(current_epoch=epoch)
        task.zero_grad()
        task.network(BATCH.ids, BATCH.lengths).logits.sum().backward()
        unfreezing.on_after_backward(trainer, task)
        groups = layer_groups(task.network)
        has_gradient = [[parameter.grad is not None for parameter in group] for group in groups]
        assert all(map(all, has_gradient[:trained]))
        assert not any(map(any, has_gradient[trained:]))


def test_fewer_than_one_epoch_per_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        GradualUnfreezing(epochs_per_layer=0)
