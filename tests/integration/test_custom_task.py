"""The custom task of docs/extending.md, one Python and one YAML file outside the package."""

import re
import shlex
from pathlib import Path
from unittest.mock import patch

import pytest

import sluice as package
from custom_cell import unregister_custom_code
from running import CONF, Ended, error_of, json_lines, sluice, train
from sluice.composition.compose import compose_config
from sluice.config import user_code
from sluice.config.schema import find_schema
from sluice.recipes.registry import BUILT_IN, recipe_named, register
from stopping import stop_signal, stopped

PAGE = (CONF.parent / "docs" / "extending.md").read_text(encoding="utf-8")
RUN, MODULE = Path("outputs/majority/gru/first"), "task.module=majority.py"
SMALL = ("task.data.size=200", "trainer.max_epochs=2", "checkpoint.every_steps=1")


def block(language: str) -> str:
    """The page's first code block in a language."""
    return str(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0])


def commands() -> list[list[str]]:
    """The commands of the page as argument lists."""
    return [shlex.split(line.removeprefix("$ ")) for line in block("console").splitlines()]


@pytest.fixture
def custom_task(custom_code_unregistered: None, workdir: Path) -> Path:
    """A folder with the page's two files."""
    (workdir / "majority.py").write_text(block("python"), encoding="utf-8")
    (workdir / "myconf" / "task").mkdir(parents=True)
    (workdir / "myconf" / "task" / "majority.yaml").write_text(block("yaml"), encoding="utf-8")
    return workdir


def run_command(arguments: list[str]) -> Ended:
    unregister_custom_code()  # as in a new process
    if arguments[0] == "python":
        return train(*arguments[2:], *(() if any("resume" in own for own in arguments) else SMALL))
    return sluice(*arguments[1:])


@pytest.mark.usefixtures("custom_task")
def test_documented_commands_train_evaluate_predict_and_resume() -> None:
    training, evaluating, predicting, resuming = commands()
    with stopped(stop_signal, "on_train_batch_end", 3):
        assert run_command(training).code == 130
    ended = run_command(resuming)
    assert ended.code == 0, ended.err
    assert "Resuming from" in (RUN / "log.txt").read_text(encoding="utf-8")
    (evaluated,) = json_lines(run_command([*evaluating, "--json"]))
    assert evaluated["texts"] == 500
    assert evaluated["labels"] == ["no", "yes"]
    (predicted,) = json_lines(run_command([*predicting, "--json"]))
    assert predicted["label"] in ("no", "yes")
    assert run_command(resuming).err.startswith("the run in ")
    assert (RUN / "task_module.py").read_bytes() == Path("majority.py").read_bytes()


@pytest.mark.usefixtures("custom_task")
def test_code_runs_only_if_the_command_line_names_it() -> None:
    training, _, predicting, resuming = commands()
    with stopped(stop_signal, "on_train_batch_end", 3):
        run_command(training)
    bare = [argument for argument in predicting if argument != MODULE]
    assert "has a custom task from" in error_of(run_command(bare))
    assert f"add {MODULE}" in error_of(run_command([part for part in resuming if part != MODULE]))
    Path("majority.py").write_text(block("python") + "# changed\n", encoding="utf-8")
    assert "is not the file that" in error_of(run_command(predicting))
    assert run_command([*predicting, "--allow-changed-code"]).code == 0
    assert "is not the file that" in error_of(run_command(resuming))


@pytest.mark.usefixtures("custom_task")
def test_unregistered_task_requires_its_module() -> None:
    error = error_of(train("-cd", "myconf", "task=majority"))
    assert error == (
        "sluice: there is no task registered as 'majority': name the file that registers it, task.module=FILE"
    )


@pytest.mark.usefixtures("custom_task")
def test_task_without_yaml_requires_the_config_dir() -> None:
    assert "there is no task/majority.yaml for task=majority" in error_of(train("task=majority", MODULE))
    assert "--config-dir nowhere is not a folder" in error_of(
        sluice("prepare", "--config-dir", "nowhere", "task=adding")
    )


@pytest.mark.usefixtures("custom_task")
def test_prepare_supports_custom_tasks() -> None:
    ended = sluice("prepare", "--config-dir", "myconf", "task=majority", MODULE)
    assert "majority: 2000 generated texts" in ended.out, ended.err


def test_entry_point_registers_a_task(custom_task: Path) -> None:
    class Point:
        name, value = "majority", "mypackage.majority"

        def load(self) -> None:
            exec(compile(block("python"), "majority.py", "exec"), {"__name__": "builtins"})

    class Broken:
        name, value = "broken", "mypackage.broken"

        def load(self) -> None:
            raise ImportError("no such package")

    user_code.load_installed_recipes.cache_clear()
    with patch.object(user_code, "entry_points", return_value=[Broken(), Point()]):
        assert find_schema("majority") is not None
        recipe = recipe_named("majority")
        composed = compose_config([f"hydra.searchpath=[file://{custom_task / 'myconf'}]", "task=majority"], CONF)
    user_code.load_installed_recipes.cache_clear()
    assert composed.task.name == "majority"
    assert type(recipe).__name__ == "MajorityRecipe"


def test_built_in_task_cannot_be_replaced() -> None:
    with pytest.raises(ValueError, match="Sluice already has a task named 'imdb'"):
        register("imdb", recipe_named("imdb"))
    with pytest.raises(ValueError, match="Imdb is the settings type of task=imdb: derive a new dataclass"):
        register("mine", recipe_named("imdb"))


@pytest.mark.usefixtures("custom_task")
def test_settings_class_may_reuse_a_built_in_name() -> None:
    source = Path("majority.py").read_text(encoding="utf-8").replace("class Majority(", "class Reviews(")
    source = source.replace("[Majority]", "[Reviews]").replace("settings_type = Majority", "settings_type = Reviews")
    Path("majority.py").write_text(source, encoding="utf-8")
    ended = run_command([*commands()[0], "debug=fast"])
    assert ended.code == 0, ended.err


@pytest.mark.usefixtures("custom_task")
def test_moved_module_file_resumes_and_loads() -> None:
    training, _, _, resuming = commands()
    with stopped(stop_signal, "on_train_batch_end", 3):
        run_command(training)
    Path("majority.py").rename("moved.py")
    moved = [part.replace("majority.py", "moved.py") for part in resuming]
    assert run_command(moved).code == 0
    unregister_custom_code()
    Path("other.py").write_text("", encoding="utf-8")
    assert package.load(RUN, modules=["other.py", "moved.py"]).labels == ("no", "yes")


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_recipe_is_described(name: str) -> None:
    recipe = recipe_named(name)
    assert recipe.settings_type.__name__
    assert "{run}" in recipe.usage
    assert recipe.kind
    assert recipe.description
