"""`train.py --help`: a page with the groups and their options; with settings, every setting that they compose."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from sluice.composition.hydra_options import HELP, check_options, find_configuration
from sluice.config.schema import Config
from sluice.program import training_command

GROUPS = {
    "task": "data, network and metrics",
    "model": "the recurrent core",
    "embedding": "token representation",
    "optimizer": "",
    "scheduler": "learning-rate schedule",
    "trainer": "devices and precision",
    "callbacks": "",
    "logger": "",
    "experiment": "complete experiments",
    "hparams_search": "searches for settings",
    "debug": "short runs for debugging",
}
"""The groups, and what they choose."""
EXAMPLES = """Train a recurrent text model.

  {command} model=lstm task=imdb                train and test a model
  {command} task=imdb --help                    list every setting
  {command} task=reviews task.data.path=my.csv  train on your texts
  {command} task=imdb model.hidden_size=256     change a setting
  {command} -m model=rnn,gru,lstm seed=1,2,3    train all combinations
  {command} experiment=fair                     a prepared experiment
  {command} -cd DIR task=mine                   read files in DIR too
  {command} resume=outputs/imdb/lstm/NAME       resume after a stop
  {command} debug=fast                          run a few batches
  {command} task=imdb --cfg job                 print the configuration
"""
WIDTH = 80


def training_help(arguments: Sequence[str], conf: Path) -> str:
    """The text of `--help`.

    Args:
        arguments: the arguments of the training command.
        conf: Sluice's configuration folder.

    Raises:
        UserError: for an unknown option or an invalid setting.
    """
    rest = [argument for argument in arguments if argument not in HELP]
    check_options(rest, conf)
    if any("resume" in argument for argument in rest):
        from sluice.training.stored_settings import resume_arguments

        rest = resume_arguments(rest, conf)
    found = find_configuration(rest, conf)
    if not found.settings:
        return "".join(_overview(found.folders)).rstrip()
    from sluice.cli.settings_help import settings_help

    return settings_help(found)


def _overview(folders: Sequence[Path]) -> Iterator[str]:
    yield EXAMPLES.format(command=training_command())
    yield "\nGroups: choose with group=option; GROUP=OPTION --help lists the settings\n"
    own = (path.name for folder in folders[1:] for path in sorted(folder.iterdir()) if next(path.glob("*.yaml"), None))
    for group in dict.fromkeys([*GROUPS, *own]):
        options = option_files(folders, group)
        if options:
            yield f"\n  {group + '=':<17}{GROUPS.get(group, '')}".rstrip() + "\n"
        width = max(map(len, options), default=0) + 2
        for name, file in options.items():
            yield f"    {name:<{width}}{next(leading_comment(file), '')}".rstrip() + "\n"
    yield "\nSettings of every run: change with key=value\n\n"
    for entry in fields(Config):
        if "meaning" in entry.metadata:
            line = f"  {entry.name:<18}{entry.metadata['meaning']}"
            yield textwrap.fill(line, WIDTH, subsequent_indent=" " * 20) + "\n"
    yield "  paths.*           folders of corpora, caches and runs\n"
    yield "  checkpoint.*      when the state of a run is saved\n"


def option_files(folders: Iterable[Path], group: str) -> dict[str, Path]:
    """The files of a group by the name of the option, sorted; of two with one name, that in the first folder."""
    found: dict[str, Path] = {}
    for folder in folders:
        found = {file.stem: file for file in (folder / group).glob("*.yaml")} | found
    return dict(sorted(found.items()))


def leading_comment(file: Path) -> Iterator[str]:
    """The lines of the comment with which a configuration file begins."""
    for line in file.read_text(encoding="utf-8").strip().splitlines():
        if not line.startswith("#"):
            return
        if "@package" not in line:
            yield line.removeprefix("#").strip()
