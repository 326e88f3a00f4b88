"""Every setting of a composed configuration, with its value, description and range.

Descriptions are those of the schema; of groups without one, the comments in their configuration files.
"""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sluice.cli.training_help import leading_comment, option_files
from sluice.composition.compose import compose_config
from sluice.composition.errors import explained
from sluice.composition.groups import FREE_GROUPS
from sluice.composition.hydra_options import Configuration
from sluice.config.fields import DEFAULT_OF, Allowed, shown
from sluice.config.schema import Config
from sluice.config.user_code import allow_named
from sluice.program import training_command

ORDER = ("task", "model", "embedding", *FREE_GROUPS, "checkpoint", "paths")
"""Sections, in the order in which they are listed; the settings without a group follow."""
COMMENT = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<value>.*?)(?:\s#\s+(?P<comment>.+))?")
WIDEST = 42
"""Maximum width of the column of settings."""


class Described(NamedTuple):
    """A setting."""

    key: str
    value: str
    meaning: str

    def lines(self, column: int, width: int) -> Iterator[str]:
        """Yields the lines of the setting, with the description from a column on, broken at a width."""
        first = f"  {self.key}={self.value}"
        described = textwrap.wrap(self.meaning, max(width - column, 24), break_long_words=False) or [""]
        if len(first) >= column:
            yield first if width < sys.maxsize else f"{first} {described.pop(0)}"
        else:
            yield f"{first:<{column}}{described.pop(0)}".rstrip()
        yield from (" " * column + line for line in described if line)


def settings_help(given: Configuration) -> str:
    """Lists the settings of the configuration that a command line composes; of a sweep, those of its first run.

    Raises:
        UserError: if the settings cannot be composed.
    """
    chosen, folders = first_values(given.settings), given.folders
    allow_named(chosen)
    config = compose_config([*chosen, *given.search_path], folders[0], given.name)
    described = [*_typed(config, ""), *_without_schema(config, chosen, folders)]
    own = [setting for setting in chosen if not setting.startswith("hydra.")]
    lines = [f"Settings of {training_command()} {' '.join(own)}"]
    lines += [line for setting in chosen for line in _comment_of(setting, folders)]
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else sys.maxsize
    for section in ORDER:
        found = [each for each in described if each.key.startswith(f"{section}.")]
        lines += _section(section, [each for each in found if not each.meaning.startswith(DEFAULT_OF)], width)
    lines += _section("settings of every run", [each for each in described if "." not in each.key], width)
    defaults = [each for each in described if each.meaning.startswith(DEFAULT_OF)]
    lines += _section("defaults for a task's YAML file: the description names the setting to use", defaults, width)
    return "\n".join(lines)


def first_values(settings: Sequence[str]) -> list[str]:
    """The settings of the first run of a sweep; a sweep over an interval is left out."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with explained(settings):
        parsed = OverridesParser.create().parse_overrides(list(settings))
    values = []
    for setting, override in zip(settings, parsed, strict=True):
        if override.is_discrete_sweep():
            values.append(f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}")
        elif not override.is_sweep_override():
            values.append(setting)
    return values


def _without_schema(config: DictConfig, chosen: Sequence[str], folders: Sequence[Path]) -> Iterator[Described]:
    """Settings of the groups that take the arguments of a class."""
    for group in FREE_GROUPS:
        if isinstance(config[group], DictConfig):
            target = OmegaConf.select(config[group], "_target_", throw_on_missing=False)
            files = _commented_files(folders, group, chosen, target)
            yield from _free(config[group], f"{group}.", _comments(files))


def _commented_files(folders: Sequence[Path], group: str, chosen: Sequence[str], target: str | None) -> list[Path]:
    """The files of a group, first the one chosen on the command line, then those of the same class.

    An experiment or a task may have chosen the file, whose name is then unknown.
    """

    def rank(file: Path) -> tuple[bool, bool]:
        return f"{group}={file.stem}" not in chosen, f"_target_: {target}\n" not in file.read_text(encoding="utf-8")

    return sorted(option_files(folders, group).values(), key=rank)


def _typed(node: DictConfig, prefix: str) -> Iterator[Described]:
    """Settings with a schema."""
    known: dict[str, Mapping[str, Any]] = {
        entry.name: entry.metadata for entry in fields(OmegaConf.get_type(node) or Config)
    }
    for name in map(str, node):
        key, metadata = f"{prefix}{name}", known.get(name, {})
        if is_dataclass(OmegaConf.get_type(node, name)) and OmegaConf.is_dict(_stored(node, name)):
            yield from _typed(node[name], f"{key}.")
        elif key not in FREE_GROUPS:
            required = " [required]" if OmegaConf.is_missing(node, name) else ""
            meaning = _meaning(metadata.get("meaning", ""), metadata.get("allowed"))
            yield Described(key, value_of(node, name), meaning + required)


def _free(node: DictConfig, prefix: str, comments: dict[str, str]) -> Iterator[Described]:
    """Settings of a group without a schema."""
    for name in map(str, node):
        key = f"{prefix}{name}"
        if OmegaConf.is_dict(_stored(node, name)):
            yield from _free(node[name], f"{key}.", comments)
        elif name != "_partial_":
            meaning = "class or function that gets these settings" if name == "_target_" else ""
            if prefix in ("callbacks.", "logger.") and node[name] is None:
                meaning = "switched off"
            yield Described(key, value_of(node, name), meaning or comments.get(key.partition(".")[2], ""))


def value_of(node: DictConfig, name: str) -> str:
    """The value of a setting as on the command line; empty if it is missing."""
    if OmegaConf.is_missing(node, name):
        return ""
    value = _stored(node, name)
    return shown(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _stored(node: DictConfig, name: str) -> object:
    """A value; that of a reference to something that is not set is the reference."""
    try:
        return None if OmegaConf.is_missing(node, name) else node[name]
    except OmegaConfBaseException:
        return OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[call-overload,index]


def _meaning(meaning: str, allowed: Allowed | None) -> str:
    if allowed is None or not (expected := allowed.expected()):
        return meaning
    listed = ", or a list with a number for each layer, from the bottom" if allowed.sizes else ""
    return f"{meaning} [{expected}{listed}]"


def _comments(files: Iterable[Path]) -> dict[str, str]:
    """The comments after the settings in the files of a group, by dotted names within the group."""
    comments: dict[str, str] = {}
    for file in files:
        parents: list[tuple[int, str]] = []
        for line in file.read_text(encoding="utf-8").splitlines():
            found = COMMENT.fullmatch(line.rstrip())
            if found is None:
                continue
            parents = [parent for parent in parents if parent[0] < len(found["indent"])]
            parents.append((len(found["indent"]), found["key"]))
            if found["comment"]:
                comments.setdefault(".".join(name for _, name in parents), found["comment"])
    return comments


def _comment_of(setting: str, folders: Sequence[Path]) -> Iterator[str]:
    """The comment at the beginning of the file of a group=option."""
    group, _, option = setting.partition("=")
    file = option_files(folders, group.lstrip("+")).get(option)
    if file is not None:
        yield from (f"  {option + ': ' if not index else ''}{line}" for index, line in enumerate(leading_comment(file)))


def _section(title: str, settings: Sequence[Described], width: int) -> list[str]:
    if not settings:
        return []
    longest = max(len(each.key) + len(each.value) + 5 for each in settings)
    column = min(longest, WIDEST, max(width // 2, 24))
    return ["", title, *(line for each in settings for line in each.lines(column, width))]
