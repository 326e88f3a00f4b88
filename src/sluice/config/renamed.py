"""Names of settings, classes and options in earlier versions, for error messages and stored runs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from sluice.config.schema import TASK_SCHEMAS
from sluice.plain import Plain

RENAMED_SETTINGS = {
    "model.budget": "model.num_params",
    "model.norm_gain": "model.layernorm_init_gain",
    "embedding.start": "embedding.init",
    "embedding.adversarial": "embedding.adversarial_epsilon",
    "task.embedding.start": "task.embedding.init",
    "task.embedding.adversarial": "task.embedding.adversarial_epsilon",
    "task.tied": "task.tie_weights",
    "task.tie": "task.tie_weights",
    "task.test_methods": "task.eval_modes",
    "task.more_beams": "task.extra_beams",
    "task.cache.share": "task.cache.weight",
    "task.decoding.longest_factor": "task.decoding.max_length_factor",
    "task.decoding.longest_extra": "task.decoding.max_length_offset",
    "task.text.longest_ngram": "task.text.max_ngram",
    "task.data.split_batch": "task.data.global_batch_size",
    "task.data.validation_share": "task.data.validation_fraction",
    "task.data.test_share": "task.data.test_fraction",
    "task.data.easier": "task.data.easy_fraction",
    "task.data.climb": "task.data.curriculum_fraction",
    "task.data.longest": "task.data.max_n",
    "task.data.longest_test": "task.data.test_max_n",
    "task.data.chunk": "task.data.chunk_length",
    "task.data.evaluation_streams": "task.data.val_streams",
    "scheduler.warmup_share": "scheduler.warmup_fraction",
    "callbacks.recent": "callbacks.last_epochs",
}
"""Dotted names in earlier versions, with the current names."""

RENAMED_VALUES: dict[str, dict[object, object]] = {
    "task.tied": {True: "output", False: "none"},
    "task.tie": {"target": "output"},
}
"""Values of renamed settings that have changed too, with the current values."""

REMOVED_SETTINGS = {
    "task.decoder.bidirectional": "it was removed, the decoder is always unidirectional",
}
"""Removed settings, with the reason."""

EARLIER_VALUES: dict[str, object] = {"task.text.normalize": False}
"""Settings that earlier versions did not have, with the values that correspond to their behaviour."""

RENAMED_OPTIONS = {"callbacks=recent": "callbacks=last_epochs"}

RENAMED_TARGETS = {
    "sluice.tasks.row_adagrad.RowAdagrad": "sluice.optim.row_adagrad.RowAdagrad",
    "sluice.tasks.nt_asgd.NTASGD": "sluice.optim.nt_asgd.NTASGD",
    "sluice.tasks.schedules.linear": "sluice.optim.schedules.linear",
    "sluice.tasks.schedules.cosine": "sluice.optim.schedules.cosine",
    "sluice.tasks.schedules.one_cycle": "sluice.optim.schedules.one_cycle",
    "sluice.tasks.schedules.plateau": "sluice.optim.schedules.plateau",
    "sluice.callbacks.recent.RecentWeights": "sluice.callbacks.last_epochs.LastEpochs",
    "sluice.callbacks.recent_weights.RecentWeights": "sluice.callbacks.last_epochs.LastEpochs",
    "sluice.callbacks.tensorboard.TensorBoard": "sluice.loggers.tensorboard.TensorBoard",
    "sluice.callbacks.csv_log.CSVLog": "sluice.loggers.csv.CSVLog",
}
"""Classes and functions in stored settings of earlier versions, with their current locations."""


def explain_old_name(key: str) -> str | None:
    """The error message for a setting of an earlier version; None for any other.

    Args:
        key: dotted name, as in "model.budget".
    """
    for old, new in RENAMED_SETTINGS.items():
        if key == old or key.startswith(f"{old}."):
            return f"there is no setting {key!r}: it is now called {new}{key[len(old) :]}{_new_values(old)}"
    if key in REMOVED_SETTINGS:
        return f"there is no setting {key!r}: {REMOVED_SETTINGS[key]}"
    return None


def _new_values(old: str) -> str:
    if old == "task.data.split_batch":
        return ", the batch size of all ranks together"
    return " (none, output or all)" if old in RENAMED_VALUES else ""


def update_settings(stored: Plain, schema: str | None = None) -> Plain:
    """Updates stored settings of an earlier version to the current names, values and classes.

    Args:
        stored: nested plain containers, the whole configuration of a run.
        schema: registered name of the task's schema; None for the name of the task.
    """
    task = stored.get("task")
    name = task.get("name") if isinstance(task, dict) else None
    schema = schema or str(name)
    custom = _custom_settings(schema)
    updated: Plain = _updated(stored, "", custom)
    if schema in TASK_SCHEMAS and not custom:
        _add_earlier_values(updated, set(_names(TASK_SCHEMAS[schema](), "task.")))
    return updated


def _add_earlier_values(stored: Plain, names: set[str]) -> None:
    """Adds the settings of `EARLIER_VALUES` that a task has, but its stored settings lack."""
    for setting in EARLIER_VALUES.keys() & names:
        *groups, last = setting.split(".")
        section: Plain = stored
        for group in groups:
            section = section.get(group, {})
        if section:
            section.setdefault(last, EARLIER_VALUES[setting])


def _custom_settings(schema: str) -> set[str]:
    """Dotted names of the settings of a custom task, which are never renamed; empty for built-in tasks."""
    own = TASK_SCHEMAS.get(schema)
    return set() if own is None or own.__module__.startswith("sluice.") else set(_names(own(), "task."))


def _names(settings: Any, prefix: str) -> Iterator[str]:
    for entry in fields(settings):
        yield f"{prefix}{entry.name}"
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            yield from _names(value, f"{prefix}{entry.name}.")


def _updated(stored: Any, prefix: str, custom: set[str]) -> Any:
    if isinstance(stored, list):
        return [_updated(value, prefix, custom) for value in stored]
    if not isinstance(stored, dict):
        return stored
    found: Plain = {}
    for key, value in stored.items():
        name = f"{prefix}{key}"
        if key == "_target_" and isinstance(value, str):
            found[key] = RENAMED_TARGETS.get(value, value)
        elif name == "task.data.split_batch":
            found["global_batch_size"] = stored.get("batch_size") if value else None
        elif name in REMOVED_SETTINGS:
            continue
        else:
            new = name if name in custom else RENAMED_SETTINGS.get(name, name)
            found[new.rpartition(".")[2]] = _new_value(name, _updated(value, f"{name}.", custom))
    return found


def _new_value(old: str, value: Any) -> Any:
    values = RENAMED_VALUES.get(old, {})
    return values.get(value, value) if isinstance(value, str | bool) else value


def update_overrides(stored: Sequence[str]) -> list[str]:
    """Updates a stored command line of an earlier version to the current names and values.

    Args:
        stored: overrides such as "model.budget=100".
    """
    task = next((line.partition("=")[2] for line in stored if line.startswith("task=")), "")
    custom = _custom_settings(task)
    split = "task.data.split_batch=true" in [line.lower() for line in stored]
    found = []
    for line in stored:
        prefix, key, value = re.fullmatch(r"([+~]*)([^=]*)=?(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
        if line in RENAMED_OPTIONS:
            found.append(RENAMED_OPTIONS[line])
        elif key == "task.data.split_batch" or key in REMOVED_SETTINGS:
            continue
        elif split and key == "task.data.batch_size":
            found.append(f"{prefix}task.data.global_batch_size={value}")
        elif key not in custom and explain_old_name(key):
            found.append(f"{prefix}{_new_name(key)}={_override_value(key, value)}")
        else:
            found.append(line)
    if split and not any("task.data.global_batch_size=" in line for line in found):
        found.append("task.data.global_batch_size=${task.data.batch_size}")
    return found


def _new_name(key: str) -> str:
    old = next(old for old in RENAMED_SETTINGS if key == old or key.startswith(f"{old}."))
    return RENAMED_SETTINGS[old] + key[len(old) :]


def _override_value(old: str, value: str) -> str:
    truth = {"true": True, "false": False}.get(value.lower(), value)
    new = _new_value(old, truth)
    return value if new is truth else str(new)
