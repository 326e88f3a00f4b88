"""Checking what the command line sets: groups, paths, and settings that another setting excludes or leaves unused."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from sluice.composition.errors import check_key, explained
from sluice.composition.groups import NEEDED_GROUPS, SINGLE_GROUPS
from sluice.config.fields import default_of, shown
from sluice.errors import UserError

log = logging.getLogger(__name__)

REPLACED = {
    "task.data.batch_size": "task.data.global_batch_size",
    **dict.fromkeys(("model.hidden_size", "task.recurrent.hidden_size"), "model.num_params"),
}
"""Settings, and those that replace them if they are set."""
ONE_CYCLE = "sluice.optim.schedules.one_cycle"
_LITERAL = re.compile(r"[\w.+-]+")
FOLDERS = ("data_dir", "cache_dir", "output_dir")


class Need(NamedTuple):
    """A setting that decides whether others are used."""

    settings: tuple[str, ...]
    """The others; a group stands for all its settings."""
    decisive: str
    uses: Callable[[Any], bool]
    """Whether a value of `decisive` uses them."""
    remedy: str
    is_error: bool = True
    """Whether to refuse the others instead of logging a warning."""
    tasks: tuple[str, ...] = ()
    """Names of the tasks to which this applies; empty for all."""
    unless: str = ""
    """A setting whose presence in the task uses the others in any case."""


def _is(*values: object) -> Callable[[Any], bool]:
    return lambda value: value in values


def _is_not(*values: object) -> Callable[[Any], bool]:
    return lambda value: value not in values


def _contains(member: str) -> Callable[[Any], bool]:
    return lambda values: member in (values or ())


_LEFT_OUT = "leave it out"
_PATH_TOO = "set it to the source side of these pairs"
_FRACTIONS = ("task.data.validation_fraction", "task.data.test_fraction")
_OF_SUBWORDS = ("task.text.subwords", "task.text.subword_size", "task.text.subword_dropout")


def _is_folder(path: Any) -> bool:
    return path is None or not Path(path).expanduser().is_file()


OF_OWN_FILES = tuple(
    f"task.data.{name}"
    for name in (
        *("pattern", "limit", "validation_path", "test_path", "folds", "fold"),
        *("first_column", "second_column", "label_column", "word_column", "tag_column"),
    )
)
"""Settings without an effect on generated data, if the task can generate them."""
NEEDS = (
    Need(("embedding.init",), "embedding.path", _is(None), _LEFT_OUT),
    Need(("embedding.initial_std",), "embedding.path", _is(None), _LEFT_OUT, unless="task.decoder"),
    Need(
        ("embedding.size", "embedding.initial_std"),
        "embedding.kind",
        _is("learned"),
        _LEFT_OUT,
        is_error=False,
        unless="task.decoder",
    ),
    Need(("embedding",), "task.name", _is(), _LEFT_OUT, is_error=False, tasks=("adding", "waves")),
    Need(("model.input_dropout",), "task.name", _is(), _LEFT_OUT, tasks=("adding",)),
    Need(("task.memory_dropout",), "task.attention", _is_not("none"), "choose another task.attention"),
    Need(_FRACTIONS, "task.data.path", _is_not(None), "set task.data.path too"),
    Need(_FRACTIONS, "task.data.val_size", _is(), _LEFT_OUT, tasks=("temporal_order",)),
    Need(("task.text.max_size",), "task.text.unit", _is_not("subwords"), _LEFT_OUT),
    Need(
        ("task.decoding.alpha",),
        "task.decoding.length_penalty",
        _is_not("none"),
        "choose another length penalty",
    ),
    Need(("task.scheduled_sampling_steps",), "task.scheduled_sampling", bool, "set task.scheduled_sampling too"),
    Need(("task.ngrams.buckets",), "task.ngrams.max_n", _is_not(None, 1), "set task.ngrams.max_n to 2 or more"),
    Need(("task.data.validation_fraction",), "task.data.validation_path", _is(None), _LEFT_OUT),
    Need(("task.data.test_fraction",), "task.data.test_path", _is(None), _LEFT_OUT),
    Need(("task.data.pattern",), "task.data.path", _is_folder, _LEFT_OUT),
    Need(("task.data.test_fraction", "task.data.test_path"), "task.data.folds", _is(None), _LEFT_OUT),
    Need(("task.data.fold",), "task.data.folds", _is_not(None), "set task.data.folds too"),
    Need(OF_OWN_FILES, "task.data.path", _is_not(None), "set task.data.path too"),
    Need(("task.data.validation_target_path",), "task.data.validation_path", _is_not(None), _PATH_TOO),
    Need(("task.data.test_target_path",), "task.data.test_path", _is_not(None), _PATH_TOO),
    Need(
        ("task.data.size", "task.data.val_size", "task.data.test_size", "task.data.source", "task.data.sample_size"),
        "task.data.path",
        _is(None),
        _LEFT_OUT,
    ),
    Need(("resume_force",), "resume", _is_not(None), "set resume too", False),
    Need(("task.cache",), "task.eval_modes", _contains("cache"), "add cache to task.eval_modes"),
    Need(("task.dynamic",), "task.eval_modes", _contains("dynamic"), "add dynamic to task.eval_modes"),
    Need(("task.sample_tokens", "task.sample_prompt"), "logger", bool, "choose a logger", False),
    Need(("task.sample_prompt",), "task.sample_tokens", bool, "set task.sample_tokens to 1 or more"),
    Need(("task.cutoffs",), "task.head", _is("adaptive"), "set task.head=adaptive"),
    Need(("task.data.curriculum_fraction",), "task.data.curriculum", _is("naive", "combined"), _LEFT_OUT),
    Need(("task.decoder.attention_size",), "task.attention", _is("additive"), "set task.attention=additive"),
    Need(("task.replace_unknown",), "task.attention", _is_not("none"), "choose another task.attention"),
    Need(("task.text.min_freq",), "task.text.unit", _is_not("subwords"), _LEFT_OUT, tasks=("parallel", "multi30k")),
    Need(("task.text.tokenizer",), "task.text.unit", _is("words"), _LEFT_OUT),
    Need(_OF_SUBWORDS, "task.text.unit", _is("subwords"), "set task.text.unit too"),
)
"""Settings that have an effect only with some values of another one."""


def check_overrides(overrides: Sequence[str]) -> None:
    """Checks the groups that a command line chooses or deletes, before the configuration is composed.

    Raises:
        UserError: for a deleted group that every run needs, or several options of a group that has one, or text that is
            not UTF-8.
    """
    with suppress(OSError):  # the working directory may have been deleted
        _check_encoding(str(Path.cwd()))
    for override in overrides:
        _check_encoding(override)
    _check_resume(dict(_settings(overrides)))
    for override in overrides:
        key, sign, value = override.partition("=")
        group = key.lstrip("+~")
        if sign and group and not override.startswith("-"):
            check_key(override, key)
        if group.startswith("hydra."):
            _check_hydra(key, sign, value)
        if key.startswith("~") and group in NEEDED_GROUPS:
            raise UserError(
                f"{key} cannot be used: every run needs the group {group}, choose one of its options as {group}=..."
            )
        if group in NEEDED_GROUPS and value.replace(" ", "") in ("[]", "{}"):
            raise UserError(f"{override} cannot be used: {group} is a group, choose one of its options")
        if group in SINGLE_GROUPS and value.startswith("[") and "," in value:
            raise UserError(f"{override} cannot be used: options of {group} cannot be combined, choose one")
        if group in (*SINGLE_GROUPS, "callbacks", "logger", "experiment") and value.startswith("["):
            _check_option_names(override, group, value)
        if group in ("callbacks", "logger") and re.fullmatch(r"\[(.*,)?none(,.*)?\]", value.replace(" ", "")):
            raise UserError(f"{override} cannot be used: none cannot be combined with other options, use {group}=none")


def _check_encoding(text: str) -> None:
    """Refuses text that is not UTF-8, which the settings that TensorBoard shows cannot contain."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"{text!a} cannot be used, since it is not UTF-8: rename the file or folder")


