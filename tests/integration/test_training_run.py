"""A full training run and the files it writes."""

import csv
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import running
from running import TINY, Finished, error_of, paths_in, results_of, runs_below, train, trained
from sluice.data.corpora import imdb
from sluice.errors import UserError
from sluice.recipes.load import load_model

KEYS = (
    *("test/accuracy", "test/loss", "test/f1", "test/auroc", "val/accuracy", "val/loss", "val/f1", "val/auroc"),
    *("parameters", "minutes", "train/tokens_per_second", "seed", "task", "model", "data_source", "command"),
    *("git_commit", "version/sluice", "version/torch", "version/python", "device", "epochs", "date"),
)


def leaves(tree: Any) -> list[Any]:
    """The leaves of nested plain containers; other containers count as leaves."""
    if type(tree).__name__ in ("dict", "OrderedDict"):
        return [leaf for pair in tree.items() for part in pair for leaf in leaves(part)]
    if type(tree) in (list, tuple):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def figures_of(results: dict[str, Any]) -> dict[str, float]:
    """The metrics among the results."""
    return {key: value for key, value in results.items() if key.startswith(("test/", "val/"))}


def test_run_folder_contains_all_files(finished: Finished) -> None:
    files = {file.name.split(".vm")[0] for file in finished.folder.iterdir()}
    assert {"config.yaml", "metrics.csv", "best.ckpt", "last.ckpt", "results.json", "confusion.csv", "log.txt"} <= files
    assert any(name.startswith("events.out.tfevents") for name in files)
    assert not any(name.startswith(".") for name in files), "temporary files remain"
    assert finished.folder.parent == finished.home / "output" / "imdb" / "lstm"


