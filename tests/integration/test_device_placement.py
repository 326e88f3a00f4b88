"""Every task trains and evaluates on an emulated GPU, without tensors left on the CPU and without synchronisation."""

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sluice.composition.compose import checked
from sluice.modules.base import TaskModule
from sluice.recipes.registry import recipe_of
from small_configs import TASKS, compose_small, write_own_files
from standin_gpu import GPU, OnGPU, standin_gpu, to_gpu, waits

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
SHAPES_DEPEND_ON_DATA = {
    "nonzero.default at layers/heads.py:_assign": "adaptive softmax: rows with targets in a tail cluster",
}
"""Permitted synchronisation points of training, with the reason."""
CHOICES: dict[str, tuple[str, ...]] = {
    **{f"task={task}": () for task in TASKS},
    "task=wikitext2 adaptive": ("task.head=adaptive", "task.cutoffs=[8,16]"),
    "task=wikitext2 awd-lstm": (
        *("task.head=full", "task.tie_weights=output", "task.projection=true", "model.weight_dropout=0.5"),
        *("task.activation_regularisation=2", "task.temporal_regularisation=1", "model.variational=true"),
        *("model.num_layers=2", "model.dropout=0.2", "model.input_dropout=0.2", "model.initial_state=learned"),
    ),
    "task=imdb peephole": ("model=lstm_peephole", "task.pooling=attention", "model.recurrent_dropout=0.2"),
    "task=imdb onehot": ("model=lstm", "embedding=onehot", "task.segment_length=5", "task.pooling=max"),
    "task=reviews gru": ("model=gru", "embedding=index", "task.class_weights={bad: 1, good: 2, so: 3}"),
    "task=reviews left-padding": ("model=lstm_layernorm", "task.padding=left"),
    "task=multi30k input-feeding": (
        *("model=gru_reset_before", "task.attention=additive", "task.decoder.input_feeding=true"),
        *("task.scheduled_sampling=0.5", "task.tie_weights=output", "task.decoder.hidden_size=8"),
    ),
    "task=multi30k no-attention": (
        *("model=rnn_relu", "task.attention=none", "task.label_smoothing=0.1"),
        *("task.r_drop=5", "task.output_dropout=0.3"),
    ),
    "task=temporal_order coupled": ("model=lstm_coupled", "embedding=onehot", "model.bidirectional=true"),
}
QUICK = ("task=adding", "task=reviews gru", "task=echo", "task=word2vec")
"""Choices not marked slow."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_own_files(folder)
    return folder


def built(home: Path, choice: str) -> tuple[Any, TaskModule]:
    """The DataModule and the LightningModule."""
    config = checked(compose_small(home, choice.split()[0], "debug=fast", "scheduler=constant", *CHOICES[choice]))
    recipe = recipe_of(config)
    data = recipe.build_data(config, recipe.find_corpus(config))
    data.prepare_data()
    pl.seed_everything(1, verbose=False)
    return data, recipe.build_module(config, data)


def log(name: str, value: Any, **_: Any) -> None:
    if not isinstance(value, Tensor | nn.Module):
        waits.append(f"number {name}")


def stub_trainer(task: Any) -> Any:
    """Replaces the Trainer and logging by stubs; logged Python numbers are recorded as waits."""
    task.log, task.log_dict, task.log_number = log, lambda *_, **__: None, lambda *_: None
    task.trainer = type("Stub", (), {"global_step": 0, "world_size": 1})()
    return task


def train_two(task: Any, batches: list[Any]) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Losses of two training steps, and the gradients of the second."""
    torch.manual_seed(3)
    task.train()
    optimizer = torch.optim.SGD(task.parameters(), lr=0.1)
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        if task.automatic_optimization:
            loss = task.training_step(batch, 0)
            loss.backward()
        else:
            loss = task.model_step(batch, "train")
        losses.append(loss.detach())
        gradients = {name: part.grad for name, part in task.named_parameters() if part.grad is not None}
        if task.automatic_optimization:
            optimizer.step()
    return losses, gradients


def value(tensor: Tensor) -> Tensor:
    assert isinstance(tensor, OnGPU)
    return tensor.held.to_dense() if tensor.held.is_sparse else tensor.held


def on_gpu(batch: Any) -> Any:
    return batch.pin_memory().to(GPU)


@pytest.mark.parametrize("choice", [pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CHOICES])
def test_gpu_step_matches_cpu_step(home: Path, choice: str) -> None:
    data, task = built(home, choice)
    batches = [batch for batch, _ in zip(data.train_dataloader(), range(2), strict=False)]
    measured = next(iter(data.val_dataloader()))
    on_cpu, there = stub_trainer(copy.deepcopy(task)), stub_trainer(task)
    expected, expected_gradients = train_two(on_cpu, batches)
    with standin_gpu():
        to_gpu(there)
        waits.clear()
        losses, gradients = train_two(there, [on_gpu(batch) for batch in batches])
        assert set(waits) - set(SHAPES_DEPEND_ON_DATA) == set()
        there.eval()
        with torch.no_grad():
            there.validation_step(on_gpu(measured), 0)
            there.test_step(on_gpu(measured), 0)
    torch.testing.assert_close([value(loss) for loss in losses], expected, **TOLERANCE)
    assert set(gradients) == set(expected_gradients)
    for name, gradient in gradients.items():
        torch.testing.assert_close(value(gradient), expected_gradients[name].to_dense(), **TOLERANCE)


def test_emulated_gpu_rejects_mixed_devices() -> None:
    with standin_gpu():
        there = torch.ones(3).to(GPU)
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3)
        assert (there + torch.tensor(1.0)).sum().held == 6


def test_emulated_gpu_records_synchronisation() -> None:
    with standin_gpu():
        there = torch.ones(3).to(GPU)
        assert bool((there > 0).all())
        _ = there[there > 0]
        _ = torch.ones(3).pin_memory().to(GPU, non_blocking=True).cpu()
    assert [wait.split(" at ")[0] for wait in waits] == [
        "copy from cpu to cuda",
        "_local_scalar_dense.default",
        "index.Tensor",
        "copy from cuda to cpu",
    ]