def _check_option_names(override: str, group: str, options: str) -> None:
    """Refuses numbers, null and the like in a list of options, where Hydra fails with a TypeError.

    Raises:
        UserError: for an entry that is no name.
    """
    for entry in options.strip()[1:-1].split(","):
        if re.fullmatch(r"\s*(null|true|false|[\d.+-]+|[\[{].*)\s*", entry, re.IGNORECASE):
            raise UserError(f"{override} cannot be used: {entry.strip()} is not the name of an option of {group}")


def _check_resume(given: dict[str, str]) -> None:
    """Refuses settings of a new run next to `resume=`, which continues a run under its own name."""
    if given.get("resume", "null") == "null":
        return
    for name in ("name", "init_from"):
        if given.get(name, "null") != "null":
            raise UserError(f"{name}={given[name]} and resume={given['resume']} exclude each other: leave one out")


def _check_hydra(key: str, sign: str, value: str) -> None:
    """Refuses settings of Hydra that it would ignore, and folders without a name."""
    from hydra.conf import HydraConf

    name = key.lstrip("+~").split(".")[1]
    if key.startswith("+") and name not in HydraConf.__dataclass_fields__:
        raise UserError(f"{key} cannot be added: Hydra has no setting hydra.{name}, see python train.py --hydra-help")
    if key in ("hydra.launcher", "hydra.sweeper", "hydra.callbacks") and sign:
        raise UserError(f"{key}={value} cannot be used: choose an option of a group as {key.replace('.', '/')}=...")
    if key == "hydra.verbose" and re.fullmatch(r"[\d.+-]+", value):
        raise UserError(f"{key}={value} cannot be used: it must be true, false or the name of a logger")
    if key.endswith(".dir") and sign and not value.strip():
        raise UserError(f"{key}= cannot be used: name a folder, or leave it out")


