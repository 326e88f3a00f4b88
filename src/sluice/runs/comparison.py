"""Finding finished runs, grouping those that differ only in the seed or the fold, and comparing the groups."""

import json
import math
import os
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from sluice.composition.compose import flat
from sluice.config.fields import shown
from sluice.config.renamed import update_settings
from sluice.plain import Plain
from sluice.runs.monitors import MINIMISED
from sluice.terminal import print_line

IGNORED = (
    "seed",
    "name",
    "paths",
    "resume",
    "resume_force",
    "checkpoint",
    "logger",
    "stop_on_nan",
)
"""Settings that may differ within a group."""
IGNORED_CALLBACKS = ("last_epochs", "learning_rate_monitor", "model_summary")
"""Callbacks that only write, with which runs may differ within a group."""
WRITES = re.compile(r"\.strict$|(dir|path|file|folder)(name)?$")
"""Arguments of callbacks that name where they write, and one that older runs lack."""
TRAINER_SETTINGS = (
    *("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "overfit_batches", "fast_dev_run"),
    *("limit_train_batches", "limit_val_batches", "limit_test_batches"),
    *("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"),
    *("precision", "check_val_every_n_epoch", "val_check_interval"),
)
"""Settings of the trainer that must be equal within a group, as must the number of processes; others concern output."""
TRAINER_DEFAULTS = {"trainer.precision": "32-true", "trainer.check_val_every_n_epoch": 1}
"""Settings that older runs did not record."""
FOLD = "task.data.fold"
"""Setting with the test fold of a run of a cross-validation, which may differ within a group like the seed."""
GLOBAL_BATCH_SIZE = "task.data.global_batch_size"
"""Setting with the batch size of all processes together, with which their number may differ within a group."""
SEVERAL_DEVICES = re.compile(r"(\d+) x ")
"""Beginning of the result "device" of a run with several processes."""
T_QUANTILES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""97.5 % quantiles of Student's t distribution with 1 to 30 degrees of freedom."""
NORMAL_QUANTILE = 1.960
SIZES = ("parameters", "minutes")
"""Numbers in the results that can be compared like metrics."""
NO_METRICS = ("data/", "version/")
"""Beginnings of the names of other results."""
DEFAULTS = re.compile(r"task\.(recurrent|embedding)\.")
"""Beginnings of the names of settings that are defaults of those of the groups model and embedding."""
FINGERPRINT = "data_fingerprint"
ON_SAMPLE = " (GENERATED SAMPLE)"
RESULT_KEYS = ("data_source", FINGERPRINT, "debug")
"""Results that must be equal within a group."""


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed or the fold."""

    task: str
    """Its name; that of runs on the generated sample ends with ON_SAMPLE, since they are compared separately."""
    model: str
    settings: Plain
    runs: list[Plain]

    def values(self, name: str) -> list[float]:
        """Values of a result in the runs that have it."""
        return [float(run[name]) for run in self.runs if isinstance(run.get(name), int | float)]

    def mean(self, name: str) -> float | None:
        """The mean over the runs; None if no run has this result."""
        values = self.values(name)
        return statistics.fmean(values) if values else None

    def deviation(self, name: str) -> float | None:
        """The sample standard deviation; None for fewer than two runs."""
        values = self.values(name)
        return statistics.stdev(values) if len(values) > 1 else None

    def interval(self, name: str) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean by Student's t distribution; None for fewer than two runs."""
        mean, deviation, count = self.mean(name), self.deviation(name), len(self.values(name))
        if mean is None or deviation is None:
            return None
        quantile = T_QUANTILES[count - 2] if count - 2 < len(T_QUANTILES) else NORMAL_QUANTILE
        half = quantile * deviation / math.sqrt(count)
        return mean - half, mean + half


@dataclass(frozen=True)
class Comparison:
    """The groups of a task, in the order of its table."""

    task: str
    metric: str
    lower_is_better: bool
    settings: list[str]
    """Names of the settings that differ between groups with the same model."""
    groups: list[Group]

    @property
    def short_names(self) -> list[str]:
        """The shortest ends of the settings' names that differ from each other."""
        return short_names(self.settings)


def find_runs(folders: Sequence[Path]) -> Iterator[Plain]:
    """Finds finished runs in the folders at any depth; yields their results, with the settings under "config"."""
    for path in sorted({path.resolve() for folder in folders for path in _result_files(folder)}):
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
            config = yaml.safe_load((path.parent / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            print_line(f"{path.parent} is skipped: {error}", file=sys.stderr)
            continue
        if not isinstance(results, dict) or not isinstance(config, dict) or not {"task", "model"} <= set(results):
            print_line(f"{path.parent} is skipped: it is not a Sluice run", file=sys.stderr)
            continue
        if results.get("interrupted"):
            print_line(f"{path.parent} is skipped: it was interrupted before its test", file=sys.stderr)
            continue
        config = update_settings(config)
        yield {**results, "config": config, "data_source": _source_of(results, config), "folder": str(path.parent)}


def _result_files(folder: Path) -> Iterator[Path]:
    """Yields each results.json at any depth; links to folders are followed, each folder is read once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
        elif "results.json" in files:
            yield Path(place) / "results.json"
        seen.add(real)


def _source_of(results: Plain, config: Plain) -> str | None:
    """The source of the data, the same for a corpus before and after its download.

    Earlier versions called the sample of a task without a file "generated".
    """
    source = results.get("data_source")
    settings = flat(config)
    if source == "generated" and settings.get("task.data.path", "none") is None:
        return "sample"
    return "local" if source == "download" else source


def group_runs(runs: Sequence[Plain]) -> list[Group]:
    """Groups runs with the same data and settings, ignoring seed, fold and paths.

    The newest run of each seed and fold is kept.
    """
    groups: dict[str, Group] = {}
    for run in runs:
        config = flat(run["config"])
        known = {key: value for key, value in config.items() if _distinguishes_groups(key)}
        settings = dict(_named_callback(key, value) for key, value in known.items())
        if config.get(GLOBAL_BATCH_SIZE) is None:
            settings["processes"] = _num_processes(run, config)
        settings |= {name: run.get(name) for name in RESULT_KEYS}
        settings |= {name: value for name, value in TRAINER_DEFAULTS.items() if settings.get(name) is None}
        if "data_fingerprint_of_folds" in run:
            settings[FINGERPRINT] = run["data_fingerprint_of_folds"]
        settings = {key: value for key, value in settings.items() if value is not None}  # older runs have fewer keys
        settings |= {key: shown(value) for key, value in settings.items() if isinstance(value, list)}
        key = json.dumps(settings, sort_keys=True, default=str)
        task = run["task"] + (ON_SAMPLE if run.get("data_source") == "sample" else "")
        groups.setdefault(key, Group(task, run["model"], settings, [])).runs.append(run)
    for group in groups.values():
        _keep_newest(group.runs)
    return list(groups.values())


def _distinguishes_groups(key: str) -> bool:
    """Whether runs that differ in this setting belong to different groups."""
    first, _, rest = key.partition(".")
    if key == FOLD or (first == "callbacks" and (rest.partition(".")[0] in IGNORED_CALLBACKS or WRITES.search(rest))):
        return False
    return rest in TRAINER_SETTINGS if first == "trainer" else first not in IGNORED


def _num_processes(run: Plain, config: Plain) -> int:
    """Number of processes of a run, by which its batch size is multiplied; 1 if neither settings nor results have it.

    Args:
        run: the results.
        config: the settings by dotted name. With `trainer.devices=auto` the results have the number.
    """
    devices, nodes = config.get("trainer.devices"), config.get("trainer.num_nodes") or 1
    numbers = [str(len(devices) if isinstance(devices, list) else devices), str(nodes)]
    if all(number.isdecimal() for number in numbers):
        return math.prod(map(int, numbers))
    several = SEVERAL_DEVICES.match(str(run.get("device")))
    return int(several[1]) if several else 1


def _named_callback(key: str, value: object) -> tuple[str, object]:
    """The setting that names the class of a callback, as the callback with the name of the class; others unchanged."""
    if key.startswith("callbacks.") and key.endswith("._target_"):
        return key.removesuffix("._target_"), str(value).rpartition(".")[2]
    return key, value


def _keep_newest(runs: list[Plain]) -> None:
    """Keeps the newest run of each seed and fold, and reports the others."""
    newest: dict[tuple[object, object], Plain] = {}
    for run in sorted(runs, key=_end_time):
        fold = flat(run["config"]).get(FOLD)
        key = (run.get("seed"), fold)
        older = newest.pop(key, None)
        newest[key] = run
        if older is not None:
            print(
                f"{older.get('folder')} is skipped: {run.get('folder')} has the same settings and seed "
                f"{run.get('seed')}{'' if fold is None else f' and fold {fold}'} and is newer",
                file=sys.stderr,
            )
    runs[:] = newest.values()


def _end_time(run: Plain) -> tuple[float, str]:
    """Sort key: the time at which a run ended."""
    text = str(run.get("date", ""))
    try:
        return datetime.fromisoformat(text).timestamp(), text
    except ValueError:
        return 0.0, text


def metric_names(groups: Sequence[Group]) -> list[str]:
    """Returns the names of the metrics that runs have, sorted, and those of the size and duration of training."""
    names = {name for group in groups for run in group.runs for name in run if group.values(name)}
    metrics = sorted(name for name in names if "/" in name and not name.startswith(NO_METRICS))
    return [*metrics, *(name for name in SIZES if name in names)]


def differing_settings(groups: Sequence[Group], same: tuple[str, ...] = ("task", "model")) -> list[str]:
    """Settings that differ between groups.

    Args:
        groups: the groups to compare.
        same: only groups that agree in these attributes are compared.
    """
    differing: dict[str, None] = {}
    for one in groups:
        for other in groups:
            if all(getattr(one, name) == getattr(other, name) for name in same):
                keys = {**one.settings, **other.settings}
                differing |= dict.fromkeys(key for key in keys if one.settings.get(key) != other.settings.get(key))
    return list(differing)


def compare_groups(groups: Sequence[Group], metric: str | None, sort: str = "metric") -> list[Comparison]:
    """Compares the groups of each task.

    Args:
        groups: the groups.
        metric: the metric; None for the test counterpart of each task's monitored metric. Tasks without it are left
            out.
        sort: "metric" for the best group first, "model" for the names of models and settings, or a result such as
            "parameters" or "minutes" for its smallest value first.

    Returns:
        A comparison per task, by name.
    """
    found = []
    for task in sorted({group.task for group in groups}):
        of_task = [group for group in groups if group.task == task]
        chosen = metric or str(of_task[0].runs[0].get("monitor", "val/accuracy")).replace("val/", "test/")
        if metric is not None and not any(group.values(metric) for group in of_task):
            continue
        settings, lower = (
            _informative(differing_settings(of_task), of_task),
            _lower_is_better(chosen, of_task[0].runs[0]),
        )
        ordered = sorted(of_task, key=lambda group: _sort_key(group, sort, chosen, settings, lower))
        found.append(Comparison(task, chosen, lower, settings, ordered))
    return found


def _informative(settings: list[str], groups: Sequence[Group]) -> list[str]:
    """Leaves out what follows from other settings.

    That is a default of the task (`task.recurrent.dropout`) where the setting itself has the same values
    (`model.dropout`), an argument of a callback that is the same wherever the callback is used, and the fingerprint of
    generated data if other settings tell the groups apart.
    """
    values = {name: [group.settings.get(name) for group in groups] for name in settings}
    for default, own in ((name, DEFAULTS.sub(_group_of_default, name)) for name in settings):
        if default != own and values[default] == values.get(own):
            settings = [name for name in settings if name != default]
    settings = [name for name in settings if not _follows_from_callback(name, values)]
    others = [name for name in settings if name != FINGERPRINT]
    generated = all(group.settings.get("data_source") in ("generated", "sample") for group in groups)
    distinct = {(group.model, *(str(group.settings.get(name)) for name in others)) for group in groups}
    return others if generated and len(distinct) == len(groups) else settings


def _follows_from_callback(name: str, values: dict[str, list[object]]) -> bool:
    """Whether a setting is an argument with one value of a callback that only some of the groups have."""
    callback = ".".join(name.split(".")[:2])
    is_argument = name.startswith("callbacks.") and callback != name and callback in values
    return is_argument and len({str(value) for value in values[name] if value is not None}) < 2


def _group_of_default(match: re.Match[str]) -> str:
    return {"recurrent": "model", "embedding": "embedding"}[match[1]] + "."


def _lower_is_better(metric: str, run: Plain) -> bool:
    """Whether smaller values are better: as in the settings of the run if it is the monitored metric."""
    name = metric.rpartition("/")[2]
    if name == str(run.get("monitor", "")).rpartition("/")[2] and "mode" in run["config"].get("task", {}):
        return bool(run["config"]["task"]["mode"] == "min")
    return name.startswith((*MINIMISED, *SIZES))


def _sort_key(group: Group, sort: str, metric: str, settings: Sequence[str], lower: bool) -> tuple[float, str]:
    names = " ".join([group.model, *(str(group.settings.get(name)) for name in settings)])
    if sort == "model":
        return 0.0, names
    value = group.mean(metric if sort == "metric" else sort)
    if value is None:
        return math.inf, names
    return (value if lower or sort != "metric" else -value), names


def short_names(names: Sequence[str]) -> list[str]:
    """The shortest ends of the settings' names that differ from each other."""
    return [_short_name(name, names) for name in names]


def _short_name(name: str, names: Sequence[str]) -> str:
    parts = name.split(".")
    ends = (".".join(parts[-count:]) for count in range(1, len(parts)))
    others = [other for other in names if other != name]
    return next((end for end in ends if not any(f".{other}".endswith(f".{end}") for other in others)), name)
