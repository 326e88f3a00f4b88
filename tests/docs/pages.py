"""Reads the commands and files of a page in README.md or docs/, and runs the commands on small data."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from running import CONF, Ended, sluice, train
from small_configs import small

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:^`(?P<file>[\w/-]+\.\w+)`[^\n]*\n\n)?^```(?P<language>\w*)(?P<mark>[^\n]*)\n(?P<text>.*?)^```", re.M | re.S
)
TRAINING = (["python", "train.py"], ["sluice", "train"])
SKIPPED = (
    "python3 -m venv",
    "pip install",
    "PYTHONPATH=src python -m pytest",
    "sbatch",
    "torchrun",
    "tensorboard",
    "pytest",
)
"""Beginnings of commands that install something, or that `.ci/run` and other tests run."""
BENCHMARKS = {
    "cells": ("--size", "2,3,4,5", "--runs", "1"),
    "lengths": ("--batch-size", "4", "--steps", "8", "--shortest", "4", "--runs", "1"),
    "prepare": ("--megabytes", "1", "--pairs", "100"),
    "word2vec": ("--size", "4", "--runs", "1"),
}
"""Options that make `sluice bench` short."""
WORDS = {"river": "film", "he": "it", "his": "was", "her": "the"}
"""Words of the published corpora, and words of the generated sample in their place."""
SMALLER = {"model.hidden_size": ("model.num_params", "model.hidden_size"), "embedding.size": ("embedding.size",)}


@dataclass(frozen=True)
class Command:
    """A command of a page."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


@dataclass(frozen=True)
class Page:
    """The files that a page shows, and its commands in order."""

    files: dict[str, str]
    commands: list[Command]


def read_page(path: Path) -> Page:
    """Reads a page; a block after "`NAME`:" is the content of a file."""
    files, commands = {}, []
    for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
        if block["file"]:
            files[block["file"]] = block["text"]
        elif block["language"] in ("bash", "console"):
            commands += [Command(path.name, words) for words in _commands(block["text"], block["language"])]
    return Page(files, commands)


def _commands(text: str, language: str) -> Iterator[tuple[str, ...]]:
    for line in text.replace("\\\n", " ").splitlines():
        if language == "console" and not line.startswith("$ "):
            continue
        for part in line.removeprefix("$ ").split(" && "):
            if part.strip() and not part.strip().startswith((*SKIPPED, "#", ".")):
                yield tuple(shlex.split(part, comments=True))


def run(command: Command, home: Path) -> list[Ended]:
    """Runs a command in the working directory `home`; of a sweep the first and the last run."""
    words = list(command.words)
    if words[:2] in TRAINING:
        ended = [train(*arguments) for arguments in _training_runs(words[2:], home)]
        _link_samples(home)
        return ended
    assert words[0] == "sluice", f"{command}: neither training nor a sluice command"
    arguments = [_existing_run(word, home) for word in words[1:]]
    if arguments[0] == "embeddings":
        arguments = [WORDS.get(word, word) for word in arguments]
    extra = BENCHMARKS[arguments[1]] if arguments[0] == "bench" else ()
    return [sluice(*arguments, *extra, stdin="")]


def _training_runs(arguments: list[str], home: Path) -> list[list[str]]:
    """The command lines of the runs, reduced to small data; help and resumed runs as they are."""
    given = [_existing_run(argument, home) for argument in arguments]
    if "--help" in given or any(argument.startswith("resume=") for argument in given):
        return [given]
    settings = [argument for argument in given if argument not in ("-m", "--multirun")]
    swept = {**_sweep_of(settings), **{key: values for key, values in map(_values, settings) if len(values) > 1}}
    fixed = [setting for setting in settings if _values(setting)[0] not in swept]
    ends = dict.fromkeys((0, -1)) if swept else (0,)
    return [_reduced([*fixed, *(f"{key}={values[end]}" for key, values in swept.items())], home) for end in ends]


def _values(setting: str) -> tuple[str, list[str]]:
    """The key and the values of a setting; several in a sweep."""
    key, _, value = setting.partition("=")
    return key, [value] if value.startswith("[") else value.split(",")


def _sweep_of(settings: Sequence[str]) -> dict[str, list[str]]:
    """The parameters that the chosen experiment sweeps over."""
    content = _experiment(settings)
    if (content.get("hydra") or {}).get("mode") != "MULTIRUN":
        return {}
    params = content["hydra"]["sweeper"]["params"]
    given = [_values(setting)[0] for setting in settings]
    return {key: str(values).split(",") for key, values in params.items() if key not in given}


def _experiment(settings: Sequence[str]) -> dict[str, dict]:  # type: ignore[type-arg]
    chosen = dict(setting.split("=", 1) for setting in settings if "=" in setting).get("experiment")
    return yaml.safe_load((CONF / "experiment" / f"{chosen}.yaml").read_text(encoding="utf-8")) if chosen else {}


def _reduced(settings: list[str], home: Path) -> list[str]:
    """Adds settings of a short run that the command doesn't set; hydra.mode=RUN where the experiment is a sweep."""
    given = dict(setting.lstrip("+").split("=", 1) for setting in settings if "=" in setting)
    defaults = _experiment(settings).get("defaults") or []
    choices = {**{key: str(value) for entry in defaults for key, value in entry.items()}, **given}
    task = given.get("task") or choices.get("override /task", "imdb")
    reduced = small(home, task) if (CONF / "task" / f"{task}.yaml").exists() else ()
    own = "task.data.path" in given or "task.data.corpus" in given
    kept = [
        setting
        for setting in reduced
        if not (own and setting.startswith("task.data."))
        and not (task == "vec2seq" and own)
        and not any(key in given for key in SMALLER.get(setting.split("=")[0], (setting.split("=")[0],)))
        and not (setting.startswith("embedding.size") and "embedding.path" in given)
        and not (setting.startswith("model.hidden_size") and "experiment=fair" in settings)
    ]
    if "experiment=fair" in settings:
        kept.append("model.num_params=2000")
    if "experiment=britz" in settings:
        kept.append("task.decoder.hidden_size=16")
    elif task in ("multi30k", "parallel", "execute", "vec2seq") and "task.decoder.hidden_size" not in given:
        kept = [setting for setting in kept if not setting.startswith("model.hidden_size")]
    debug = () if "debug" in given else ("debug=fast",)
    mode = ("hydra.mode=RUN",) if _sweep_of(settings) or (_experiment(settings).get("hydra") or {}) else ()
    return [*settings, *debug, *kept, "trainer.accelerator=cpu", *mode]


def _link_samples(home: Path) -> None:
    """Makes runs on the generated sample, which are named sample-..., available under the name given."""
    for run_folder in (home / "outputs").glob("*/*/sample-*"):
        link = run_folder.with_name(run_folder.name.removeprefix("sample-"))
        if not link.exists():
            link.symlink_to(run_folder.name)


def _existing_run(word: str, home: Path) -> str:
    """Replaces the name RUN in a path by that of the newest run there."""
    if not word.endswith("/RUN"):
        return word
    runs = [path for path in (home / word).parent.iterdir() if path.is_dir()]
    return str(max(runs, key=lambda path: path.stat().st_mtime).relative_to(home))
