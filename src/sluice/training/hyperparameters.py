"""The settings that loggers get: all of them, or those that vary between runs for TensorBoard's table of runs."""

from dataclasses import asdict, fields

from sluice.composition.compose import flat
from sluice.composition.given import REPLACED
from sluice.config.common import Embedding
from sluice.config.schema import Config
from sluice.plain import Plain

NOT_LOGGED = ("trainer", "callbacks", "logger", "paths", "name")
CONSTANT = (
    *("checkpoint", "matmul_precision", "stop_on_nan", "resume", "resume_force"),
    *("task.module", "task.monitor", "task.mode", "task.gpu_precision", "task.data.num_workers"),
    *("task.recurrent", "task.embedding", "task.learning_rate", "task.gradient_clip"),
    *("model.cell", "model.cell_activation", "optimizer._partial_", "optimizer.fused", "optimizer.foreach"),
    "scheduler._partial_",
)
"""Settings, or groups of settings, that are the same in all runs, don't change the result, or follow from others."""
FIRST = {
    "task.name": "1 task",
    "model.name": "2 model",
    "seed": "3 seed",
    "optimizer.lr": "4 optimizer.lr",
    "model.hidden_size": "5 model.hidden_size",
    "model.num_layers": "6 model.num_layers",
    "embedding.kind": "7 embedding.kind",
    "embedding.size": "8 embedding.size",
    "task.data.batch_size": "9 task.data.batch_size",
}
"""The settings that vary most often, and the names under which they are logged.

TensorBoard shows the settings that differ between runs first, and otherwise sorts them by name; hence the numbers.
"""
CLASSES = {"optimizer._target_": "optimizer", "scheduler._target_": "scheduler"}
"""Settings that name a class or function, and the names under which its last part is logged."""

_OF_VECTORS = tuple(f"embedding.{entry.name}" for entry in fields(Embedding) if entry.name != "kind")


def all_settings(config: Config) -> Plain:
    """The settings with dotted names, without those of devices, folders and output, without null and replaced ones."""
    chosen = {key: value for key, value in asdict(config).items() if key not in NOT_LOGGED}
    found = {key: value for key, value in flat(chosen).items() if value is not None}
    return {key: value for key, value in found.items() if REPLACED.get(key) not in found}


def varied_settings(config: Config) -> Plain:
    """The settings that vary between runs, those that vary most often first."""
    found = {name: value for name, value in all_settings(config).items() if not _constant(name)}
    if config.embedding.kind in ("onehot", "index"):
        found = {name: value for name, value in found.items() if name not in _OF_VECTORS}
    first = {shown: found.pop(name) for name, shown in FIRST.items() if name in found}
    classes = {shown: str(found.pop(name)).rpartition(".")[2] for name, shown in CLASSES.items() if name in found}
    return first | classes | found


def _constant(name: str) -> bool:
    return any(name == constant or name.startswith(f"{constant}.") for constant in CONSTANT)
