"""Configuration files in a folder given by -cd, and classes in the working directory."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import command
from running import CONF, Ended, Finished, error_of, paths_in, results_of, runs_below, sluice, train

FILES = {
    "mypkg/__init__.py": """
import torch


class Thing(torch.optim.SGD):
    pass
""",
    "myconf/optimizer/mine.yaml": """
# Stochastic gradient descent of mypkg
_target_: mypkg.Thing
_partial_: true
lr: 0.1
""",
    "myconf/model/small.yaml": """
# A small LSTM
defaults:
  - lstm
  - _self_
name: small
hidden_size: 3
""",
    "myconf/task/hard.yaml": """
# Temporal order, hard
defaults:
  - temporal_order
  - _self_
level: easy
max_epochs: 2
""",
    "myconf/experiment/mine.yaml": """
# @package _global_
# All of them
defaults:
  - override /task: hard
  - override /model: small
  - override /optimizer: mine
  - override /trainer: cpu
seed: 5
""",
}
OPTIONS = ("-cd", "myconf", "experiment=mine", "debug=fast", "name=a")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(home: Path) -> Finished:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "path", list(sys.path))
        ended = train(*OPTIONS, *paths_in(home))
        assert ended.code == 0, ended.err
        assert sys.path[-1] == str(home)
    return Finished.found(home, ended)


@pytest.fixture(autouse=True)
def no_modules_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests, also of this process, import a package of this name."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypkg"]:
        monkeypatch.delitem(sys.modules, name)


def test_groups_of_the_user_are_used(run: Finished) -> None:
    assert run.folder.parts[-3:] == ("temporal_order", "small", "a")
    settings = (run.folder / "config.yaml").read_text(encoding="utf-8")
    assert all(words in settings for words in ("hidden_size: 3", "_target_: mypkg.Thing", "max_epochs: 2", "seed: 5"))


def test_commands_that_read_a_checkpoint_import_nothing(
    home: Path, run: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    for arguments in (("predict", run.folder, "B a X"), ("evaluate", run.folder)):
        ended = sluice(*arguments)
        assert ended.code == 0, ended.err
    assert str(home) not in sys.path
    assert "mypkg" not in sys.modules


def test_resuming_needs_the_folder_of_the_user(home: Path, run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert "experiment" in error_of(train(f"resume={run.folder}", "resume_force=true"))
    assert "mypkg" not in sys.modules


def test_last_run_is_found_with_the_folder_of_the_user(
    home: Path, run: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert f"the run in {run.folder} is done" in train(*OPTIONS[:-1], "resume=last", *paths_in(home)).err


def test_folder_of_the_user_may_have_any_name(home: Path, run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HOME", str(home))
    (home / "it's ü, a=b").symlink_to(home / "myconf")
    options = ("-cd", "it's ü, a=b")
    ended = sluice("prepare", *options, "task=hard", "task.data.size=4", *paths_in(home))
    assert ended.out.startswith("temporal_order: "), ended.err
    assert train(*options, "task=hard", "--help").code == 0
    resumed = f"resume='~/{run.folder.relative_to(home)}'"
    assert f"the run in {run.folder} is done" in train(*options, resumed).err


def test_class_without_module_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", list(sys.path))
    message = error_of(train(*OPTIONS[:-1], "name=b", "optimizer._target_=elsewhere.Thing", *paths_in(home)))
    assert "optimizer._target_=elsewhere.Thing cannot be used" in message


WRONG_FILES = {
    "seed: [1, 2": "line 2 cannot be read as YAML (expected ',' or ']'",
    "\tseed: 2": "line 1 cannot be read as YAML (found character '\\t' that cannot start any token): correct it",
    "# @package _global_\nseed: 1\nseed: 2": "line 3 cannot be read as YAML (found duplicate key seed): correct it",
    "seed: 2": "experiment/wrong.yaml cannot be used: its first line must be # @package _global_",
    "defaults: [override /task: copy]": "experiment/wrong.yaml cannot be used: its first line must be # @package",
    "# @package _global_\ndefaults: copy": "experiment/wrong.yaml: its defaults must be a list",
    "# @package _global_\nmodel: {hiden_size: 3}": "experiment/wrong.yaml cannot be used: there is no setting 'model.h",
    "# @package _global_\nseed: many": "seed in experiment/wrong.yaml cannot be used: it must be a whole number",
    "# é".encode("latin-1"): "wrong.yaml is not UTF-8 at byte 2: save it as UTF-8",
}
"""Contents of a file of the user, and words of the error."""


@pytest.mark.parametrize(("content", "words"), WRONG_FILES.items(), ids=range(len(WRONG_FILES)))
def test_mistakes_in_files_are_one_sentence(tmp_path: Path, content: str | bytes, words: str) -> None:
    file = tmp_path / "conf/experiment/wrong.yaml"
    file.parent.mkdir(parents=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode() + b"\n")
    assert words in error_of(sluice("prepare", "-cd", file.parents[1], "experiment=wrong"))


@pytest.mark.parametrize("run_command", [train, lambda *given: sluice("prepare", *given)], ids=["train", "prepare"])
def test_ignored_file_of_the_user_is_refused(tmp_path: Path, run_command: Callable[..., Ended]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "gru.yaml").write_bytes((CONF / "model" / "gru.yaml").read_bytes())
    (tmp_path / "model" / "lstm.yaml").write_text("name: mine\n", encoding="utf-8")
    message = error_of(run_command("-cd", str(tmp_path)))
    assert f"{tmp_path}/model/lstm.yaml would not be used, since Sluice has a file of that name" in message


def test_working_directory_hides_no_module(home: Path, tmp_path: Path) -> None:
    for name in ("typer", "rich", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "sluice", "--version"], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [("trainer=ddp_cpu",), ("-m", "seed=1,2"), ("-m", "seed=1,2", "hydra/launcher=submitit_local")],
    ids=["workers", "sweep", "jobs"],
)
def test_processes_find_the_class(tmp_path: Path, settings: tuple[str, ...]) -> None:
    if "hydra/launcher=submitit_local" in settings:
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    if sys.version_info >= (3, 11):  # must not hide PyYAML
        (tmp_path / "yaml.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.lstrip(), encoding="utf-8")
    sluice_train = (str(Path(sys.executable).with_name("sluice")), "train")
    ended = command(*sluice_train, *OPTIONS, *settings, cwd=tmp_path)
    assert ended.code == 0, ended.err
    runs = runs_below(tmp_path)
    assert len(runs) == (2 if "-m" in settings else 1)
    assert all("test/accuracy" in results_of(run) for run in runs)
