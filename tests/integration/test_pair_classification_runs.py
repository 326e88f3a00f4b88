"""task=pairs is trained, evaluated and used from the command line, with padding on either side."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from run_differences import differences
from running import Finished, error_of, json_lines, paths_in, sluice, train, trained
from stopping import stop_signal, stopped

SMALL = ("trainer.accelerator=cpu", "model.hidden_size=4", "embedding.size=4", "trainer.log_every_n_steps=1")
FEW = (
    *("task.data.size=96", "task.data.val_size=20", "task.data.test_size=30", "task.data.batch_size=16"),
    *("trainer.max_epochs=2", "checkpoint.every_steps=1", *SMALL),
)
"""Twelve batches in two epochs."""

TITLES = ("Norvik kettle TB-58 , glass", "new : kettle TB-57 from Norvik")


@pytest.fixture(scope="module")
def titles(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A small finished run on generated pairs; read-only."""
    return trained(tmp_path_factory.mktemp("titles"), "task=pairs", *FEW)


def write_pairs(path: Path) -> Path:
    """Writes a table with two classes and an unused column."""
    rows = [f"{i},red thing {i},{'red' if i % 2 else 'blue'} one {i},{'yes' if i % 2 else 'no'}" for i in range(40)]
    path.write_text("\n".join(["number,one,other,alike", *rows]) + "\n", encoding="utf-8")
    return path


def own(path: Path) -> tuple[str, ...]:
    columns = ("task.data.first_column=one", "task.data.second_column=other", "task.data.label_column=alike")
    return ("task=pairs", f"task.data.path={path}", *columns, *SMALL, "debug=fast")


def test_pairs_train_and_evaluate(titles: Finished) -> None:
    assert titles.results["data_source"] == "sample"
    assert titles.folder.name.startswith("sample-")
    assert titles.ended.err.startswith("SAMPLE: ")
    assert titles.ended.out.endswith("are not meaningful: set task.data.path to your data and train again.\n")
    metrics = {"accuracy", "auroc", "deciding_found", "f1", "loss"}
    assert {f"{stage}/{name}" for stage in ("val", "test") for name in metrics} <= titles.results.keys()
    (line,) = json_lines(sluice("evaluate", titles.folder, "--json"))
    for name in metrics:
        assert line[name] == pytest.approx(titles.results[f"test/{name}"], abs=1e-5)
    assert sum(map(sum, line["confusion"])) == line["pairs"] == 30
    assert (titles.folder / "confusion.csv").exists()
    shown = sluice("evaluate", titles.folder, "--split", "val").out
    assert "best.ckpt on 20 pairs from pairs of product titles" in shown


def test_ensemble_of_equal_models_equals_the_model(titles: Finished) -> None:
    (alone,) = json_lines(sluice("evaluate", titles.folder, "--json"))
    (together,) = json_lines(sluice("evaluate", titles.folder, titles.folder, "--json"))
    assert together["loss"] == pytest.approx(alone["loss"], abs=1e-6)
    assert (together["accuracy"], together["confusion"]) == (alone["accuracy"], alone["confusion"])


def test_predict_prints_class_probability_and_words(titles: Finished) -> None:
    (line,) = json_lines(sluice("predict", titles.folder, *TITLES, "--json"))
    assert (line["first"], line["second"]) == TITLES
    assert line["probabilities"][line["label"]] == line["probability"] == max(line["probabilities"].values())
    words = [(word["text"], word["word"]) for word in line["words"]]
    assert sorted(words) == sorted((text, word) for text in (1, 2) for word in TITLES[text - 1].split())
    assert all(before["contribution"] >= after["contribution"] for before, after in pairwise(line["words"]))
    assert all(word["aligned_word"] in TITLES[2 - word["text"]].split() for word in line["words"])
    out = sluice("predict", titles.folder, *TITLES).out
    most = line["words"][0]
    assert out.startswith(f"{line['label']}  {line['probability']:.3f}  {' | '.join(TITLES)}")
    where = f"(text {most['text']}, aligned with {most['aligned_word']})"
    assert f"largest contributions: {most['word']} {most['contribution']:+.2f} {where}" in out


def test_predict_reads_pairs_from_file_and_stdin(titles: Finished, tmp_path: Path) -> None:
    lines = f"{TITLES[0]}\t{TITLES[1]}\n{TITLES[1]}\t{TITLES[0]}\nkettle\tlamp\n"
    (tmp_path / "pairs.txt").write_text(lines, encoding="utf-8")
    among = json_lines(sluice("predict", titles.folder, "--json", stdin=lines))
    assert json_lines(sluice("predict", titles.folder, "--file", tmp_path / "pairs.txt", "--json")) == among
    (alone,) = json_lines(sluice("predict", titles.folder, *TITLES, "--json"))
    for line in among[:2]:
        assert line["probability"] == pytest.approx(alone["probability"], abs=1e-6), "in either order"


def test_given_pairs_may_be_tokenized(titles: Finished) -> None:
    def words(*options: str) -> set[str]:
        (line,) = json_lines(sluice("predict", titles.folder, "a kettle.", "a lamp", *options, "--json"))
        return {word["word"] for word in line["words"]}

    assert words() == words("--raw") == {"a", "kettle", ".", "lamp"}
    assert words("--tokenized") == {"a", "kettle.", "lamp"}


NO_PAIRS = {
    "one text": (["kettle"], None, "got 1 text, but this model compares two"),
    "three texts": (["a", "b", "c"], None, "got 3 texts, but this model compares two"),
    "an empty text": (["kettle", " "], None, "text 2 is empty: it has no words"),
    "a line with one text": ([], "a\tb\nc\n", "standard input, line 2: got 1 text, but this model compares two"),
    "no input": ([], "", "there is no text to predict"),
}


