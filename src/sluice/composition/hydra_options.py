"""Hydra's options of the training command, checked before Hydra, whose errors are a usage text or a traceback."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from sluice.errors import UserError
from sluice.overrides import search_path_of
from sluice.program import training_command

MULTIRUN = ("-m", "--multirun")
HELP = ("-h", "--help")
COMPLETIONS = ("install=", "uninstall=")
INFOS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}: see {training_command()} --help")


def check_options(arguments: Sequence[str], conf: Path) -> None:
    """Checks the options among the arguments of the training command.

    Args:
        arguments: options and settings.
        conf: Sluice's configuration folder.

    Raises:
        UserError: for an unknown option, an invalid value, or options that exclude each other or have no effect.
    """
    if not any(argument.startswith("-") for argument in arguments):
        return
    given, rest = _parser().parse_known_args(list(arguments))
    unknown = [argument for argument in rest if argument.startswith("-")]
    if unknown:
        raise UserError(
            f"there is no option {unknown[0]}: settings are written key=value, without dashes, see "
            f"{training_command()} --help"
        )
    modes = [f"--{name.replace('_', '-')}" for name in MODES if getattr(given, name)]
    if len(modes) > 1:
        raise UserError(f"{modes[0]} and {modes[1]} exclude each other: leave one out")
    for name in ("resolve", "package"):
        if getattr(given, name) and not given.cfg:
            raise UserError(f"--{name} has no effect without --cfg: add --cfg job")
    if given.shell_completion and sum(argument.startswith(_completions()) for argument in rest) != 1:
        raise UserError("--shell-completion needs install=SHELL or uninstall=SHELL, such as install=bash")
    shells = [argument.partition("=")[2] for argument in rest if argument.startswith(("install=", "uninstall="))]
    if given.shell_completion and not set(shells) <= set(SHELLS):
        raise UserError(f"there is no shell completion for {shells[0]!r}: choose one of {', '.join(SHELLS)}")
    if given.config_name == "":
        raise UserError("--config-name is empty: give the name of a configuration file")
    empty = next((name for name in ("config-dir", "config-path") if getattr(given, name.replace("-", "_")) == ""), None)
    if empty is not None:
        raise UserError(f"--{empty} is empty: give the folder of your configuration files")
    if given.config_dir is not None:
        check_config_dir(Path(given.config_dir), conf)
    if given.config_path is not None and Path(given.config_path).is_dir() and not Path(given.config_path).is_absolute():
        raise UserError(f"--config-path {given.config_path} cannot be used: give the absolute path of the folder")
    if given.config_path is not None and not Path(given.config_path).is_dir():
        raise UserError(
            f"--config-path {given.config_path} is not a folder: give the folder of your configuration files"
        )


def check_config_dir(folder: Path, conf: Path) -> None:
    """Checks the folder of `-cd`, whose files Hydra searches after Sluice's.

    Args:
        folder: the folder.
        conf: Sluice's configuration folder.

    Raises:
        UserError: if it is not a folder, or a file in it is not UTF-8, or has the name of one of Sluice's.
    """
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder} is not a folder: give the folder of your configuration files")
    for file in sorted(file for group in conf.iterdir() for file in folder.glob(f"{group.name}/*.yaml")):
        original, content = conf / file.relative_to(folder), file.read_bytes()
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 at byte {error.start:,}: save it as UTF-8") from error
        if original.is_file() and original.read_bytes() != content:
            raise UserError(f"{file} would not be used, since Sluice has a file of that name: choose another name")


class Configuration(NamedTuple):
    """Where the configuration of a command line comes from."""

    folders: list[Path]
    """Folders with configuration files: Sluice's, or that of `-cp`; and that of `-cd`."""
    name: str
    """Name of the main file."""
    settings: list[str]
    options: list[str]
    """The other arguments: options with their values."""

    @property
    def search_path(self) -> list[str]:
        """The setting that adds the folder of `-cd` to the configuration; empty without it."""
        return [search_path_of(folder) for folder in self.folders[1:]]


def find_configuration(arguments: Sequence[str], conf: Path) -> Configuration:
    """Splits checked arguments into the location of the configuration files and the settings.

    Args:
        arguments: options and settings.
        conf: Sluice's configuration folder.
    """
    given, settings = _parser().parse_known_args(list(arguments))
    folders = [Path(folder).absolute() for folder in (given.config_path or conf, given.config_dir) if folder]
    options, rest = [], list(settings)
    for argument in arguments:  # the settings are in their order
        if rest[:1] == [argument]:
            del rest[0]
        else:
            options.append(argument)
    return Configuration(folders, given.config_name or "config", settings, options)


def _completions() -> tuple[str, ...]:
    """The arguments of `--shell-completion`; `query=` is for the shell, which sets COMP_LINE."""
    return (*COMPLETIONS, "query=") if "COMP_LINE" in os.environ else COMPLETIONS


def chosen_package(arguments: Sequence[str]) -> str | None:
    """Returns the part of the configuration that `--package` chooses to be shown."""
    package: str | None = _parser().parse_known_args(list(arguments))[0].package
    return package


SHELLS = ("bash", "fish", "zsh")
MODES = ("run", "multirun", "cfg", "info", "shell_completion")
"""Options of which one may be given."""


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    for short, name in (("-m", "multirun"), ("-r", "run"), ("-sc", "shell-completion")):
        parser.add_argument(short, f"--{name}", action="store_true")
    for name in ("resolve", "hydra-help", "version"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("-i", "--info", choices=INFOS, nargs="?", const="all")
    for short, name in (("-p", "package"), ("-cp", "config-path"), ("-cn", "config-name"), ("-cd", "config-dir")):
        parser.add_argument(short, f"--{name}")
    return parser
