"""sluice export of trained runs: the Python example next to an ONNX file gives Sluice's results without Sluice."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from running import SAMPLE, SMALL, Finished, error_of, json_lines, sluice, trained
from sluice.recipes.load import load_model
from sluice.text.coder import SentenceCoder

pytest.importorskip("onnxruntime", reason="needs the extra export")
safetensors = pytest.importorskip("safetensors", reason="needs the extra export")

pytestmark = pytest.mark.export
BLOCKED = 'import runpy, sys; sys.modules["sluice"] = sys.modules["torch"] = None; runpy.run_path(sys.argv.pop(1))'


def exported(run: Path, *options: str) -> Path:
    """Exports to a.onnx in the working directory; returns the example."""
    ended = sluice("export", run, "--output", "a.onnx", *options)
    assert ended.code == 0, ended.err
    assert "Wrote a.json" in ended.out
    return Path("a_example.py")


def run_example(example: Path, *texts: str) -> list[dict[str, Any]]:
    """Runs the example in a process that can import neither Sluice nor torch."""
    command = [sys.executable, "-c", BLOCKED, str(example), *texts]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def assert_same_probabilities(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> None:
    assert len(found) == len(expected) > 0
    for row, predicted in zip(found, expected, strict=True):
        assert row["probabilities"] == pytest.approx(predicted["probabilities"], abs=1e-5)


def test_example_classifies_reviews(finished: Finished, workdir: Path) -> None:
    texts = ('A "great" film; it\'s <br />Fine!', "bad " * 500, "İstanbul’s plot")
    found = run_example(exported(finished.folder), *texts)
    assert_same_probabilities(found, json_lines(sluice("predict", finished.folder, *texts, "--json")))


def test_example_with_subwords_and_left_padding(workdir: Path) -> None:
    text = ("task.text.unit=subwords", "task.text.subword_size=400", "task.padding=left", "task.data.max_length=12")
    run = trained(workdir, "task=imdb", *SAMPLE, *SMALL, *text, "model=gru", "model.bidirectional=true").folder
    texts = ("A great film, isn't it?", "fine ▁ ü", "a b c d e f g h i j k l m n o p")
    found = run_example(exported(run), *texts)
    assert_same_probabilities(found, json_lines(sluice("predict", run, *texts, "--json")))


def test_example_classifies_pairs(workdir: Path) -> None:
    run = trained(
        workdir, "task=pairs", "task.data.size=40", "task.data.val_size=8", "task.data.test_size=8", *SMALL
    ).folder
    texts = ("Bosch drill PSB 750-2", "drill by Bosch, 750 W")
    found = run_example(exported(run), *texts)
    assert_same_probabilities(found, json_lines(sluice("predict", run, *texts, "--json")))


def test_example_tags_words(workdir: Path) -> None:
    run = trained(workdir, "task=tagging", *SMALL).folder
    (found,) = run_example(exported(run), "Anna Smith lives in Paris .")
    (expected,) = json_lines(sluice("predict", run, "Anna Smith lives in Paris .", "--json"))
    assert (found["words"], found["tags"]) == (expected["words"], expected["tags"])


def test_example_continues_a_text(workdir: Path) -> None:
    run = trained(workdir, "task=wikitext2", *SAMPLE, *SMALL, "model.initial_state=learned").folder
    (found,) = run_example(exported(run), "the film")
    (expected,) = json_lines(sluice("generate", run, "--prompt", "the film", "--tokens", "10", "--beam", "1", "--json"))
    assert found["log_probability"] == pytest.approx(-10 * float(torch.tensor(expected["perplexity"]).log()), abs=1e-3)


def test_example_translates(workdir: Path) -> None:
    text = (
        "task.text.tokenizer=words",
        "task.decoder.hidden_size=8",
        "model.bidirectional=true",
        "task.attention=general",
    )
    run = trained(workdir, "task=multi30k", *SAMPLE, *SMALL, *text).folder
    (found,) = run_example(exported(run), "A dog runs.")
    (expected,) = json_lines(sluice("translate", run, "A dog runs.", "--beam", "1", "--json"))
    coder = SentenceCoder.from_saved(load_model(run).parts["target"])
    assert coder.text(found["words"]) == expected["translations"][0]["text"]


@pytest.mark.parametrize("task", [("task=adding", "task.data.size=16"), ("task=echo",)])
def test_example_runs_other_networks(task: tuple[str, ...], workdir: Path) -> None:
    outputs = run_example(exported(trained(workdir, *task, *SMALL).folder))
    assert outputs[0]["shape"][:1] == [1]


def test_torch_file_is_written(finished: Finished, workdir: Path) -> None:
    ended = sluice("export", finished.folder, "--format", "torch")
    assert ended.code == 0, ended.err
    path = Path(f"{finished.folder.name}.pt2")
    module = torch.export.load(path).module()
    with torch.no_grad():
        found = module({"ids": torch.tensor([[5, 6, 7]]), "lengths": torch.tensor([3])})
    assert set(found) == {"logits", "probabilities", "weights"}


def test_safetensors_with_model_card(finished: Finished, workdir: Path) -> None:
    ended = sluice(
        "export", finished.folder, "--format", "safetensors", "--output", "w.safetensors", "--license", "MIT"
    )
    assert ended.code == 0, ended.err
    with safetensors.safe_open("w.safetensors", "pt") as file:
        weights, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    checkpoint = torch.load(finished.folder / "best.ckpt", weights_only=True)["state_dict"]
    assert {f"network.{name}" for name in weights} == {name for name in checkpoint if name.startswith("network.")}
    assert all(weight.equal(checkpoint[f"network.{name}"]) for name, weight in weights.items())
    assert (metadata["task"], json.loads(metadata["settings"])["model"]["cell"]) == ("imdb", "lstm")
    card = Path("w.md").read_text(encoding="utf-8")
    assert f"`{finished.results['data_fingerprint']}`" in card
    assert f"| test/accuracy | {finished.results['test/accuracy']:.4g} |" in card
    assert "the figures are not meaningful" in card
    assert "Of the weights: MIT." in card


def test_existing_file_is_not_overwritten(finished: Finished, workdir: Path) -> None:
    Path("a.json").write_text("mine", encoding="utf-8")
    ended = sluice("export", finished.folder, "--output", "a.onnx")
    assert "a.json already exists: choose another --output or delete the file" in error_of(ended)
    assert sorted(path.name for path in workdir.iterdir()) == ["a.json", "data"]
    assert Path("a.json").read_text(encoding="utf-8") == "mine"


def test_file_that_cannot_be_written_is_named(finished: Finished, workdir: Path) -> None:
    ended = sluice("export", finished.folder, "--format", "safetensors", "--output", "/proc/x.safetensors")
    expected = "/proc/x.safetensors cannot be written (no such file or directory): choose another --output"
    assert expected in error_of(ended)
