"""The synthetic tasks and tagging are trained and evaluated from the command line."""

import shutil
from pathlib import Path

import pytest
import torch

import sluice as package
from running import Finished, compose_quickly, error_of, json_lines, paths_in, sluice, train, trained
from sluice.composition.compose import checked
from sluice.recipes.registry import recipe_of

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
        shown = f"output/temporal_order/lstm/{run.folder.name}"
        assert f'Use it: sluice predict {shown} "B a X c Y E"' in run.ended.out
        assert f"parameters; run folder: {shown}\n" in run.ended.err
        return
    (line,) = json_lines(sluice("evaluate", run.folder, "--json"))
    assert line["loss"] == pytest.approx(run.results["test/loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("tasks", "name"),
    [(("pairs", "tagging", "vec2seq"), "sample"), (("temporal_order", "adding", "echo", "execute"), "generated")],
)
def test_only_stand_in_data_are_a_sample(tasks: tuple[str, ...], name: str) -> None:
    for task in tasks:
        config = checked(compose_quickly([f"task={task}"]))
        assert recipe_of(config).find_corpus(config).name == name, task


def test_taken_name_is_reported_before_the_data(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = workdir / "outputs" / "tagging" / "lstm" / "sample-mine"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr("sluice.data.synthetic.tagging.SampleTagging.sentences", None)
    error = error_of(train("task=tagging", "name=mine", *FEW))
    assert f"{folder} already contains a run: choose another name=" in error


def test_task_trains_with_another_cell(workdir: Path) -> None:
    run = trained(workdir, "task=echo", *TASKS["echo"][0], *FEW, "model=rnn_layernorm", "embedding=onehot")
    assert run.results["model"] == "rnn_layernorm"


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run on a file of sentences; read-only."""
    home = tmp_path_factory.mktemp("tagger")
    (home / "mine.txt").write_text("the O\ncat S-X\n\na O\ndog B-X\nhouse E-X\n\n" * 20, encoding="utf-8")
    return trained(home, "task=tagging", f"task.data.path={home / 'mine.txt'}", *FEW)


def test_tagger_trained_on_a_file_scores_spans(tagger: Finished) -> None:
    assert tagger.results["data_source"] == "file"
    assert {"test/f1", "test/precision", "test/recall"} <= tagger.results.keys()
    counts = [tagger.results[f"data/train/{name}"] for name in ("sentences", "words", "tags")]
    assert counts == [32, 80, 4]
    assert "Tag scheme of the training sentences: bioes" in tagger.ended.err


def test_tagger_predicts_one_line_per_line(tagger: Finished, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("the  cat\n\na zebra house\n", encoding="utf-8")
    plain = sluice("predict", tagger.folder, "--file", tmp_path / "in.txt").out.split("\n")
    first, blank, last = json_lines(sluice("predict", tagger.folder, "--file", tmp_path / "in.txt", "--json"))
    assert (first["words"], blank["tags"], len(last["probabilities"])) == (["the", "cat"], [], 3)
    tagged = [" ".join(f"{word}/{tag}" for word, tag in zip(*pair, strict=True)) for pair in _pairs(first, blank, last)]
    assert plain == [*tagged, ""]
    loaded = package.load(tagger.folder)
    assert [one.as_dict() for one in loaded.predict([["the", "cat"], [], "a zebra house"])] == [first, blank, last]


def _pairs(*predictions: dict[str, list[str]]) -> list[tuple[list[str], list[str]]]:
    return [(prediction["words"], prediction["tags"]) for prediction in predictions]


def test_tagger_is_evaluated_on_a_file(tagger: Finished, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text("1 the O\n2 cat S-X\n\n1 a O\n", encoding="utf-8")
    columns = ("--set", "data.word_column=2")
    (line,) = json_lines(sluice("evaluate", tagger.folder, "--file", path, *columns, "--json"))
    predicted = json_lines(sluice("predict", tagger.folder, "the cat", "a", "--json"))
    tags = [tag for one in predicted for tag in one["tags"]]
    assert line["accuracy"] == pytest.approx(sum(map(str.__eq__, tags, ["O", "S-X", "O"])) / 3)
    assert line["sentences"] == 2
    refused = error_of(sluice("evaluate", tagger.folder, "--file", path, "--text-column", "word"))
    assert "--text-column and --label-column have no effect on a tagger" in refused
    path.write_text("1 the O\n2 cat S-Y\n", encoding="utf-8")
    error = error_of(sluice("evaluate", tagger.folder, "--file", path, *columns))
    assert "new.txt, line 2: the model was not trained on the tag 'S-Y', only on B-X, E-X, O, S-X" in error


def test_tagger_of_an_earlier_version_is_evaluated(tagger: Finished, tmp_path: Path) -> None:
    """Its checkpoint has no scheme and no columns; B- and I- tags were spans."""
    checkpoint = torch.load(tagger.folder / "best.ckpt", weights_only=True)
    del checkpoint["sluice"]["scheme"]
    for name in ("word_column", "tag_column", "scheme"):
        del checkpoint["sluice"]["config"]["task"]["data"][name]
    shutil.copy(tagger.folder / "splits.npz", tmp_path)
    torch.save(checkpoint, tmp_path / "earlier.ckpt")
    (line,) = json_lines(sluice("evaluate", tmp_path / "earlier.ckpt", "--json"))
    assert line["accuracy"] == pytest.approx(tagger.results["test/accuracy"])
    assert "f1" in line
    (predicted,) = json_lines(sluice("predict", tmp_path / "earlier.ckpt", "the cat", "--json"))
    assert isinstance(predicted["spans"], list)


def test_tag_scheme_that_does_not_fit_is_refused(tagger: Finished) -> None:
    own = ("task=tagging", f"task.data.path={tagger.home / 'mine.txt'}", "task.data.scheme=iob2")
    error = error_of(train(*own, *FEW, *paths_in(tagger.home)))
    assert "task.data.scheme=iob2 does not fit the tag 'E-X', which must be O or begin with one of B-, I-" in error


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
