"""`sluice evaluate`, `sluice predict` and `sluice.load` on trained classifiers."""

import csv
import gzip
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sluice as package
from custom_cell import unregister_custom_code, write_cell
from processes import command
from running import SMALL, TINY, Finished, error_of, json_lines, sluice, three_classes, trained, write_table
from sluice.data.corpora.table_writer import write_table as write_rows
from sluice.errors import UserError

POSITIVE, NEGATIVE = "It was moving, I loved it.", "The film is dull and a bore, despite its good actors."


@pytest.fixture(scope="module")
def three_class_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run on three classes from a CSV file."""
    home = tmp_path_factory.mktemp("own")
    path = three_classes(home / "mine.csv")
    return trained(home, *SMALL, "task=reviews", f"task.data.path={path}", "task.class_weights=balanced")


def test_evaluate_reproduces_test_metrics(finished: Finished) -> None:
    (evaluated,) = json_lines(sluice("evaluate", finished.folder, "--json"))
    for name in ("accuracy", "loss", "f1", "auroc"):
        assert evaluated[name] == pytest.approx(finished.results[f"test/{name}"], abs=1e-6)
    assert evaluated["texts"] == 200
    assert evaluated["labels"] == ["neg", "pos"]
    confusion = evaluated["confusion"]
    assert [sum(row) for row in confusion] == [100, 100]
    assert (confusion[0][0] + confusion[1][1]) / 200 == pytest.approx(finished.results["test/accuracy"])


def test_evaluate_reproduces_validation_metrics(finished: Finished) -> None:
    (evaluated,) = json_lines(sluice("evaluate", finished.folder / "best.ckpt", "--split", "val", "--json"))
    assert evaluated["texts"] == 6
    assert evaluated["accuracy"] == pytest.approx(finished.results["val/accuracy"], abs=1e-6)
    assert evaluated["loss"] == pytest.approx(finished.results["val/loss"], abs=1e-6)


def test_ensemble_is_the_mean_of_the_probabilities(three_class_run: Finished, tmp_path: Path) -> None:
    own = f"task.data.path={three_class_run.folder.parents[3] / 'mine.csv'}"
    other = trained(tmp_path, *SMALL, "task=reviews", own, "task.text.tokenizer=words", "model=gru").folder
    texts, labels = ["it was great", "so so", "awful and bad"], ["good", "so", "bad"]
    path = write_table(tmp_path / "more.csv", list(zip(texts, labels, strict=True)))
    (evaluated,) = json_lines(sluice("evaluate", three_class_run.folder, other, "--file", path, "--json"))
    members = [package.load(run) for run in (three_class_run.folder, other)]
    mean = sum(member.predict_proba(texts) for member in members) / 2
    columns = [evaluated["labels"].index(label) for label in labels]
    assert evaluated["loss"] == pytest.approx(-np.log(mean[range(3), columns]).mean(), abs=1e-5)
    assert evaluated["accuracy"] == pytest.approx((mean.argmax(1) == columns).mean())
    assert evaluated["checkpoint"] == [str(run / "best.ckpt") for run in (three_class_run.folder, other)]


def test_ensemble_of_equal_models_equals_the_model(finished: Finished) -> None:
    (alone,) = json_lines(sluice("evaluate", finished.folder, "--split", "val", "--json"))
    (together,) = json_lines(sluice("evaluate", finished.folder, finished.folder, "--split", "val", "--json"))
    for name in ("accuracy", "loss", "f1", "auroc"):
        assert together[name] == pytest.approx(alone[name], abs=1e-6)
    assert (together["texts"], together["confusion"]) == (alone["texts"], alone["confusion"])


def test_ensemble_needs_equal_classes_and_texts(finished: Finished, three_class_run: Finished, tmp_path: Path) -> None:
    assert "models of task=imdb and task=reviews cannot be evaluated together" in error_of(
        sluice("evaluate", finished.folder, three_class_run.folder)
    )
    lines = (three_class_run.folder.parents[3] / "mine.csv").read_text(encoding="utf-8").splitlines()
    two, fewer = tmp_path / "two.csv", tmp_path / "fewer.csv"
    two.write_text("\n".join(line for line in lines if not line.endswith(",so")), encoding="utf-8")
    fewer.write_text("\n".join([lines[0], *lines[5:]]), encoding="utf-8")
    for path, message in ((two, "has other classes than"), (fewer, "have different texts in this split")):
        other = trained(tmp_path / path.stem, *SMALL, "task=reviews", f"task.data.path={path}").folder
        assert message in error_of(sluice("evaluate", three_class_run.folder, other))


def test_evaluate_elsewhere_names_the_missing_file(workdir: Path) -> None:
    three_classes(workdir / "own.csv")
    run = trained(workdir, *SMALL, "task=reviews", "task.data.path=own.csv")
    (workdir / "own.csv").rename(workdir / "moved.csv")
    error = error_of(sluice("evaluate", run.folder))
    assert f"data.path=own.csv does not exist: name the file of {run.folder / 'best.ckpt'} as --set data.path=" in error
    assert sluice("evaluate", run.folder, "--set", "data.path=moved.csv").code == 0


def test_evaluate_prints_a_table(finished: Finished) -> None:
    ended = sluice("evaluate", finished.folder)
    assert ended.code == 0
    assert f"accuracy  {finished.results['test/accuracy']:.4f}" in ended.out
    assert "best.ckpt on 200 texts" in ended.out


def test_evaluate_accepts_a_file(finished: Finished, tmp_path: Path) -> None:
    texts = {"pos": POSITIVE, "neg": NEGATIVE}
    path = write_table(tmp_path / "more.csv", [(f'"{text}"', label) for label, text in texts.items()])
    predicted = {
        line["text"]: line for line in json_lines(sluice("predict", finished.folder, "--json", *texts.values()))
    }
    (evaluated,) = json_lines(sluice("evaluate", finished.folder, "--file", path, "--json"))
    right = [predicted[text]["label"] == label for label, text in texts.items()]
    assert evaluated["accuracy"] == pytest.approx(sum(right) / 2)


def test_predict_prints_label_and_probability(finished: Finished) -> None:
    lines = json_lines(sluice("predict", finished.folder, POSITIVE, NEGATIVE, "--json"))
    assert [line["text"] for line in lines] == [POSITIVE, NEGATIVE]
    for line in lines:
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert line["probabilities"][line["label"]] == line["probability"] == max(line["probabilities"].values())


def test_predict_reads_file_and_stdin(finished: Finished, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text(f"{POSITIVE}\n{NEGATIVE}\n", encoding="utf-8")
    typed = sluice("predict", finished.folder, POSITIVE, NEGATIVE, "--json")
    assert len(json_lines(typed)) == 2
    assert sluice("predict", finished.folder, "--file", file, "--json").out == typed.out
    assert sluice("predict", finished.folder, "--json", stdin=file.read_text(encoding="utf-8")).out == typed.out


def test_each_line_has_one_answer(finished: Finished, tmp_path: Path) -> None:
    texts = ["Good.", "", "<br />", " \u3000", "a\u2028b\x85c", "\ufeff", "Dull \rfilm"]
    path = tmp_path / "texts.txt"
    path.write_bytes("\r\n".join(texts).encode("utf-8-sig"))
    lines = sluice("predict", finished.folder, "--file", path).out.split("\n")[:-1]
    assert [not line for line in lines] == [False, True, False, True, False, False, False]
    assert sluice("predict", finished.folder, stdin=path.read_bytes()).out.split("\n")[:-1] == lines
    answers = json_lines(sluice("predict", finished.folder, "--file", path, "--json"))
    assert answers[1] == {"text": "", "label": None}
    assert [answer["text"] for answer in answers] == [*texts[:-1], "Dull  film"]
    assert answers[2]["unknown_words"] == 1


FORMATS = ("txt", "txt.gz", "csv", "csv.gz", "tsv", "jsonl", "jsonl.gz")
any_texts = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\t\ufeff"), max_size=12), min_size=1
)


@given(any_texts, st.sampled_from(FORMATS))
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_in_any_format_has_its_answer(finished: Finished, tmp_path: Path, texts: list[str], kind: str) -> None:
    path = tmp_path / f"texts.{kind}"
    if kind.startswith("txt"):
        content = "".join(f"{text}\n" for text in texts).encode()
        path.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    else:
        write_rows(path, [{"text": text} for text in texts])
    answers = json_lines(sluice("predict", finished.folder, "--file", path, "--json"))
    assert [answer["text"] for answer in answers] == texts
    assert [answer["label"] is None for answer in answers] == [not text.strip() for text in texts]


def test_predictions_are_written_next_to_the_rows(three_class_run: Finished, tmp_path: Path) -> None:
    path = tmp_path / "more.csv.gz"
    path.write_bytes(gzip.compress(b'id;text\n7;"it was; great"\n8;\n9;"an ""awful""\nfilm"\n'))
    out = tmp_path / "out.csv"
    assert sluice("predict", three_class_run.folder, "--file", path, "--output", out).out == ""
    with out.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [(row["id"], row["text"]) for row in written] == [
        *(("7", "it was; great"), ("8", ""), ("9", 'an "awful"\nfilm')),
    ]
    texts = [row["text"] for row in written if row["text"]]
    predicted = [line["label"] for line in json_lines(sluice("predict", three_class_run.folder, *texts, "--json"))]
    assert [row["prediction"] for row in written] == [predicted[0], "", predicted[1]]
    error = error_of(sluice("predict", three_class_run.folder, "--file", out, "--output", tmp_path / "again.csv"))
    assert "has a column 'prediction' already: rename it" in error
    assert not (tmp_path / "again.csv").exists()


def test_predictions_of_json_rows_are_below_their_names(three_class_run: Finished, tmp_path: Path) -> None:
    path = tmp_path / "more.jsonl"
    rows = [{"id": 1, "text": "it was great", "more": "\ud83d"}, {"more": [1, "é"], "text": "awful", "id": 2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name, values in [("out.csv", ("\ufffd", '[1, "é"]')), ("out.jsonl", ("\ud83d", [1, "é"]))]:
        out = tmp_path / name
        assert sluice("predict", three_class_run.folder, "--file", path, "--output", out).code == 0
        with out.open(encoding="utf-8", newline="") as file:
            written = list(csv.DictReader(file)) if name.endswith("csv") else list(map(json.loads, file))
        assert tuple(row["more"] for row in written) == values
        assert [row["text"] for row in written] == ["it was great", "awful"]
        assert [str(row["id"]) for row in written] == ["1", "2"]


@pytest.mark.parametrize("name", ["words.conllu.gz", "words.CONLL"])
def test_files_of_columns_are_not_predicted(three_class_run: Finished, tmp_path: Path, name: str) -> None:
    error = error_of(sluice("predict", three_class_run.folder, "--file", tmp_path / name))
    assert f"{name} has a word in each line: give a file with a text" in error


def test_prediction_does_not_depend_on_the_batch(finished: Finished) -> None:
    texts = [POSITIVE, f"{NEGATIVE} " * 9, "Dull.", NEGATIVE]
    together = json_lines(sluice("predict", finished.folder, "--json", stdin="\n".join(texts)))
    for text, among in zip(texts, together, strict=True):
        (alone,) = json_lines(sluice("predict", finished.folder, "--json", text))
        assert alone["label"] == among["label"]
        assert alone["probability"] == pytest.approx(among["probability"], abs=1e-6)


def test_predictions_keep_input_order(finished: Finished) -> None:
    texts = [f"{'very ' * (number % 7)}{'dull' if number % 2 else 'moving'} film" for number in range(150)]
    lines = json_lines(sluice("predict", finished.folder, "--json", stdin="\n".join(texts)))
    assert [line["text"] for line in lines] == texts


def test_predict_prints_attention_weights(finished: Finished) -> None:
    (line,) = json_lines(sluice("predict", finished.folder, "A gripping film, xyzzy!", "--json"))
    words, weights = zip(*line["words"], strict=True)
    assert words == ("a", "gripping", "film", ",", "xyzzy", "!")
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert line["unknown_words"] == 2
    shown = sluice("predict", finished.folder, "A gripping film, xyzzy!").out
    assert f"largest attention weights: {max(line['words'], key=lambda pair: pair[1])[0]} " in shown
    assert "2 unknown words" in shown


def test_predict_warns_about_sample_training(finished: Finished) -> None:
    ended = sluice("predict", finished.folder, POSITIVE)
    assert "trained on generated data" in ended.err
    assert ended.out.startswith(("neg  0.", "pos  0."))


def test_predict_needs_only_the_checkpoint(workdir: Path) -> None:
    run = trained(workdir, *TINY)
    expected = sluice("predict", run.folder, POSITIVE, "--json")
    checkpoint = workdir / "elsewhere.ckpt"
    (run.folder / "best.ckpt").rename(checkpoint)
    for folder in ("data", "cache", "output"):
        shutil.rmtree(workdir / folder)
    moved = sluice("predict", checkpoint, POSITIVE, "--json")
    assert json_lines(moved) == json_lines(expected)
    assert "words" not in json_lines(moved)[0], "max_mean pooling has no weights"


def test_three_class_results_have_no_auroc(three_class_run: Finished) -> None:
    results = three_class_run.results
    assert (results["task"], results["data_source"]) == ("reviews", "file")
    assert {"test/accuracy", "test/f1", "val/accuracy"} <= results.keys()
    assert "test/auroc" not in results
    assert not three_class_run.folder.name.startswith("sample-")
    assert "SAMPLE" not in three_class_run.ended.out


def test_three_class_run_evaluates_and_predicts(three_class_run: Finished, tmp_path: Path) -> None:
    (evaluated,) = json_lines(sluice("evaluate", three_class_run.folder, "--json"))
    assert evaluated["labels"] == ["bad", "good", "so"]
    assert evaluated["accuracy"] == pytest.approx(three_class_run.results["test/accuracy"], abs=1e-6)
    assert evaluated["f1"] == pytest.approx(three_class_run.results["test/f1"], abs=1e-6)
    ended = sluice("predict", three_class_run.folder, "it was great", "--json")
    assert ended.err == ""
    assert json.loads(ended.out)["label"] in ("bad", "good", "so")


def test_evaluation_file_may_lack_classes(three_class_run: Finished, tmp_path: Path) -> None:
    path = write_table(tmp_path / "two.csv", [("it was awful", "bad"), ("it was plain", "so")])
    (evaluated,) = json_lines(sluice("evaluate", three_class_run.folder, "--file", path, "--json"))
    assert [sum(row) for row in evaluated["confusion"]] == [1, 0, 1]


def test_load_matches_the_predict_command(finished: Finished) -> None:
    (line,) = json_lines(sluice("predict", finished.folder, "a moving film", "--json"))
    (predicted,) = package.load(finished.folder).predict(["a moving film"])
    assert (predicted.label, predicted.probability) == (line["label"], line["probability"])


@pytest.mark.usefixtures("custom_code_unregistered")
def test_load_runs_only_given_modules(tmp_path: Path) -> None:
    module = write_cell(tmp_path / "mine.py")
    run = trained(tmp_path, *TINY, "model.cell=mgu", "model.name=mine", f"model.module={module}").folder
    unregister_custom_code()
    with pytest.raises(UserError, match=r"add model\.module=.* a checkpoint alone never runs code"):
        package.load(run)
    (predicted,) = package.load(run, modules=[module]).predict(["a moving film"])
    assert predicted.label in ("neg", "pos")


def test_metrics_undefined_for_one_class_are_absent(finished: Finished, tmp_path: Path) -> None:
    path = write_table(tmp_path / "one.csv", [("it was awful", "neg"), ("it was plain", "neg")])
    ended = sluice("evaluate", finished.folder, "--file", path, "--json")
    (evaluated,) = json_lines(ended)
    assert {"accuracy", "loss"} <= set(evaluated)
    assert not {"auroc", "f1"} & set(evaluated)
    assert "samples in targets" not in ended.err


LANGUAGE = (
    *("--batch-size", "2", "--steps", "4", "--units", "16", "--layers", "1"),
    *("--vocab-size", "15001", "--runs", "1"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "lines"), [(("evaluate", "RUN"), 12), (("bench", "language", *LANGUAGE), 9)])
def test_commands_print_nothing_of_libraries(finished: Finished, arguments: tuple[str, ...], lines: int) -> None:
    words = [argument.replace("RUN", str(finished.folder)) for argument in arguments]
    ended = command(sys.executable, "-m", "sluice", *words, cwd=finished.home)
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) <= lines
