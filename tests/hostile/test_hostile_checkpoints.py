"""Hostile checkpoints run no code and write no files."""

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from running import SMALL, Finished, paths_in, sluice, train

TEXT = "It was moving, I loved it."
Attack = Callable[[Path, Path], None]
"""Changes a checkpoint (first path) so that it tries to create a file (second path)."""


class Touches:
    """Runs a shell command when it is unpickled."""

    def __init__(self, leak: Path) -> None:
        self.leak = leak

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.leak}'",)


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrites the checkpoint without a checksum, as in earlier versions."""
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)


def pickle_instead_of_a_checkpoint(path: Path, leak: Path) -> None:
    path.write_bytes(pickle.dumps(Touches(leak)))


def old_format(path: Path, leak: Path) -> None:
    torch.save(Touches(leak), path, _use_new_zipfile_serialization=False)


def object_at_the_top(path: Path, leak: Path) -> None:
    torch.save(Touches(leak), path)


def object_among_the_weights(path: Path, leak: Path) -> None:
    changed(path, lambda checkpoint: checkpoint["state_dict"].update({"network.output.bias": Touches(leak)}))


def object_among_the_settings(path: Path, leak: Path) -> None:
    changed(path, lambda checkpoint: checkpoint["sluice"]["config"].update({"name": Touches(leak)}))


def other_pickle_in_the_archive(path: Path, leak: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(content, "w") as after:
        for name in before.namelist():
            data = pickle.dumps(Touches(leak)) if name.endswith("data.pkl") else before.read(name)
            after.writestr(name, data)
    path.write_bytes(content.getvalue())


def path_out_of_the_archive(path: Path, leak: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../made_by_evil", "x")


def evil_module(path: Path, leak: Path) -> Path:
    """A Python file next to the checkpoint."""
    module = path.parent / "evil.py"
    module.write_text(f"import pathlib\npathlib.Path({str(leak)!r}).touch()\n", encoding="utf-8")
    return module


def cell_from_a_file(path: Path, leak: Path) -> None:
    module = str(evil_module(path, leak))
    changed(path, lambda checkpoint: checkpoint["sluice"]["config"]["model"].update(module=module, cell="mgu"))


def task_from_a_file(path: Path, leak: Path) -> None:
    module = str(evil_module(path, leak))

    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["sluice"]["config"]["task"]["module"] = module
        checkpoint["sluice"]["schema"] = "evil"

    changed(path, change)


def known_task_from_a_file(path: Path, leak: Path) -> None:
    module = str(evil_module(path, leak))
    changed(path, lambda checkpoint: checkpoint["sluice"]["config"]["task"].update(module=module))


def targets_of_the_standard_library(path: Path, leak: Path) -> None:
    target = {"_target_": "os.system", "command": f"touch '{leak}'"}

    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["sluice"]["config"].update(
            optimizer=target, scheduler=target, callbacks={"a": target}, logger={"a": target}
        )

    changed(path, change)


def target_next_to_the_run(path: Path, leak: Path) -> None:
    evil_module(path, leak)
    target = {"_target_": "evil.anything"}
    changed(path, lambda checkpoint: checkpoint["sluice"]["config"].update(callbacks={"a": target}, trainer=target))


def interpolations(path: Path, leak: Path) -> None:
    def change(checkpoint: dict[str, Any]) -> None:
        config = checkpoint["sluice"]["config"]
        config["model"]["name"] = "${oc.env:HOME}"
        config["paths"]["data_dir"] = f"${{oc.create:{{_target_:pathlib.Path.touch,self:{leak}}}}}"

    changed(path, change)


def task_of_another_folder(path: Path, leak: Path) -> None:
    changed(path, lambda checkpoint: checkpoint["sluice"].update(schema="../../evil"))


def names_for_code(path: Path, leak: Path) -> None:
    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["sluice"]["config"]["task"]["text"]["tokenizer"] = f"__import__('os').system('touch {leak}')"
        checkpoint["sluice"]["config"]["model"]["cell"] = "os.system"

    changed(path, change)


def folders_elsewhere(path: Path, leak: Path) -> None:
    made = str(leak.parent / "made_by_evil")

    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["sluice"]["config"]["paths"].update(cache_dir=made, output_dir=made, run_dir=made)

    changed(path, change)


ATTACKS: tuple[Attack, ...] = (
    *(pickle_instead_of_a_checkpoint, old_format, object_at_the_top, object_among_the_weights),
    *(object_among_the_settings, other_pickle_in_the_archive, path_out_of_the_archive, cell_from_a_file),
    *(task_from_a_file, known_task_from_a_file, targets_of_the_standard_library, target_next_to_the_run),
    *(interpolations, task_of_another_folder, names_for_code, folders_elsewhere),
)


@pytest.fixture
def run(finished: Finished, workdir: Path) -> Path:
    """A copy of the finished run whose checkpoints are replaced."""
    folder = workdir / "outputs" / "imdb" / "lstm" / "sample-a"
    shutil.copytree(finished.folder, folder)
    return folder


@pytest.mark.usefixtures("custom_code_unregistered")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_predict_and_evaluate_run_no_hostile_code(attack: Attack, run: Path, leak: Path) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        attack(run / name, leak)
    for command in (("predict", run, TEXT, "--json"), ("evaluate", run, "--json")):
        ended = sluice(*command)
        assert ended.code in (0, 2), ended
        assert "Traceback" not in ended.err


@pytest.mark.slow
@pytest.mark.usefixtures("custom_code_unregistered")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_inspect_and_train_run_no_hostile_code(attack: Attack, run: Path, leak: Path) -> None:
    (run / "results.json").unlink()
    for name in ("best.ckpt", "last.ckpt", "previous.ckpt"):
        if (run / name).exists():
            attack(run / name, leak)
    small = (*SMALL, "task.data.source=sample", "task.data.sample_size=60", "task.pooling=attention")
    for command in (("inspect", run, TEXT, "--json"), ("embeddings", run, "neighbours", "movie", "--json")):
        ended = sluice(*command)
        assert ended.code in (0, 2), ended
    for setting in (f"resume={run}", f"init_from={run}"):
        ended = train(setting, *small, *paths_in(leak.parent))
        assert ended.code in (0, 2), ended
        assert "Traceback" not in ended.err
