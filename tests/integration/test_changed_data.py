"""Resuming on changed data is refused; evaluation uses the test texts and labels recorded at training time."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from books import write_book
from running import Ended, Finished, error_of, json_lines, paths_in, sluice, train, trained

FEW = ("trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "model.hidden_size=4")
SMALL = (*FEW, "embedding.size=4", "task.data.batch_size=4")
WORDS = ("tin", "oak", "elm", "ash", "fir", "bay")


def sentence(number: int) -> str:
    """Returns a random sentence that is unique to the number."""
    draw = random.Random(number)
    return " ".join([*draw.choices(WORDS, k=3), f"n{number}"])


def table(path: Path, start: int, stop: int) -> None:
    """Appends labelled texts."""
    head = "" if path.exists() else "text,label\n"
    rows = "".join(f"{sentence(number)},{'yes' if number % 2 else 'no'}\n" for number in range(start, stop))
    path.write_text((path.read_text() if path.exists() else "") + head + rows)


def pair_table(path: Path, start: int, stop: int) -> None:
    """Appends labelled pairs of texts."""
    head = "" if path.exists() else "first,second,label\n"
    rows = "".join(f"{sentence(n)},{sentence(n + 1)},{'yes' if n % 2 else 'no'}\n" for n in range(start, stop))
    path.write_text((path.read_text() if path.exists() else "") + head + rows)


def tagged(path: Path, start: int, stop: int) -> None:
    """Appends tagged sentences."""
    with path.open("a") as file:
        for number in range(start, stop):
            file.writelines(f"{word}\t{'B' if word == 'oak' else 'O'}\n" for word in sentence(number).split())
            file.write("\n")


def translated(path: Path, start: int, stop: int) -> None:
    """Appends sentence pairs."""
    with path.open("a") as file:
        file.writelines(f"{sentence(number)}\t{sentence(number).upper()}\n" for number in range(start, stop))


TASKS: dict[str, tuple[str, Callable[[Path, int, int], None], tuple[str, ...], str]] = {
    "reviews": ("mine.csv", table, SMALL, "accuracy"),
    "pairs": ("mine.csv", pair_table, SMALL, "accuracy"),
    "tagging": ("mine.tsv", tagged, SMALL, "accuracy"),
    "parallel": ("mine.tsv", translated, (*SMALL, "task.decoder.hidden_size=4", "task.text.min_freq=1"), "loss"),
}
"""File name, function that appends rows to it, settings, and a metric."""


@pytest.fixture(scope="module", params=TASKS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Finished]:
    """A finished run on a file of 40 texts, to which 20 texts were appended afterwards."""
    name, write, settings, _ = TASKS[request.param]
    home = tmp_path_factory.mktemp(request.param)
    write(home / name, 0, 40)
    finished = trained(home, f"task={request.param}", f"task.data.path={home / name}", *settings)
    write(home / name, 40, 60)
    return request.param, finished


def resume(task: str, finished: Finished, path: Path | None = None, *more: str) -> Ended:
    """Resumes the run as if it had not been tested yet, on the same or another file."""
    (finished.folder / "results.json").unlink(missing_ok=True)
    name, _, settings, _ = TASKS[task]
    own = (f"task={task}", f"task.data.path={path or finished.home / name}", *settings, *more, *paths_in(finished.home))
    return train(*own, f"resume={finished.folder}")


def test_evaluate_uses_the_original_test_split(run: tuple[str, Finished]) -> None:
    task, finished = run
    ended = sluice("evaluate", finished.folder, "--json")
    figure = TASKS[task][3]
    (line,) = json_lines(ended)
    assert line[figure] == pytest.approx(finished.results[f"test/{figure}"], abs=1e-6)
    assert line["left_out"] == 20
    assert "Skipped 20 texts that belong to no split of this run" in ended.err


def test_resume_refuses_changed_data(run: tuple[str, Finished]) -> None:
    task, finished = run
    assert len(finished.results["data_fingerprint"]) == 16
    error = error_of(resume(task, finished))
    assert "the data have changed" in error
    assert TASKS[task][0] in error


def test_resume_refuses_another_tokenizer(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    if task == "tagging":
        return
    TASKS[task][1](tmp_path / TASKS[task][0], 0, 40)
    own = ("task.text.tokenizer=whitespace", "resume_force=true")
    assert "task.text.tokenizer" in error_of(resume(task, finished, tmp_path / TASKS[task][0], *own))


def test_resume_accepts_moved_data_file(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    name, write, *_ = TASKS[task]
    write(tmp_path / f"moved-{name}", 0, 40)
    assert resume(task, finished, tmp_path / f"moved-{name}").code == 0


def test_evaluate_needs_the_run_folder_for_splits(run: tuple[str, Finished], tmp_path: Path) -> None:
    _, finished = run
    shutil.copy(finished.folder / "best.ckpt", tmp_path / "alone.ckpt")
    assert "is not in its run folder, where splits.npz records the splits" in error_of(
        sluice("evaluate", tmp_path / "alone.ckpt")
    )


def test_evaluate_warns_without_data_fingerprint(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    checkpoint = torch.load(finished.folder / "best.ckpt", weights_only=True)
    del checkpoint["sluice"]["data"]
    whole = tmp_path / TASKS[task][0]
    TASKS[task][1](whole, 0, 40)
    checkpoint["sluice"]["config"]["task"]["data"]["path"] = str(whole)
    torch.save(checkpoint, tmp_path / "earlier.ckpt")
    ended = sluice("evaluate", tmp_path / "earlier.ckpt", "--json")
    figure = TASKS[task][3]
    assert json_lines(ended)[0][figure] == pytest.approx(finished.results[f"test/{figure}"], abs=1e-6)
    assert "cannot be verified" in ended.err


def test_evaluate_accepts_moved_data_file(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    moved = shutil.copy(finished.home / TASKS[task][0], tmp_path / f"moved{Path(TASKS[task][0]).suffix}")
    ended = sluice("evaluate", finished.folder, "--set", f"data.path={moved}", "--json")
    figure = TASKS[task][3]
    assert json_lines(ended)[0][figure] == pytest.approx(finished.results[f"test/{figure}"], abs=1e-6)


def test_resume_without_fingerprint_requires_the_same_split(workdir: Path) -> None:
    for path, texts in ((workdir / "same.csv", [(0, 40)]), (workdir / "twice.csv", [(0, 30), (0, 30)])):
        for start, stop in texts:
            table(path, start, stop)
        own = ("task=reviews", f"task.data.path={path}", *SMALL, *paths_in(workdir))
        assert train(*own, f"name={path.stem}").code == 0
        folder = workdir / "output" / "reviews" / "lstm" / path.stem
        (folder / "results.json").unlink()
        checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
        del checkpoint["sluice"]["data"]
        torch.save(checkpoint, folder / "last.ckpt")
        ended = train(*own, f"resume={folder}")
        if path.stem == "same":
            assert ended.code == 0
            assert "cannot be verified" in ended.err
        else:
            assert "was written by an earlier version that split data differently" in error_of(ended)


@pytest.mark.parametrize("task", ["reviews", "parallel"])
def test_prepare_counts_duplicates_between_given_splits(workdir: Path, task: str) -> None:
    name, write, *_ = TASKS[task]
    write(workdir / name, 0, 30)
    write(workdir / f"test-{name}", 28, 40)
    own = (f"task.data.path={workdir / name}", f"task.data.test_path={workdir / f'test-{name}'}")
    out = sluice("prepare", f"task={task}", *own, *paths_in(workdir)).out
    assert "2 texts of test also occur in train (they are kept)" in out
    assert "of val are" not in out
    assert ("2 sources of test also occur in train" in out) == (task == "parallel")


@pytest.mark.parametrize("task", ["corpus", "word2vec"])
def test_evaluate_and_resume_refuse_changed_corpus(task: str, tmp_path: Path) -> None:
    book = write_book(tmp_path / "book.txt", 200, seed=1)
    (tmp_path / "data").mkdir()
    small = ("trainer.accelerator=cpu", "trainer.max_epochs=1", "embedding.size=4", f"task={task}")
    more = {"corpus": ("model.hidden_size=4", "task.data.chunk_length=10"), "word2vec": ("task.subsampling=0",)}
    own = (*small, *more[task])
    finished = trained(tmp_path, *own, f"task.data.path={book}")
    assert sluice("evaluate", finished.folder).code == 0
    lines = book.read_text().splitlines(keepends=True)
    book.write_text("".join(reversed(lines)))  # same word counts
    assert f"was trained: {book}" in error_of(sluice("evaluate", finished.folder))
    (finished.folder / "results.json").unlink()
    error = error_of(train(*own, f"task.data.path={book}", *paths_in(tmp_path), f"resume={finished.folder}"))
    assert f"was written: {book};" in error


def test_unknown_labels_are_reported_with_line_number(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    if task == "parallel":
        return
    with (finished.home / TASKS[task][0]).open("a") as file:
        file.write({"reviews": "new,maybe\n", "pairs": "new,old,maybe\n", "tagging": "new\tmaybe\n"}[task])
    error = error_of(sluice("evaluate", finished.folder))
    line = {"reviews": 62, "pairs": 62, "tagging": 301}[task]
    assert f"line {line}: the model was not trained on the {'tag' if task == 'tagging' else 'class'} 'maybe'" in error
