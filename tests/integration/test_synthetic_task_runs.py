"""The synthetic tasks and tagging are trained and evaluated from the command line."""

from pathlib import Path

import pytest

from running import error_of, json_lines, paths_in, sluice, train, trained

FEW = ("trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "model.hidden_size=6")
TASKS = {
    "temporal_order": (["task.data.size=64", "task.data.val_size=32", "task.data.test_size=32"], "accuracy"),
    "adding": (["task.data.steps=8", "task.data.size=64", "task.data.val_size=32", "task.data.test_size=32"], "rmse"),
    "copy": (
        [
            "task.data.delay=2",
            "task.data.length=2",
            "task.data.size=64",
            "task.data.val_size=8",
            "task.data.test_size=8",
        ],
        "exact",
    ),
    "echo": (
        ["task.data.length=60", "task.data.streams=4", "task.data.val_streams=2", "task.data.test_streams=2"],
        "exact",
    ),
    "counting": (["task.data.max_n=10", "task.data.test_max_n=20", "task.data.size=50"], "first_failure"),
    "waves": (["task.data.size=64", "task.data.val_size=16", "task.data.test_size=16"], "last_step"),
    "tagging": ([], "f1"),
}


@pytest.mark.parametrize("task", TASKS)
def test_task_trains_and_evaluates(workdir: Path, task: str) -> None:
    settings, metric = TASKS[task]
    run = trained(workdir, f"task={task}", *settings, *FEW)
    assert f"test/{metric}" in run.results
    assert run.results["data_source"] in ("generated", "sample")
    if task == "temporal_order":
        return
    (line,) = json_lines(sluice("evaluate", run.folder, "--json"))
    assert line["loss"] == pytest.approx(run.results["test/loss"], rel=1e-5)


def test_task_trains_with_another_cell(workdir: Path) -> None:
    run = trained(workdir, "task=echo", *TASKS["echo"][0], *FEW, "model=rnn_layernorm", "embedding=onehot")
    assert run.results["model"] == "rnn_layernorm"


def test_tagging_trains_on_a_file(workdir: Path) -> None:
    (workdir / "mine.txt").write_text("the O\ncat B-X\n\na O\ndog B-X\n\n" * 20, encoding="utf-8")
    run = trained(workdir, "task=tagging", f"task.data.path={workdir / 'mine.txt'}", *FEW)
    assert run.results["data_source"] == "file"


WRONG = {
    "unknown level": (["task=temporal_order", "task.level=foo"], "must be one of easy, normal"),
    "t2 before t1": (["task=temporal_order", "task.data.t1=[5,6]"], "is not after"),
    "incomplete range": (["task=temporal_order", "task.data.t1=[5]"], "must be two numbers"),
    "unknown language": (["task=counting", "task.data.language=abba"], "must be one of anbn, anbncn"),
    "delay beyond the sequence": (["task=echo", "task.data.delay=50", "task.data.length=40"], "delay"),
    "bidirectional": (["task=echo", "model.bidirectional=true"], "gives the network access to its targets"),
    "unavailable metric": (["task=adding", "task.monitor=val/accuracy"], "it must be one of val/loss, val/rmse"),
}


@pytest.mark.parametrize(("settings", "expected"), WRONG.values(), ids=WRONG)
def test_invalid_settings_are_reported(workdir: Path, settings: list[str], expected: str) -> None:
    assert expected in error_of(train(*settings, *FEW, *paths_in(workdir)))