def test_config_is_saved_resolved(finished: Finished) -> None:
    text = (finished.folder / "config.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    assert "${" not in text
    assert "???" not in text
    assert config["model"]["hidden_size"] == 4
    assert config["task"]["data"]["source"] == "sample"
    assert config["name"] == finished.folder.name
    assert config["paths"]["run_dir"] == str(finished.folder)


def test_results_are_flat_and_complete(finished: Finished) -> None:
    results = finished.results
    assert set(KEYS) <= results.keys()
    assert all(isinstance(value, str | int | float | None) for value in results.values())
    assert (results["seed"], results["task"], results["model"], results["epochs"]) == (1, "imdb", "lstm", 2)
    assert results["command"].startswith("train.py task.data.source=sample ")
    assert results["train/tokens_per_second"] > 0
    assert 0 < results["minutes"] < 2
    assert "interrupted" not in results


def test_parameter_count_matches_saved_weights(finished: Finished) -> None:
    state = torch.load(finished.folder / "best.ckpt", weights_only=True)["state_dict"]
    assert finished.results["parameters"] == sum(t.numel() for name, t in state.items() if name.startswith("network."))


def test_metrics_csv_matches_results(finished: Finished) -> None:
    with (finished.folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    last = max(float(row["val/accuracy"]) for row in rows if row["val/accuracy"])
    assert last == pytest.approx(finished.results["val/accuracy"])
    assert sum(bool(row["train/loss"]) for row in rows) == 14, "54 texts in batches of 8, twice"


def test_log_reports_metrics_per_epoch(finished: Finished) -> None:
    lines = (finished.folder / "log.txt").read_text(encoding="utf-8").splitlines()
    epochs = [line for line in lines if "; val: " in line]
    assert ["epoch 1/2" in epochs[0], "epoch 2/2" in epochs[1], len(epochs)] == [True, True, 2]
    assert all(word in line for line in epochs for word in (": loss ", "; val: accuracy ", ", loss "))
    with (finished.folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        accuracies = [row["val/accuracy"] for row in csv.DictReader(file) if row["val/accuracy"]]
    for line, accuracy in zip(epochs, accuracies, strict=True):
        assert f"accuracy {float(accuracy):.4g}, loss" in line


class Terminal(StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_log_is_the_same_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = (*TINY, "trainer.max_epochs=4", "callbacks.early_stopping.patience=2", "optimizer.lr=1e-30", "name=a")
    logs = []
    for stream in (StringIO, Terminal):
        monkeypatch.setattr(running, "StringIO", stream)
        run = trained(tmp_path / stream.__name__, *settings)
        log = (run.folder / "log.txt").read_text(encoding="utf-8").replace(str(run.home), "")
        logs.append(re.sub(r"(?m)^\S+ \S+ ", "", re.sub(r"[\d.,]+ (s|tokens/s)\b", "", log)))
    assert logs[0] == logs[1]
    assert "epoch 1/4 (" in run.ended.out, "above the bar"
    assert "\x1b" in run.ended.out
    lines = [line.removeprefix("INFO ") for line in logs[1].splitlines()]
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 1/4", "epoch 2/4", "epoch 3/4"]
    assert any(re.match(r"Stopped early after epoch 3: val/accuracy .* last 2 validations", line) for line in lines)
    assert any(re.match(r"│ accuracy │ +0\.\d+ │ +0\.\d+ │", line) for line in lines)


def test_sample_data_is_announced(finished: Finished) -> None:
    assert finished.ended.err.startswith("SAMPLE: ")
    assert "reviews generated by sluice with seed 0 (not a real corpus)\n" in finished.ended.err
    assert "SAMPLE: " in (finished.folder / "log.txt").read_text(encoding="utf-8").splitlines()[0]
    assert finished.folder.name.startswith("sample-")
    assert finished.results["data_source"] == "sample"
    assert "GENERATED SAMPLE" in finished.ended.out.splitlines()[-1]


def test_summary_prints_metrics_and_next_commands(finished: Finished) -> None:
    out = finished.ended.out
    assert f"{finished.results['test/accuracy']:.4f}" in out
    assert f"{finished.results['val/accuracy']:.4f}" in out
    assert f"{finished.results['parameters']:,} parameters" in out
    assert f"tensorboard --logdir {finished.folder.parents[1]}\n" in out, "the folder of the task's runs"
    assert f"sluice predict {finished.folder}" in out


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_checkpoint_contains_only_tensors_and_plain_values(finished: Finished, name: str) -> None:
    checkpoint = torch.load(finished.folder / name, weights_only=True)
    plain = (torch.Tensor, str, int, float, bool, type(None))
    assert {type(leaf) for leaf in leaves(checkpoint)} <= set(plain)
    assert checkpoint["sluice"]["labels"] == ["neg", "pos"]


def test_only_last_checkpoint_has_optimizer_state(finished: Finished) -> None:
    best, last = (torch.load(finished.folder / name, weights_only=True) for name in ("best.ckpt", "last.ckpt"))
    assert last["optimizer_states"]
    assert "optimizer_states" not in best
    assert last["global_step"] == 14


def test_seed_determines_metrics(workdir: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert train(*TINY, f"name={name}", f"seed={seed}").code == 0
    first, again, other = (figures_of(results_of(run)) for run in runs_below(workdir))
    assert len(first) == 8
    assert first == again
    assert first["test/loss"] != other["test/loss"]


def test_run_without_loggers_writes_results(workdir: Path) -> None:
    run = trained(workdir, *TINY, "logger=none", "callbacks=none", "scheduler=constant")
    names = {file.name for file in run.folder.iterdir()}
    kept = {"config.yaml", "overrides.yaml", "best.ckpt", "last.ckpt", "results.json", "confusion.csv", "log.txt"}
    assert names == kept | {"splits.npz"}


def test_auto_source_falls_back_to_sample_with_warning(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data_dir: Path) -> None:
        raise UserError("no connection")

    monkeypatch.setattr(imdb, "download_imdb", refuse)
    run = trained(workdir, *TINY[1:], "task.data.source=auto")
    assert "IMDB is not available: no connection." in run.ended.err
    assert run.folder.name.startswith("sample-")
    config = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    assert config["task"]["data"]["source"] == "sample", "otherwise evaluate would read the real reviews"


@pytest.mark.parametrize("chosen", [("embedding=pretrained",), ()], ids=["pretrained", "learned"])
def test_pretrained_vectors_are_loaded(workdir: Path, chosen: tuple[str, ...]) -> None:
    vectors = {"film": [1.0, 2.0, 3.0, 4.0], "nowhere": [0.0, 0.0, 0.0, 1.0]}
    lines = [f"{word} {' '.join(map(str, numbers))}" for word, numbers in vectors.items()]
    (workdir / "own.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = trained(workdir, *TINY, *chosen, "embedding.path=own.txt", "embedding.frozen=true")
    model = load_model(run.folder)
    assert model.network.embedding.table.weight[model.vocab.encode(["film"])[0]].tolist() == vectors["film"]
    assert "vectors for 1 of" in (run.folder / "log.txt").read_text(encoding="utf-8") + run.ended.err
    assert "Nearly all words have random vectors" in run.ended.err


def test_pretrained_vectors_need_a_path(workdir: Path) -> None:
    ended = train(*TINY, "embedding=pretrained", "embedding.frozen=true", *paths_in(workdir))
    assert "embedding.path is not set: give it as embedding.path=..." in error_of(ended)


def test_vector_size_mismatch_is_reported(workdir: Path) -> None:
    (workdir / "own.txt").write_text("film 1 2 3\n", encoding="utf-8")
    ended = train(*TINY, "embedding=pretrained", "embedding.path=own.txt", *paths_in(workdir))
    assert "vectors of dimension 3, but the model expects 4" in error_of(ended)


def test_run_may_end_before_first_validation(workdir: Path) -> None:
    run = trained(workdir, *TINY, "trainer.max_steps=1", "task.data.batch_size=8")
    assert "val/accuracy" not in run.results
    assert "test/accuracy" in run.results
    assert "No best.ckpt, since no validation was run" in run.ended.err
    assert "HINT" not in run.ended.err
