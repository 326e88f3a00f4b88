"""Private attributes of Lightning, torchmetrics and torch are used in two files only; Lightning's still exist."""

import ast
import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torchmetrics import MeanMetric

import sluice
from sluice.lightning_internals import (
    end_restart,
    is_logged_step,
    next_logged_step,
    set_next_logged_step,
    set_update_count,
    settle_progress,
)

SOURCE = Path(sluice.__file__).parent
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields"}
OF_TORCH = {
    "recurrent/cells/base.py": {"_apply"},
    "recurrent/fused/run.py": {"_fields_"},
}


def own_names(tree: ast.AST) -> set[str]:
    """Private attributes that a module defines: methods, and what is assigned in a class or to `self`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for entry in node.body:
                if isinstance(entry, ast.FunctionDef | ast.AsyncFunctionDef):
                    found.add(entry.name)
                elif isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
                    found.add(entry.target.id)
                elif isinstance(entry, ast.Assign):
                    found |= {target.id for target in entry.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                found.add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("register_buffer", "__setattr__"):
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return {name for name in found if isinstance(name, str) and name.startswith("_")}


def used_names(tree: ast.AST) -> set[str]:
    """Private attributes that a module uses, also by getattr and setattr."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id in ("getattr", "setattr", "hasattr", "delattr"):
            found |= {argument.value for argument in call.args[1:2] if isinstance(argument, ast.Constant)}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def test_private_attributes_of_libraries_are_used_in_one_file() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    ours = OF_NAMED_TUPLES.union(*map(own_names, trees.values()))
    for path, tree in trees.items():
        name = path.relative_to(SOURCE).as_posix()
        if name not in ("lightning_internals.py", "torch_internals.py"):
            foreign = used_names(tree) - ours - OF_TORCH.get(name, set())
            assert not foreign, f"{name}: private attributes go to lightning_internals.py or torch_internals.py"


@pytest.fixture
def trainer() -> pl.Trainer:
    return pl.Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu")


@pytest.mark.parametrize(
    ("path", "library"),
    [
        ("_logger_connector.should_update_logs", "pytorch-lightning"),
        ("fit_loop._restarting", "pytorch-lightning"),
        ("fit_loop.epoch_loop._batches_that_stepped", "pytorch-lightning"),
        ("_update_count", "torchmetrics"),
        ("_computed", "torchmetrics"),
    ],
)
def test_private_attributes_exist(trainer: pl.Trainer, path: str, library: str) -> None:
    found: Any = trainer if library == "pytorch-lightning" else MeanMetric()
    for name in path.split("."):
        assert hasattr(found, name), f"{library} {importlib.metadata.version(library)} has no {path} any more"
        found = getattr(found, name)


def test_fit_loop_state_has_the_progress_counters(trainer: pl.Trainer) -> None:
    state = trainer.fit_loop.state_dict()
    settle_progress(state)
    assert not state["epoch_loop.batch_progress"]["is_last_batch"]


def test_next_logged_step_can_be_set(trainer: pl.Trainer) -> None:
    trainer.log_every_n_steps = 5  # type: ignore[attr-defined]
    trainer.fit_loop.trainer.state.fn = "fit"
    trainer.training = True
    for step in range(10):
        set_next_logged_step(trainer, step)
        assert next_logged_step(trainer) == step
        assert is_logged_step(trainer) == (step in (4, 9))


def test_end_restart_clears_the_restart_flag(trainer: pl.Trainer) -> None:
    trainer.fit_loop._restarting = True
    end_restart(trainer)
    assert not trainer.fit_loop.restarting


def test_metric_is_computed_from_restored_sums() -> None:
    metric = MeanMetric()
    metric.update(torch.tensor(1.0))
    metric.compute()
    metric.mean_value, metric.weight = torch.tensor(6.0), torch.tensor(2.0)
    set_update_count(metric, 2)
    assert metric.update_count == 2
    assert metric.compute() == 3.0


def test_settle_progress_counts_processed_batches() -> None:
    counters = {"ready": 4, "started": 4, "processed": 3, "completed": 2}
    loop = {"epoch_loop.batch_progress": {"total": dict(counters), "current": dict(counters), "is_last_batch": True}}
    settle_progress(loop)
    settled = dict.fromkeys(counters, 3)
    assert loop["epoch_loop.batch_progress"] == {"total": settled, "current": settled, "is_last_batch": False}
