"""Data that change under a model: resuming is refused, evaluation keeps to the texts and names of the training."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from books import write_book
from running import Ended, Finished, complaint, json_lines, places, sluice, train, trained

FEW = ("trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "model.hidden_size=4")
SMALL = (*FEW, "embedding.size=4", "task.data.batch_size=4")
WORDS = ("tin", "oak", "elm", "ash", "fir", "bay")


def sentence(number: int) -> str:
    """Words that no other number has."""
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
"""File, what appends rows to it, settings, and a figure of the evaluation."""


@pytest.fixture(scope="module", params=TASKS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Finished]:
    """A run on forty texts of one's own; the file grew by twenty after the run had been evaluated."""
    name, write, settings, _ = TASKS[request.param]
    home = tmp_path_factory.mktemp(request.param)
    write(home / name, 0, 40)
    finished = trained(home, f"task={request.param}", f"task.data.path={home / name}", *settings)
    write(home / name, 40, 60)
    return request.param, finished


def resume(task: str, finished: Finished, path: Path | None = None, *more: str) -> Ended:
    """Resumes a run that has not been tested yet, with its file or another."""
    (finished.folder / "results.json").unlink(missing_ok=True)
    name, _, settings, _ = TASKS[task]
    own = (f"task={task}", f"task.data.path={path or finished.home / name}", *settings, *more, *places(finished.home))
    return train(*own, f"resume={finished.folder}")


def test_evaluation_keeps_to_the_texts_of_the_test(run: tuple[str, Finished]) -> None:
    task, finished = run
    ended = sluice("evaluate", finished.folder, "--json")
    figure = TASKS[task][3]
    (line,) = json_lines(ended)
    assert line[figure] == pytest.approx(finished.results[f"test/{figure}"], abs=1e-6)
    assert line["left_out"] == 20
    assert "Skipped 20 texts that belong to no split of this run" in ended.err


def test_resuming_on_a_changed_file_is_refused(run: tuple[str, Finished]) -> None:
    task, finished = run
    assert len(finished.results["data_fingerprint"]) == 16
    said = complaint(resume(task, finished))
    assert "the data have changed" in said
    assert TASKS[task][0] in said


def test_resuming_with_another_tokenizer_is_refused(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    if task == "tagging":
        return
    TASKS[task][1](tmp_path / TASKS[task][0], 0, 40)
    own = ("task.text.tokenizer=whitespace", "resume_force=true")
    assert "task.text.tokenizer" in complaint(resume(task, finished, tmp_path / TASKS[task][0], *own))


def test_resuming_with_a_moved_file_goes_on(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    name, write, *_ = TASKS[task]
    write(tmp_path / f"moved-{name}", 0, 40)
    assert resume(task, finished, tmp_path / f"moved-{name}").code == 0


def test_a_checkpoint_alone_has_no_split(run: tuple[str, Finished], tmp_path: Path) -> None:
    _, finished = run
    shutil.copy(finished.folder / "best.ckpt", tmp_path / "alone.ckpt")
    assert "is not in its run folder, where splits.npz records the splits" in complaint(
        sluice("evaluate", tmp_path / "alone.ckpt")
    )


def test_an_earlier_checkpoint_is_evaluated_with_a_warning(run: tuple[str, Finished], tmp_path: Path) -> None:
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


def test_a_moved_file_is_named_in_the_evaluation(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    moved = shutil.copy(finished.home / TASKS[task][0], tmp_path / f"moved{Path(TASKS[task][0]).suffix}")
    ended = sluice("evaluate", finished.folder, "--set", f"data.path={moved}", "--json")
    figure = TASKS[task][3]
    assert json_lines(ended)[0][figure] == pytest.approx(finished.results[f"test/{figure}"], abs=1e-6)


def test_an_earlier_run_is_resumed_on_its_own_split_alone(workplace: Path) -> None:
    for path, texts in ((workplace / "same.csv", [(0, 40)]), (workplace / "twice.csv", [(0, 30), (0, 30)])):
        for start, stop in texts:
            table(path, start, stop)
        own = ("task=reviews", f"task.data.path={path}", *SMALL, *places(workplace))
        assert train(*own, f"name={path.stem}").code == 0
        folder = workplace / "output" / "reviews" / "lstm" / path.stem
        (folder / "results.json").unlink()
        checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
        del checkpoint["sluice"]["data"]
        torch.save(checkpoint, folder / "last.ckpt")
        ended = train(*own, f"resume={folder}")
        if path.stem == "same":
            assert ended.code == 0
            assert "cannot be verified" in ended.err
        else:
            assert "was written by an earlier version that split data differently" in complaint(ended)


@pytest.mark.parametrize("task", ["reviews", "parallel"])
def test_prepare_counts_texts_in_two_published_splits(workplace: Path, task: str) -> None:
    name, write, *_ = TASKS[task]
    write(workplace / name, 0, 30)
    write(workplace / f"test-{name}", 28, 40)
    own = (f"task.data.path={workplace / name}", f"task.data.test_path={workplace / f'test-{name}'}")
    out = sluice("prepare", f"task={task}", *own, *places(workplace)).out
    assert "2 texts of test also occur in train (they are kept)" in out
    assert "of val are" not in out
    assert ("2 sources of test also occur in train" in out) == (task == "parallel")


@pytest.mark.parametrize("task", ["corpus", "word2vec"])
def test_changed_running_text_is_refused(task: str, tmp_path: Path) -> None:
    book = write_book(tmp_path / "book.txt", 200, seed=1)
    (tmp_path / "data").mkdir()
    small = ("trainer.accelerator=cpu", "trainer.max_epochs=1", "embedding.size=4", f"task={task}")
    more = {"corpus": ("model.hidden_size=4", "task.data.chunk_length=10"), "word2vec": ("task.subsampling=0",)}
    own = (*small, *more[task])
    finished = trained(tmp_path, *own, f"task.data.path={book}")
    assert sluice("evaluate", finished.folder).code == 0
    lines = book.read_text().splitlines(keepends=True)
    book.write_text("".join(reversed(lines)))  # the same words, as often
    assert f"was trained: {book}" in complaint(sluice("evaluate", finished.folder))
    (finished.folder / "results.json").unlink()
    said = complaint(train(*own, f"task.data.path={book}", *places(tmp_path), f"resume={finished.folder}"))
    assert f"was written: {book};" in said


def test_unknown_names_are_told_with_their_line(run: tuple[str, Finished], tmp_path: Path) -> None:
    task, finished = run
    if task == "parallel":
        return
    with (finished.home / TASKS[task][0]).open("a") as file:
        file.write({"reviews": "new,maybe\n", "pairs": "new,old,maybe\n", "tagging": "new\tmaybe\n"}[task])
    said = complaint(sluice("evaluate", finished.folder))
    line = {"reviews": 62, "pairs": 62, "tagging": 301}[task]
    assert f"line {line}: the model was not trained on the {'tag' if task == 'tagging' else 'class'} 'maybe'" in said