@pytest.mark.parametrize(("texts", "stdin", "expected"), NO_PAIRS.values(), ids=NO_PAIRS)
def test_invalid_pair_is_reported(titles: Finished, texts: list[str], stdin: str | None, expected: str) -> None:
    assert expected in error_of(sluice("predict", titles.folder, *texts, stdin=stdin))


def test_pairs_from_a_file_train_and_evaluate(workdir: Path) -> None:
    path = write_pairs(workdir / "mine.csv")
    run = trained(workdir, *own(path))
    assert run.results["data_source"] == "file"
    assert "test/deciding_found" not in run.results
    (line,) = json_lines(sluice("predict", run.folder, "red thing", "blue one", "--json"))
    assert set(line["probabilities"]) == {"no", "yes"}
    (evaluated,) = json_lines(sluice("evaluate", run.folder, "--json"))
    assert evaluated["accuracy"] == pytest.approx(run.results["test/accuracy"])
    path.write_text(path.read_text(encoding="utf-8").replace(",yes", ",other"), encoding="utf-8")
    error = error_of(sluice("evaluate", run.folder))
    assert "mine.csv, line 3: the model was not trained on the class 'other', only on no, yes" in error


WRONG = {
    "unknown column": (
        ["task.data.second_column=third"],
        "has no column 'third' in its header, only 'number', 'one', 'other'",
    ),
    "missing file": (["task.data.path=nowhere.csv"], "nowhere.csv"),
    "one-hot embedding": (
        ["embedding=onehot"],
        "represents words by character n-grams: it cannot be combined with embedding=onehot",
    ),
    "adversarial training": (["embedding.adversarial_epsilon=0.1"], "for single texts: leave them out"),
    "unavailable metric": (["task.monitor=val/deciding_found"], "it must be one of val/loss, val/accuracy"),
    "zero n-gram length": (["task.text.max_ngram=0"], "task.text.max_ngram=0 cannot be used: it must be at least 1"),
}


@pytest.mark.parametrize(("settings", "expected"), WRONG.values(), ids=WRONG)
def test_invalid_settings_are_reported(workdir: Path, settings: list[str], expected: str) -> None:
    path = write_pairs(workdir / "mine.csv")
    assert expected in error_of(train(*own(path), *settings, *paths_in(workdir)))


def test_predictions_of_pairs_are_written_and_evaluated(titles: Finished, tmp_path: Path) -> None:
    rows = [("red kettle", "blue kettle"), ("", "lamp"), ("one lamp", "two, lamps")]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"a": a, "b": b, "n": 1}) + "\n" for a, b in rows), encoding="utf-8")
    columns = ("--text-column", "a", "--text-column", "b")
    sluice("predict", titles.folder, "--file", path, *columns, "--output", tmp_path / "out.jsonl")
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["a"], row["b"], row["n"]) for row in written] == [(*row, 1) for row in rows]
    assert (written[1]["prediction"], written[1]["probability"]) == (None, None)
    labelled = [{**row, "label": row["prediction"]} for row in written if row["prediction"]]
    path.write_text("".join(json.dumps(row) + "\n" for row in labelled), encoding="utf-8")
    (evaluated,) = json_lines(sluice("evaluate", titles.folder, "--file", path, *columns, "--json"))
    assert (evaluated["accuracy"], evaluated["pairs"]) == (1.0, 2)
    error = error_of(sluice("evaluate", titles.folder, "--file", path, "--text-column", "a"))
    assert "--text-column names 1 column(s): this model compares two texts" in error


def test_resumed_run_equals_uninterrupted_run(titles: Finished) -> None:
    settings = ("task=pairs", *FEW, *paths_in(titles.home))
    with stopped(stop_signal, "on_train_batch_end", 4):
        assert train(*settings, "name=stopped").code == 130
    run = titles.folder.parent / "sample-stopped"
    ended = train(*settings, f"resume={run}")
    assert ended.code == 0, ended.err
    assert differences(run, titles.folder) == []


SYMBOLS = ("task=temporal_order", "task.data.size=64", "task.data.val_size=32", "task.data.test_size=32", *SMALL)


def test_padding_side_does_not_change_results(tmp_path: Path, workdir: Path) -> None:
    settings = (*SYMBOLS, "trainer.max_epochs=2", "embedding=onehot")
    right, left = (trained(tmp_path / side, *settings, f"task.padding={side}") for side in ("right", "left"))
    for name in ("val/loss", "test/loss", "test/accuracy"):
        assert left.results[name] == pytest.approx(right.results[name], rel=1e-5)
    texts = ("B a X b c Y d E", "B X a b Y c E", "B c E")
    predictions = [json_lines(sluice("predict", run.folder, *texts, "--json")) for run in (right, left)]
    for ours, theirs in zip(*predictions, strict=True):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)
    measured = [json_lines(sluice("evaluate", run.folder, "--json"))[0] for run in (right, left)]
    assert measured[1]["loss"] == pytest.approx(measured[0]["loss"], rel=1e-5)
    assert measured[1]["loss"] == pytest.approx(left.results["test/loss"], rel=1e-5)


@pytest.mark.usefixtures("workdir")
def test_unknown_padding_side_is_refused() -> None:
    error = error_of(train(*SYMBOLS, "task.padding=middle"))
    assert "task.padding=middle cannot be used: it must be one of left, right" in error
