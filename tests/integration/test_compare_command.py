"""`sluice compare` on run folders written by hand."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from running import error_of, sluice
from sluice.cli import compare
from sluice.runs.comparison import Comparison, compare_groups, find_runs, group_runs
from sluice.runs.comparison_plots import draw_curves, draw_rows

ACCURACY = "test/accuracy"
FIGURES = {("rnn", 10): (0.5, 0.7), ("rnn", 20): (0.4, 0.4), ("lstm", 10): (0.9, 1.0), ("lstm", 20): (0.8, 0.9)}
"""Accuracies of two seeds, by model and steps."""


def write_run(
    folder: Path, model: str, steps: int, seed: int, config: dict[str, Any] | None = None, **results: Any
) -> None:
    folder.mkdir(parents=True)
    own = {"task": {"name": "adding", "data": {"steps": steps}}, "model": {"name": model}, "seed": seed}
    config = {**own, **(config or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shared = {"task": "adding", "model": model, "seed": seed, "monitor": "val/accuracy", "date": f"{steps}-{seed}"}
    (folder / "results.json").write_text(json.dumps({**shared, "parameters": 8, "minutes": 1, **results}), "utf-8")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for (model, steps), figures in FIGURES.items():
        for seed, accuracy in enumerate(figures):
            write_run(tmp_path / "runs" / f"{model}-{steps}-{seed}", model, steps, seed, **{ACCURACY: accuracy})
    return tmp_path / "runs"


def test_seeds_are_averaged(runs: Path, tmp_path: Path) -> None:
    ended = sluice("compare", runs, "--csv", tmp_path / "table.csv")
    assert ended.code == 0, ended.err
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        heading, *rows = list(csv.reader(file))
    numbers = ["mean", "standard_deviation", "interval_low", "interval_high", "parameters", "minutes"]
    assert heading == ["task", "generated_sample", "model", "task.data.steps", "metric", "runs", *numbers]
    assert rows[0][:6] == ["adding", "False", "lstm", "10", ACCURACY, "2"]
    half = 12.706 * 0.1 / 2  # of two values that differ by 0.1: t · s / √2, s = 0.1 / √2
    expected = [0.95, 0.1 / 2**0.5, 0.95 - half, 0.95 + half, 8, 1]
    assert [float(value) for value in rows[0][6:]] == pytest.approx(expected)
    assert [row[2:4] for row in rows] == [["lstm", "10"], ["lstm", "20"], ["rnn", "10"], ["rnn", "20"]]
    assert ended.out.splitlines()[0].strip() == f"adding: {ACCURACY} (higher is better)"
    assert ended.out.splitlines()[1].split() == [
        "model",
        "steps",
        "runs",
        "mean",
        "±",
        "95",
        "%",
        "parameters",
        "time",
    ]


def test_rows_are_lists_on_a_terminal_that_is_too_narrow(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "fits_terminal", lambda table: False)
    monkeypatch.setattr(compare, "terminal_width", lambda: 50)
    _, *lines = sluice("compare", runs).out.splitlines()
    assert lines[:2] == ["lstm", "  steps 10   runs 2   mean 0.9500   ± 0.0707"]
    assert max(map(len, lines)) <= 50


def test_each_task_has_its_own_metric_and_settings(runs: Path, tmp_path: Path) -> None:
    for seed, perplexity in enumerate((90.0, 80.0)):
        config = {"task": {"name": "ptb", "mode": "min", "head": ("full", "adaptive")[seed]}}
        own = {"task": "ptb", "monitor": "val/perplexity", "test/perplexity": perplexity}
        write_run(runs / f"ptb-{seed}", "gru", 10, 1, config, **own)
    ended = sluice("compare", runs)
    assert ended.code == 0, ended.err
    adding, ptb = ended.out.split("ptb: test/perplexity (lower is better)")
    assert "head" not in adding
    assert "steps" not in ptb
    assert [line.split()[:2] for line in ptb.splitlines()[2:4]] == [["gru", "adaptive"], ["gru", "full"]]
    error = error_of(sluice("compare", runs, "--against", "task.head", "--plot", tmp_path / "x.png"))
    assert "needs runs of one metric, they have test/accuracy, test/perplexity" in error


@pytest.mark.parametrize(("sort", "first"), [("metric", "lstm"), ("model", "lstm"), ("minutes", "rnn")])
def test_rows_are_sorted(tmp_path: Path, sort: str, first: str) -> None:
    for model, accuracy, minutes in (("rnn", 0.5, 1), ("lstm", 0.9, 2)):
        write_run(tmp_path / model, model, 10, 1, minutes=minutes, **{ACCURACY: accuracy})
    ended = sluice("compare", tmp_path, "--sort", sort)
    assert ended.out.splitlines()[2].split()[0] == first
    assert "--sort x cannot be used: it must be one of metric, model" in error_of(
        sluice("compare", tmp_path, "--sort", "x")
    )


def compared(runs: Path) -> list[Comparison]:
    return compare_groups(group_runs(list(find_runs([runs]))), ACCURACY)


def test_plot_shows_means_and_single_runs(runs: Path) -> None:
    (axis,) = draw_rows(compared(runs)).axes
    (means,) = axis.containers  # type: ignore[attr-defined]
    assert sorted(round(float(mean), 3) for mean in means.lines[0].get_xdata()) == [0.4, 0.6, 0.85, 0.95]
    assert {label.get_text() for label in axis.get_yticklabels()} == {
        f"{model}\nsteps={steps}" for model, steps in FIGURES
    }
    points = {float(value) for line in axis.lines for value in line.get_xdata()}  # type: ignore[union-attr]
    assert {value for figures in FIGURES.values() for value in figures} <= points


def test_curve_plot_has_one_curve_per_model(runs: Path) -> None:
    (axis,) = draw_curves(compared(runs), "task.data.steps").axes
    curves = {part.get_label(): part.lines[0].get_ydata() for part in axis.containers}  # type: ignore[attr-defined]
    assert {name: [round(float(value), 3) for value in values] for name, values in curves.items()} == {
        "rnn": [0.6, 0.4],
        "lstm": [0.95, 0.85],
    }
    assert [label.get_text() for label in axis.get_xticklabels()] == ["10", "20"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("task.data.steps", f"{ACCURACY} (higher is better)")


def test_fingerprints_do_not_split_curves(tmp_path: Path) -> None:
    """Those of generated data follow from the settings; two different data sets have two curves."""
    for number, (steps, data) in enumerate(((10, "a"), (20, "b"))):
        write_run(tmp_path / f"{number}", "gru", steps, 1, data_fingerprint=data, **{ACCURACY: 0.5})
    (axis,) = draw_curves(compared(tmp_path), "task.data.steps").axes
    assert [part.get_label() for part in axis.containers] == ["gru"]  # type: ignore[attr-defined]
    write_run(tmp_path / "other", "gru", 20, 1, data_fingerprint="c", **{ACCURACY: 0.5})
    (axis,) = draw_curves(compared(tmp_path), "task.data.steps").axes
    labels = {part.get_label() for part in axis.containers}  # type: ignore[attr-defined]
    assert labels == {f"gru\ndata_fingerprint={data}" for data in "abc"}


@pytest.mark.parametrize(
    ("source", "lengths", "shown"),
    [
        ("generated", (5, 9), False),
        ("sample", (5, 9), False),
        ("a.csv", (5, 9), True),
        ("generated", (5, 5), True),
    ],
)
def test_fingerprint_that_follows_from_settings_is_not_shown(
    tmp_path: Path, source: str, lengths: tuple[int, int], shown: bool
) -> None:
    for number, steps in enumerate(lengths):
        results = {ACCURACY: 0.5, "data_source": source, "data_fingerprint": f"{number}abc"}
        write_run(tmp_path / f"{number}", "lstm", steps, seed=1, **results)
    ended = sluice("compare", str(tmp_path))
    assert ended.code == 0
    assert ("fingerprint" in ended.out) is shown


def test_sample_runs_have_a_table_of_their_own(tmp_path: Path) -> None:
    for model, source in (("gru", "local"), ("lstm", "sample")):
        write_run(tmp_path / model, model, 10, 1, data_source=source, **{ACCURACY: 0.5})
    real, sample = sluice("compare", tmp_path).out.split("adding (GENERATED SAMPLE): test/accuracy")
    assert ("gru" in real, "gru" in sample) == (True, False)
    assert ("lstm" in real, "lstm" in sample) == (False, True)
    sluice("compare", tmp_path, "--csv", tmp_path / "table.csv")
    assert [line.split(",")[:3] for line in (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()[1:]] == [
        ["adding", "False", "gru"],
        ["adding", "True", "lstm"],
    ]
    (axis,) = draw_curves(compared(tmp_path), "task.data.steps").axes
    labels = {part.get_label() for part in axis.containers}  # type: ignore[attr-defined]
    assert labels == {"adding\ngru", "adding (GENERATED SAMPLE)\nlstm"}


@pytest.mark.parametrize("sources", [("generated", "sample"), ("download", "local")])
def test_same_data_of_another_source_are_averaged(tmp_path: Path, sources: tuple[str, str]) -> None:
    """Earlier versions called the sample "generated"; a corpus is local after its download."""
    task = {"name": "pairs", "data": {"path": None}}
    for seed, source in enumerate(sources):
        write_run(tmp_path / f"{seed}", "gru", 10, seed, {"task": task}, data_source=source)
    (group,) = group_runs(list(find_runs([tmp_path])))
    assert len(group.runs) == 2
    assert group.task.endswith("(GENERATED SAMPLE)") == (sources[1] == "sample")


def test_default_equal_to_its_setting_is_not_shown(tmp_path: Path) -> None:
    for number, (dropout, size) in enumerate([(0.1, 8), (0.2, 9)]):
        task = {"name": "adding", "recurrent": {"dropout": dropout, "hidden_size": size}}
        config = {"task": task, "model": {"name": "lstm", "dropout": dropout, "hidden_size": 8 + size % 2 * 3}}
        write_run(tmp_path / f"{number}", "lstm", 5, seed=1, config=config, **{ACCURACY: 0.5})
    ended = sluice("compare", str(tmp_path))
    assert ended.code == 0
    heading = next(line for line in ended.out.splitlines() if "runs" in line)
    assert set(heading.split()[1:4]) == {"recurrent.hidden_size", "model.hidden_size", "dropout"}


def test_long_labels_are_wrapped_and_inside_the_figure(tmp_path: Path) -> None:
    for number in range(2):
        task = {"name": "x", "data": {f"setting_{index}": f"value {number}" for index in range(9)}}
        write_run(tmp_path / f"{number}", "gru", 10, 1, {"task": task}, **{ACCURACY: 0.01 * number + 1e-5})
    figure = draw_rows(compared(tmp_path))
    figure.draw_without_rendering()
    (axis,) = figure.axes
    labels = axis.get_yticklabels()
    assert max(len(line) for label in labels for line in label.get_text().split("\n")) <= 40
    low, high = axis.get_xlim()
    ticks = [label for label in axis.get_xticklabels() if low <= label.get_position()[0] <= high]
    boxes = [label.get_window_extent() for label in (*labels, *ticks, axis.xaxis.label)]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(box.overlaps(other) for index, box in enumerate(boxes) for other in boxes[:index])


@pytest.mark.parametrize("against", [(), ("--against", "task.data.steps")], ids=["bars", "curves"])
def test_plot_is_written(runs: Path, tmp_path: Path, against: tuple[str, ...]) -> None:
    assert sluice("compare", runs, "--plot", tmp_path / "runs.png", *against).code == 0
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")


def test_invalid_comparisons_are_reported(runs: Path, tmp_path: Path) -> None:
    assert "the same in all runs" in error_of(
        sluice("compare", runs, "--against", "model.cell", "--plot", tmp_path / "runs.png")
    )
    assert "it must be one of test/accuracy" in error_of(sluice("compare", runs, "--metric", "test/bleu"))
    (tmp_path / "none").mkdir()
    assert "no finished run" in error_of(sluice("compare", tmp_path / "none"))
    assert "cannot be written" in error_of(sluice("compare", runs, "--plot", tmp_path / "runs.txt"))


def test_interrupted_runs_are_excluded(runs: Path) -> None:
    write_run(runs / "broken", "gru", 10, 1, interrupted=True)
    ended = sluice("compare", runs)
    assert ended.code == 0
    assert "gru" not in ended.out
    assert "it was interrupted before its test" in ended.err


@pytest.mark.parametrize(
    "differing",
    [
        {"config": {"trainer": {"max_epochs": 2}}},
        {"config": {"trainer": {"limit_train_batches": 3}}},
        {"config": {"init_from": "outputs/other"}},
        {"debug": "fast"},
        {"data_fingerprint": "f00d"},
        {"data_source": "sample"},
    ],
    ids=["epochs", "train batches", "init_from", "debug", "data fingerprint", "data source"],
)
def test_runs_with_different_settings_are_not_averaged(tmp_path: Path, differing: dict[str, Any]) -> None:
    for seed in (1, 2):
        write_run(tmp_path / f"same-{seed}", "gru", 10, seed)
    write_run(tmp_path / "other", "gru", 10, 3, **differing)
    assert sorted(len(group.runs) for group in group_runs(list(find_runs([tmp_path])))) == [1, 2]


@pytest.mark.parametrize("name", ["accelerator", "strategy", "log_every_n_steps"])
def test_device_settings_do_not_split_groups(tmp_path: Path, name: str) -> None:
    for seed in (1, 2):
        write_run(tmp_path / f"{seed}", "gru", 10, seed, {"trainer": {name: seed}})
    (group,) = group_runs(list(find_runs([tmp_path])))
    assert len(group.runs) == 2


@pytest.mark.parametrize(
    ("recorded", "processes"),
    [
        ({"config": {"trainer": {"devices": 2}}}, 2),
        ({"config": {"trainer": {"devices": [0, 3], "num_nodes": 2}}}, 4),
        ({"config": {"trainer": {"devices": "auto"}}, "device": "8 x NVIDIA H100"}, 8),
        ({"config": {"trainer": {"devices": "auto"}}, "device": "cpu"}, 1),
        ({"config": {"trainer": {"devices": 1, "num_nodes": 1}}}, 1),
    ],
    ids=["devices", "list and nodes", "auto", "auto on a CPU", "one device"],
)
def test_numbers_of_processes_are_other_groups(tmp_path: Path, recorded: dict[str, Any], processes: int) -> None:
    """The batch size is that of each process; runs without a record count as one process."""
    for seed in (1, 2):
        write_run(tmp_path / f"{seed}", "gru", 10, seed, **{ACCURACY: 0.5})
    write_run(tmp_path / "other", "gru", 10, 3, **recorded, **{ACCURACY: 0.5})
    groups = group_runs(list(find_runs([tmp_path])))
    found = {group.settings["processes"]: len(group.runs) for group in groups}
    assert found == ({1: 3} if processes == 1 else {1: 2, processes: 1})
    ended = sluice("compare", tmp_path)
    assert ("processes" in ended.out.splitlines()[1].split()) is (processes > 1)


def test_number_of_processes_may_differ_with_a_global_batch_size(tmp_path: Path) -> None:
    task = {"name": "adding", "data": {"batch_size": 64, "global_batch_size": 64}}
    for devices in (1, 2):
        write_run(tmp_path / f"{devices}", "gru", 10, devices, {"task": task, "trainer": {"devices": devices}})
    (group,) = group_runs(list(find_runs([tmp_path])))
    assert len(group.runs) == 2


def test_only_the_newest_run_of_a_seed_counts(tmp_path: Path) -> None:
    dates = ("2026-05-01T12:00:00+02:00", "2026-05-01T11:00:00+00:00", "2026-04-30T23:00:00+00:00")
    for number, date in enumerate(dates):
        write_run(tmp_path / f"run-{number}", "gru", 10, 1, date=date, **{ACCURACY: number / 10})
    write_run(tmp_path / "run-3", "gru", 10, 2, **{ACCURACY: 0.3})
    ended = sluice("compare", tmp_path, "--markdown")
    assert "0.2000" in ended.out, "the mean of 0.1 and 0.3"
    counted = [line.split(" is skipped")[0] for line in ended.err.splitlines()]
    assert counted == [str(tmp_path / "run-2"), str(tmp_path / "run-0")]
    assert f"{tmp_path / 'run-1'} has the same settings and seed 1" in ended.err


def test_runs_with_other_callbacks_are_other_groups(tmp_path: Path) -> None:
    """Callbacks such as averages of the weights change the result; those that only write files do not."""
    stopping = {"early_stopping": {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "patience": 5}}
    average = {"ema": {"_target_": "sluice.callbacks.weight_averaging.ExponentialMovingAverage", "decay": 0.99}}
    files = {"last_epochs": {"_target_": "sluice.callbacks.last_epochs.LastEpochs", "run_dir": "a"}}
    for seed, callbacks in ((1, stopping), (1, {**stopping, **average}), (2, {**stopping, **files}), (3, stopping)):
        accuracy = 0.4 if "ema" in callbacks else 0.5
        folder = tmp_path / f"{seed}-{len(callbacks)}"
        write_run(folder, "gru", 10, seed, {"callbacks": callbacks}, **{ACCURACY: accuracy})
    ended = sluice("compare", tmp_path)
    assert ended.err == ""
    assert [line.split()[:3] for line in ended.out.splitlines()[1:]] == [
        ["model", "ema", "runs"],
        ["gru", "3", "0.5000"],
        ["gru", "ExponentialMovingAverage", "1"],
    ]


def test_paths_of_callbacks_do_not_distinguish_groups(tmp_path: Path) -> None:
    for seed in (1, 2):
        callback = {"mine": {"_target_": "mine.Norms", "run_dir": f"outputs/{seed}", "dirpath": str(seed), "every": 3}}
        write_run(tmp_path / str(seed), "gru", 10, seed, {"callbacks": callback}, **{ACCURACY: 0.5})
    assert [len(group.runs) for group in group_runs(list(find_runs([tmp_path])))] == [2]


def test_default_precision_is_that_of_runs_without_one(tmp_path: Path) -> None:
    for seed, trainer in ((1, {}), (2, {"precision": "32-true", "check_val_every_n_epoch": 1})):
        write_run(tmp_path / str(seed), "gru", 10, seed, {"trainer": trainer}, **{ACCURACY: 0.5})
    assert [len(group.runs) for group in group_runs(list(find_runs([tmp_path])))] == [2]


def test_precisions_are_other_groups(tmp_path: Path) -> None:
    for precision in ("32-true", "bf16-mixed"):
        write_run(tmp_path / precision, "gru", 10, 1, {"trainer": {"precision": precision}}, **{ACCURACY: 0.5})
    assert [group.settings["trainer.precision"] for group in group_runs(list(find_runs([tmp_path])))] == [
        "32-true",
        "bf16-mixed",
    ]


def test_links_to_run_folders_are_followed(tmp_path: Path) -> None:
    write_run(tmp_path / "disk/a", "gru", 10, 1, **{ACCURACY: 0.5})
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/gru").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/loop").symlink_to(tmp_path / "runs")
    (found,) = find_runs([tmp_path / "runs"])
    assert found["folder"] == str(tmp_path / "disk/a")


def test_shorter_time_is_better(runs: Path) -> None:
    assert "adding: minutes (lower is better)" in sluice("compare", runs, "--metric", "minutes").out
