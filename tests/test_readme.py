"""The commands in README.md and docs/ are valid, and the Python code runs."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from sluice.cli.main import app
from sluice.composition.compose import checked, compose_config
from sluice.recurrent import CELLS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands(start: str) -> list[list[str]]:
    """Arguments of every command that starts with `start`, also after &&."""
    lines = [part.strip() for block in blocks("bash") for line in block.splitlines() for part in line.split("&&")]
    return [shlex.split(line[len(start) :]) for line in lines if line.startswith(start)]


def single_run(overrides: list[str]) -> list[str]:
    """The first run of a sweep."""
    return [override.split(",")[0] for override in overrides if override not in ("-m", "--help")]


@pytest.mark.parametrize("overrides", commands("python train.py"), ids=" ".join)
def test_training_commands_compose(overrides: list[str]) -> None:
    assert checked(compose_config(single_run(overrides), ROOT / "conf")).task.name


def tool_commands() -> list[list[str]]:
    """Arguments of the training commands of docs/tools.md, without sweeps by Hydra's functions."""
    page = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ (?:\w+=\w+ )?python train.py (.*)$", page, re.MULTILINE)
    return [shlex.split(line) for line in lines if "hydra" not in line]


@pytest.mark.parametrize("overrides", tool_commands(), ids=" ".join)
def test_commands_of_the_page_on_tools_compose(overrides: list[str]) -> None:
    given = [text.split(",")[0] if "fold=" in text else text for text in overrides if text != "-m"]
    assert checked(compose_config(given, ROOT / "conf")).callbacks is not None


def test_pages_contain_commands() -> None:
    assert len(commands("python train.py")) > 5
    assert len(commands("sluice ")) > 3


@pytest.mark.parametrize("arguments", commands("sluice "), ids=" ".join)
def test_sluice_commands_parse(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for argument in arguments:
        if ".module=" in argument:
            (tmp_path / argument.partition("=")[2]).touch()  # written by the page
    command: Any = typer.main.get_command(app)
    context = command.make_context("sluice", list(arguments))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]  # a group may have arguments
        name, command, arguments = command.resolve_command(context, rest)
        context = command.make_context(name, list(arguments), parent=context)
    assert context.params


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_point_to_existing_files(page: Path) -> None:
    places = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [place for place in places if not (page.parent / place).exists()] == []


def is_runnable(code: str) -> bool:
    """Whether a block needs neither a trained model, nor a file named on the command line, nor trains."""
    return not any(part in code for part in ("register(", "outputs/", "pl.Trainer("))


@pytest.mark.parametrize("code", [code for code in blocks("python") if is_runnable(code)])
def test_python_blocks_run(code: str, workdir: Path) -> None:
    before = dict(CELLS)
    try:
        exec(compile(code, "README.md", "exec"), {})
    finally:
        CELLS.clear()
        CELLS.update(before)


@pytest.mark.slow
@pytest.mark.parametrize("code", [code for code in blocks("python") if "pl.Trainer(" in code])
def test_python_blocks_train(code: str, workdir: Path) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_docs_list_the_device_dependent_files() -> None:
    source = ROOT / "src" / "sluice"
    texts = {str(file.relative_to(source)): file.read_text(encoding="utf-8") for file in source.rglob("*.py")}
    files = {name for name, text in texts.items() if "cuda" in text}
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    table = page.split("## Device-dependent code")[1].split("## ")[0]
    assert files == set(re.findall(r"`([\w/]+\.py)`", table))