def check_given(config: DictConfig, overrides: Sequence[str]) -> None:
    """Checks the folders, and settings that exclude each other or cannot be set.

    Args:
        config: the composed configuration.
        overrides: the overrides of the command line.

    Raises:
        UserError: for the first mistake.
    """
    with explained(overrides):
        given = dict(_settings(overrides))
        if "task.name" in given:
            raise UserError(f"task.name={given['task.name']} cannot be set: choose the task as task=...")
        for name in FOLDERS:
            _check_folder(f"paths.{name}", OmegaConf.select(config, f"paths.{name}", throw_on_missing=False))
        _check_run_dirs(config)
        _check_literals(config, given)
        for key, replacement in REPLACED.items():
            value = OmegaConf.select(config, replacement, throw_on_missing=False)
            resumed = config.get("resume") is not None  # an earlier version may have started the run with both
            if value is not None and key in given and not resumed:
                raise UserError(f"{key} and {replacement}={value} exclude each other: set one of them")


def check_used(config: DictConfig, overrides: Sequence[str], *, in_sweep: bool = False) -> None:
    """Checks that the settings of a command line have an effect; warns in a sweep, where other runs may use them.

    Runs that are resumed are not checked: an earlier version may have started them with such settings.

    Args:
        config: the composed configuration, whose values have been checked.
        overrides: the overrides of the command line.
        in_sweep: whether they are those of a sweep.

    Raises:
        UserError: for the first setting without an effect.
    """
    if config.resume is not None:
        return
    for problem, is_error in _unused(config, dict(_settings(overrides))):
        if is_error and not in_sweep:
            raise UserError(problem)
        log.warning("%s.", problem)


def _settings(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    for override in overrides:
        key, sign, value = override.partition("=")
        if sign and not key.startswith("~"):
            yield key.lstrip("+"), value


def _check_folder(key: str, value: object) -> None:
    if isinstance(value, str) and not value.strip():
        raise UserError(f"{key}= cannot be used: name a folder, as in {key}=.")
    if isinstance(value, str) and "${" in value:
        raise UserError(f"{key}={value} cannot be used: write interpolations without a backslash, as ${{...}}")


def _check_literals(config: DictConfig, given: dict[str, str]) -> None:
    """Refuses numbers for true or false, and texts that Hydra reads as something else, such as 1e3 or true."""
    for key, text in given.items():
        value = OmegaConf.select(config, key, throw_on_missing=False) if _LITERAL.fullmatch(text) else None
        if isinstance(value, bool) and text[0] in "+-.0123456789" and text not in ("0", "1"):
            raise UserError(f"{key}={text} cannot be used: it must be true or false")
        if isinstance(value, str) and value != text:
            raise UserError(
                f"{key}={text} cannot be used: it would be read as {value}, put the value in quotes, '{key}=\"{text}\"'"
            )


def _check_run_dirs(config: DictConfig) -> None:
    """Refuses loggers and callbacks without a folder, which have that of the run by default."""
    for group in ("logger", "callbacks"):
        for name, spec in (config.get(group) or {}).items():
            if not isinstance(spec, DictConfig) or "run_dir" not in spec or OmegaConf.is_interpolation(spec, "run_dir"):
                continue
            if spec.run_dir in (None, ""):
                key = f"{group}.{name}.run_dir={_shown(spec.run_dir)}"
                raise UserError(f"{key} cannot be used: name a folder, or leave it out for the folder of the run")


def _unused(config: DictConfig, given: dict[str, str]) -> Iterator[tuple[str, bool]]:
    """Yields a sentence for every given setting that has no effect, and whether it is an error."""
    for need in NEEDS:
        keys = [key for key in given if any(key == name or key.startswith(f"{name}.") for name in need.settings)]
        if not keys or not _exists(config, need.decisive) or (need.tasks and config.task.name not in need.tasks):
            continue
        if need.unless and _exists(config, need.unless):
            continue
        value = OmegaConf.select(config, need.decisive, throw_on_missing=False)
        if not need.uses(value):
            problem = f"{keys[0]}={given[keys[0]]} has no effect with {need.decisive}={_shown(value)}: {need.remedy}"
            yield problem, need.is_error
    momentum = OmegaConf.select(config, "optimizer.momentum", throw_on_missing=False)
    if (
        "optimizer.momentum" in given
        and momentum
        and config.scheduler
        and config.scheduler.get("_target_") == ONE_CYCLE
    ):
        yield (
            f"optimizer.momentum={momentum} has no effect with scheduler=one_cycle, which changes it from 0.95 to "
            "0.85 and back: choose another scheduler, or set it to 0",
            False,
        )
    schema = OmegaConf.get_type(config.task)
    for key in given:
        group, _, name = key.partition(".")
        replaced = default_of(schema, name) if group == "task" and is_dataclass(schema) else None
        if replaced is None or not _exists(config, replaced):
            continue
        default, used = (OmegaConf.select(config, each, throw_on_missing=False) for each in (key, replaced))
        if default != used:
            yield f"{key}={given[key]} has no effect with {replaced}={_shown(used)}: set {replaced} only", True


def _exists(config: DictConfig, key: str) -> bool:
    """Returns whether the chosen task has a setting; `logger` is null without loggers."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent, throw_on_missing=False) if parent else config
    return isinstance(node, DictConfig) and (not parent or name in node)


def _shown(value: object) -> str:
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return "none" if plain == {} else shown(plain)
