"""task.data.folds and task.data.fold: every text is in the test of one fold; compare averages over the folds."""

import csv
from pathlib import Path

import numpy as np
import pytest

from running import SMALL, error_of, json_lines, results_of, runs_below, sluice, three_classes, train
from stopping import stop_signal, stopped

pytestmark = pytest.mark.usefixtures("workdir")
OWN = ("task=reviews", "task.data.path=mine.csv", "task.text.min_freq=1", *SMALL[:3], "trainer.max_epochs=1")


def write_pairs(path: Path) -> None:
    rows = [(f"red pen {number}", f"pen {number}", "yes" if number % 3 else "no") for number in range(24)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("first", "second", "label"), *rows])


def split_hashes(folder: Path, split: str) -> list[int]:
    with np.load(folder / "splits.npz") as arrays:
        return [int(value) for value in arrays[split]]


@pytest.mark.slow
def test_every_text_is_tested_once_and_compare_averages() -> None:
    three_classes(Path("mine.csv"), each=24)
    ended = train("-m", *OWN, "task.data.folds=3", "task.data.fold=0,1,2", "name=cv")
    assert ended.code == 0, ended.err
    folders = runs_below(Path("outputs"))
    tested = [split_hashes(folder, "test") for folder in folders]
    together = [text for texts in tested for text in texts]
    assert len(together) == len(set(together)) == 44
    assert all(not set(split_hashes(folder, "train")) & set(test) for folder, test in zip(folders, tested, strict=True))
    results = [results_of(folder) for folder in folders]
    assert len({each["data_fingerprint"] for each in results}) == 3
    assert sluice("compare", "outputs", "--csv", "table.csv").code == 0
    (row,) = csv.DictReader(Path("table.csv").read_text(encoding="utf-8").splitlines())
    assert row["runs"] == "3"
    mean = np.mean([each["test/accuracy"] for each in results])
    assert (row["metric"], float(row["mean"])) == ("test/accuracy", pytest.approx(mean))
    with Path("mine.csv").open("a", encoding="utf-8") as file:
        file.write("it was new,good\n" * 5)
    for folder, each in zip(folders, results, strict=True):
        (evaluated,) = json_lines(sluice("evaluate", folder, "--json"))
        assert evaluated["accuracy"] == pytest.approx(each["test/accuracy"])
        assert evaluated["left_out"] == 5


@pytest.mark.slow
def test_resume_refuses_another_fold() -> None:
    three_classes(Path("mine.csv"))
    with stopped(stop_signal, "on_train_batch_end", 1):
        assert train(*OWN, "task.data.folds=3", "task.data.fold=1", "name=one", "task.data.batch_size=4").code == 130
    error = error_of(train("resume=outputs/reviews/lstm/one", "task.data.fold=2", "resume_force=true"))
    assert "the data have changed" in error
    assert train("resume=outputs/reviews/lstm/one").code == 0


@pytest.mark.slow
def test_pairs_have_folds() -> None:
    write_pairs(Path("pairs.csv"))
    own = ("task=pairs", "task.data.path=pairs.csv", *SMALL[:2], "trainer.max_epochs=1", "task.data.folds=2")
    assert train(*own, "task.data.fold=1", "name=one").code == 0
    (folder,) = runs_below(Path("outputs"))
    assert len(split_hashes(folder, "test")) == 12
    (evaluated,) = json_lines(sluice("evaluate", folder, "--json"))
    assert evaluated["pairs"] == 12


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["task.data.folds=3"], "task.data.fold=null cannot be used with task.data.folds=3: set it to 0 ... 2"),
        (["task.data.folds=3", "task.data.fold=3"], "task.data.fold=3 cannot be used with task.data.folds=3"),
        (["task.data.fold=1"], "task.data.fold=1 has no effect with task.data.folds=null"),
        (["task.data.folds=1", "task.data.fold=0"], "task.data.folds=1 cannot be used: it must be at least 2"),
        (
            ["task.data.folds=3", "task.data.fold=0", "task.data.test_fraction=0.2"],
            "has no effect with task.data.folds=3",
        ),
    ],
)
def test_invalid_folds_are_one_sentence(settings: list[str], words: str) -> None:
    three_classes(Path("mine.csv"))
    assert words in error_of(train(*OWN, *settings))
