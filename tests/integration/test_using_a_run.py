"""sluice evaluate and sluice predict: a trained model in use."""

import json
import shutil
from pathlib import Path

import pytest

import sluice as package
from own_cell import forget_own_cells, write_cell
from running import SMALL, TINY, Finished, json_lines, sluice, three_classes, trained, write_table
from sluice.errors import UserError

POSITIVE, NEGATIVE = "It was moving, I loved it.", "The film is dull and a bore, whatever they say of the actors."


@pytest.fixture(scope="module")
def own_texts(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run on three classes from a CSV file."""
    home = tmp_path_factory.mktemp("own")
    path = three_classes(home / "mine.csv")
    return trained(home, *SMALL, "task=reviews", f"task.data.path={path}", "task.class_weights=balanced")


def test_evaluate_gives_the_figures_of_the_results(finished: Finished) -> None:
    (evaluated,) = json_lines(sluice("evaluate", finished.folder, "--json"))
    for name in ("accuracy", "loss", "f1", "auroc"):
        assert evaluated[name] == pytest.approx(finished.results[f"test/{name}"], abs=1e-6)
    assert evaluated["texts"] == 200
    assert evaluated["labels"] == ["neg", "pos"]
    confusion = evaluated["confusion"]
    assert [sum(row) for row in confusion] == [100, 100]
    assert (confusion[0][0] + confusion[1][1]) / 200 == pytest.approx(finished.results["test/accuracy"])


def test_evaluate_gives_the_validation_figures_of_the_results(finished: Finished) -> None:
    (evaluated,) = json_lines(sluice("evaluate", finished.folder / "best.ckpt", "--split", "val", "--json"))
    assert evaluated["texts"] == 6
    assert evaluated["accuracy"] == pytest.approx(finished.results["val/accuracy"], abs=1e-6)
    assert evaluated["loss"] == pytest.approx(finished.results["val/loss"], abs=1e-6)


def test_evaluate_shows_a_table_to_people(finished: Finished) -> None:
    ended = sluice("evaluate", finished.folder)
    assert ended.code == 0
    assert f"accuracy  {finished.results['test/accuracy']:.4f}" in ended.out
    assert "best.ckpt on 200 texts" in ended.out


def test_evaluate_measures_on_a_file(finished: Finished, tmp_path: Path) -> None:
    texts = {"pos": POSITIVE, "neg": NEGATIVE}
    path = write_table(tmp_path / "more.csv", [(f'"{text}"', label) for label, text in texts.items()])
    predicted = {
        line["text"]: line for line in json_lines(sluice("predict", finished.folder, "--json", *texts.values()))
    }
    (evaluated,) = json_lines(sluice("evaluate", finished.folder, "--file", path, "--json"))
    right = [predicted[text]["label"] == label for label, text in texts.items()]
    assert evaluated["accuracy"] == pytest.approx(sum(right) / 2)


def test_predict_says_label_and_probability_of_several_texts(finished: Finished) -> None:
    lines = json_lines(sluice("predict", finished.folder, POSITIVE, NEGATIVE, "--json"))
    assert [line["text"] for line in lines] == [POSITIVE, NEGATIVE]
    for line in lines:
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert line["probabilities"][line["label"]] == line["probability"] == max(line["probabilities"].values())


def test_predict_reads_a_file_and_standard_input_alike(finished: Finished, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text(f"{POSITIVE}\n{NEGATIVE}\n", encoding="utf-8")
    typed = sluice("predict", finished.folder, POSITIVE, NEGATIVE, "--json")
    assert len(json_lines(typed)) == 2
    assert sluice("predict", finished.folder, "--file", file, "--json").out == typed.out
    assert sluice("predict", finished.folder, "--json", stdin=file.read_text(encoding="utf-8")).out == typed.out


def test_a_text_alone_is_predicted_as_among_longer_ones(finished: Finished) -> None:
    texts = [POSITIVE, f"{NEGATIVE} " * 9, "Dull.", NEGATIVE]
    together = json_lines(sluice("predict", finished.folder, "--json", stdin="\n".join(texts)))
    for text, among in zip(texts, together, strict=True):
        (alone,) = json_lines(sluice("predict", finished.folder, "--json", text))
        assert alone["label"] == among["label"]
        assert alone["probability"] == pytest.approx(among["probability"], abs=1e-6)


def test_more_texts_than_one_batch_come_out_in_their_order(finished: Finished) -> None:
    texts = [f"{'very ' * (number % 7)}{'dull' if number % 2 else 'moving'} film" for number in range(150)]
    lines = json_lines(sluice("predict", finished.folder, "--json", stdin="\n".join(texts)))
    assert [line["text"] for line in lines] == texts


def test_attention_shows_the_words_that_weighed(finished: Finished) -> None:
    (line,) = json_lines(sluice("predict", finished.folder, "A gripping film, xyzzy!", "--json"))
    words, weights = zip(*line["words"], strict=True)
    assert words == ("a", "gripping", "film", ",", "xyzzy", "!")
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert line["unknown_words"] == 2
    shown = sluice("predict", finished.folder, "A gripping film, xyzzy!").out
    assert f"largest attention weights: {max(line['words'], key=lambda pair: pair[1])[0]} " in shown
    assert "2 unknown words" in shown


def test_a_model_of_the_sample_says_so_when_used(finished: Finished) -> None:
    ended = sluice("predict", finished.folder, POSITIVE)
    assert "trained on generated data" in ended.err
    assert ended.out.startswith(("neg  0.", "pos  0."))


def test_predict_needs_the_checkpoint_alone(workplace: Path) -> None:
    run = trained(workplace, *TINY)
    expected = sluice("predict", run.folder, POSITIVE, "--json")
    checkpoint = workplace / "elsewhere.ckpt"
    (run.folder / "best.ckpt").rename(checkpoint)
    for folder in ("data", "cache", "output"):
        shutil.rmtree(workplace / folder)
    moved = sluice("predict", checkpoint, POSITIVE, "--json")
    assert json_lines(moved) == json_lines(expected)
    assert "words" not in json_lines(moved)[0], "max_mean pooling has no weights"


def test_own_texts_of_three_classes_go_all_the_way(own_texts: Finished) -> None:
    results = own_texts.results
    assert (results["task"], results["data_source"]) == ("reviews", "file")
    assert {"test/accuracy", "test/f1", "val/accuracy"} <= results.keys()
    assert "test/auroc" not in results
    assert not own_texts.folder.name.startswith("sample-")
    assert "SAMPLE" not in own_texts.ended.out


def test_own_texts_are_evaluated_and_predicted(own_texts: Finished, tmp_path: Path) -> None:
    (evaluated,) = json_lines(sluice("evaluate", own_texts.folder, "--json"))
    assert evaluated["labels"] == ["bad", "good", "so"]
    assert evaluated["accuracy"] == pytest.approx(own_texts.results["test/accuracy"], abs=1e-6)
    assert evaluated["f1"] == pytest.approx(own_texts.results["test/f1"], abs=1e-6)
    ended = sluice("predict", own_texts.folder, "it was great", "--json")
    assert ended.err == ""
    assert json.loads(ended.out)["label"] in ("bad", "good", "so")


def test_a_file_may_lack_some_of_the_classes(own_texts: Finished, tmp_path: Path) -> None:
    path = write_table(tmp_path / "two.csv", [("it was awful", "bad"), ("it was plain", "so")])
    (evaluated,) = json_lines(sluice("evaluate", own_texts.folder, "--file", path, "--json"))
    assert [sum(row) for row in evaluated["confusion"]] == [1, 0, 1]


def test_load_gives_what_the_command_says(finished: Finished) -> None:
    (said,) = json_lines(sluice("predict", finished.folder, "a moving film", "--json"))
    (predicted,) = package.load(finished.folder).predict(["a moving film"])
    assert (predicted.label, predicted.probability) == (said["label"], said["probability"])


@pytest.mark.usefixtures("own_cells_forgotten")
def test_load_runs_no_code_that_it_is_not_given(tmp_path: Path) -> None:
    module = write_cell(tmp_path / "mine.py")
    run = trained(tmp_path, *TINY, "model.cell=mgu", "model.name=mine", f"model.module={module}").folder
    forget_own_cells()
    with pytest.raises(UserError, match=r"add model\.module=.* a checkpoint alone never runs code"):
        package.load(run)
    (predicted,) = package.load(run, modules=[module]).predict(["a moving film"])
    assert predicted.label in ("neg", "pos")
