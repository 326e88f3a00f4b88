"""task=word2vec from the command line, pretrained vectors from its runs, and `sluice embeddings`."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from run_differences import differences, rows_of
from running import TINY, Finished, error_of, json_lines, paths_in, sluice, train, trained
from sluice.text.vector_files import read_vectors
from stopping import ctrl_c, stopped

SMALL = (
    *("task=word2vec", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "task.text.min_freq=1"),
    *("embedding.size=8", "task.subsampling=0", "task.data.batch_size=4"),
)
ANIMALS, DISHES = ("cat", "dog", "hen"), ("soup", "stew", "pie")


def write_text(path: Path, lines: int = 400) -> Path:
    """Writes sentences in which all animals, and all dishes, are interchangeable."""
    draw = random.Random(1)
    sentences = (
        f"the {draw.choice(ANIMALS)} barks loudly"
        if draw.random() < 0.5
        else f"she cooked {draw.choice(DISHES)} yesterday"
        for _ in range(lines)
    )
    path.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
    return path


def own(home: Path) -> str:
    return f"task.data.path={write_text(home / 'mine.txt')}"


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished skip-gram run on the sentences; read-only."""
    home = tmp_path_factory.mktemp("vectors")
    return trained(home, *SMALL, own(home), "task.max_epochs=25", "embedding.size=16")


def test_run_folder_results_and_curves_are_complete(vectors: Finished) -> None:
    assert {"vectors.txt", "best.ckpt", "last.ckpt", "config.yaml", "metrics.csv"} <= {
        path.name for path in vectors.folder.iterdir()
    }
    results = vectors.results
    assert (results["task"], results["model"], results["data_source"]) == ("word2vec", "skipgram", "file")
    assert 0 < results["test/loss"] < 6 * np.log(2), "the loss of uninformative vectors"
    assert results["train/pairs_per_second"] > 0
    assert results["parameters"] == 2 * 16 * 15
    curves = EventAccumulator(str(vectors.folder)).Reload().Tags()["scalars"]
    assert {"train/loss", "val/loss", "train/pairs_per_second", "train/learning_rate"} <= set(curves)
    (line,) = json_lines(sluice("evaluate", vectors.folder, "--json"))
    assert line["loss"] == pytest.approx(results["test/loss"], rel=1e-5)


def test_interchangeable_words_are_neighbours(vectors: Finished) -> None:
    for source in (vectors.folder, vectors.folder / "best.ckpt", vectors.folder / "vectors.txt"):
        for words in (ANIMALS, DISHES):
            (line,) = json_lines(sluice("embeddings", source, "neighbours", words[0], "--top", "2", "--json"))
            assert {near["word"] for near in line["nearest"]} == set(words[1:])
    shown = sluice("embeddings", vectors.folder, "neighbours", "cat", "--manhattan")
    assert shown.code == 0
    assert shown.out.split()[:3] == ["cat", "cosine", "Manhattan"]


def test_vectors_file_excludes_special_tokens(vectors: Finished) -> None:
    found = read_vectors(vectors.folder / "vectors.txt")
    assert set(found.words) == {*ANIMALS, *DISHES, "the", "barks", "loudly", "she", "cooked", "yesterday"}
    table = torch.load(vectors.folder / "best.ckpt", weights_only=True)["state_dict"]["network.input"]
    vocab = torch.load(vectors.folder / "best.ckpt", weights_only=True)["sluice"]["vocab"]
    np.testing.assert_array_equal(found.vectors, table[[vocab.index(word) for word in found.words]])


def test_vectors_of_a_run_initialise_an_embedding(vectors: Finished, workdir: Path) -> None:
    begin = ("embedding=pretrained", "embedding.size=16", "embedding.frozen=true", "trainer.max_epochs=1")
    ended = trained(
        workdir, "task=corpus", own(workdir), *begin, f"embedding.path={vectors.folder}", "task.tie_weights=none",
        "model.hidden_size=4", "trainer.accelerator=cpu", "task.data.batch_size=2", "task.data.chunk_length=20",
    )  # fmt: skip
    assert "vectors for 12 of" in ended.ended.err
    saved = torch.load(ended.folder / "best.ckpt", weights_only=True)
    table, vocab = saved["state_dict"]["network.embedding.table.weight"], saved["sluice"]["vocab"]
    found = read_vectors(vectors.folder / "vectors.txt")
    np.testing.assert_array_equal(table[vocab.index("cat")], found.vectors[found.words.index("cat")])
    (line,) = json_lines(sluice("embeddings", ended.folder, "neighbours", "cat", "--top", "2", "--json"))
    assert {near["word"] for near in line["nearest"]} == set(ANIMALS[1:])


def test_resumed_run_equals_uninterrupted_run(workdir: Path) -> None:
    settings = (*SMALL, own(workdir), "task.max_epochs=2", "task.method=cbow", *paths_in(workdir))
    assert train(*settings, "name=whole").code == 0
    with stopped(ctrl_c, "on_train_batch_start", 9):
        assert train(*settings, "name=stopped").code == 130
    runs = workdir / "output" / "word2vec" / "cbow"
    ended = train(*settings, f"resume={runs / 'stopped'}")
    assert ended.code == 0, ended.err
    assert differences(runs / "stopped", runs / "whole") == []


def test_project_writes_scatter_plot_and_projector(vectors: Finished, workdir: Path) -> None:
    asked = ("embeddings", vectors.folder, "project", "--png", "map.png", "--projector", "words")
    assert sluice(*asked, "--words", "5").code == 0
    assert (workdir / "map.png").read_bytes().startswith(b"\x89PNG")
    (labels,) = (workdir / "words").rglob("metadata.tsv")
    (rows,) = (workdir / "words").rglob("tensors.tsv")
    found = read_vectors(vectors.folder / "vectors.txt")
    assert labels.read_text(encoding="utf-8").split() == found.words[:5]
    np.testing.assert_allclose(np.loadtxt(rows), found.vectors[:5], rtol=1e-5)
    assert "map.png already exists" in error_of(sluice(*asked))
    assert "words already exists" in error_of(sluice(*asked[:3], "--projector", "words"))


def test_number_of_words_is_refused_with_words(vectors: Finished, workdir: Path) -> None:
    asked = ("embeddings", vectors.folder, "project", "cat", "dog", "--png", "map.png")
    for number in ("50", "200"):
        error = error_of(sluice(*asked, "--words", number))
        assert f"--words {number} has no effect with the words cat, dog: omit one" in error
    assert sluice(*asked).code == 0


def test_analogy_ranks_the_expected_word_first(workdir: Path) -> None:
    file = workdir / "made.txt"
    file.write_text("king 2 0 2\nqueen 2 2 0\nman 0 0 3\nwoman 0 3 0\napple -5 0.1 0\n", encoding="utf-8")
    (line,) = json_lines(sluice("embeddings", file, "analogy", "king", "man", "woman", "--json"))
    assert [near["word"] for near in line["nearest"]] == ["queen", "apple"]


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished translation run on numbered sentences."""
    home = tmp_path_factory.mktemp("translator")
    (home / "mine.tsv").write_text("".join(f"a b w{n % 9}\tx y v{n % 9}\n" for n in range(60)), encoding="utf-8")
    small = ("model.hidden_size=4", "embedding.size=4", "task.decoder.hidden_size=4", "task.decoder.output_size=4")
    return trained(home, "task=parallel", f"task.data.path={home / 'mine.tsv'}", *small, "debug=fast")


@pytest.mark.parametrize("mean", [(), ("--mean",)], ids=["last state", "mean"])
def test_phrase_vectors_are_plotted_and_compared(translator: Finished, workdir: Path, mean: tuple[str, ...]) -> None:
    (workdir / "phrases.txt").write_text("a b\nb a w1\na\n", encoding="utf-8")
    asked = ("embeddings", translator.folder, "phrases", "--file", "phrases.txt", *mean)
    notes = sluice("embeddings", translator.folder, "phrases", "b March w1", "a b", "x May").err.splitlines()
    assert notes == [
        "note: not in the vocabulary: march in 'b March w1'",
        "note: not in the vocabulary: x, may in 'x May'",
    ]
    ended = sluice(*asked, "--png", "map.png", "--projector", "phrases", "--top", "1")
    assert ended.code == 0, ended.err
    assert (workdir / "map.png").read_bytes().startswith(b"\x89PNG")
    (labels,) = (workdir / "phrases").rglob("metadata.tsv")
    (rows,) = (workdir / "phrases").rglob("tensors.tsv")
    assert labels.read_text(encoding="utf-8").splitlines() == ["a b", "b a w1", "a"]
    assert np.loadtxt(rows).shape == (3, 8)
    first = json_lines(sluice(*asked, "--json"))[0]
    assert {near["word"] for near in first["nearest"]} == {"b a w1", "a"}
    (line,) = json_lines(sluice("embeddings", translator.folder, "neighbours", "w1", "--top", "1", "--json"))
    assert len(line["nearest"]) == 1


def test_invalid_phrases_are_reported(translator: Finished, vectors: Finished, workdir: Path) -> None:
    run = translator.folder
    assert "at least two distinct phrases are needed, got 1" in error_of(
        sluice("embeddings", run, "phrases", "a b", "a b")
    )
    assert "at least two distinct phrases" in error_of(sluice("embeddings", run, "phrases", "a b", " "))
    assert "a model that translates" in error_of(sluice("embeddings", vectors.folder, "phrases", "a", "b"))


def test_unknown_words_and_invalid_vectors_are_reported(vectors: Finished, finished: Finished, workdir: Path) -> None:
    assert "did you mean soup" in error_of(sluice("embeddings", vectors.folder, "neighbours", "soop"))
    assert "nothing to write" in error_of(sluice("embeddings", vectors.folder, "project"))
    (workdir / "ragged.txt").write_text("2 3\na 1 2 3\nb 1 2\n", encoding="utf-8")
    assert "expected 3 numbers as in the header, got 2" in error_of(
        sluice("embeddings", "ragged.txt", "neighbours", "a")
    )
    assert sluice("embeddings", finished.folder, "neighbours", "film", "--top", "3").code == 0


def test_one_hot_run_has_no_vectors(workdir: Path) -> None:
    run = trained(workdir, *TINY, "embedding=onehot")
    assert "has no learned word vectors" in error_of(sluice("embeddings", run.folder, "neighbours", "film"))


WRONG = {
    "recurrent model": (["model=gru"], "no recurrent core, model=gru cannot be used"),
    "hidden size": (["model.hidden_size=5"], "model.hidden_size=5 has no effect on task=word2vec"),
    "optimizer": (["optimizer=adam"], "leave optimizer= out"),
    "one-hot embedding": (["embedding=onehot"], "embedding.kind=onehot has no effect"),
    "dropout": (["task.embedding.word_dropout=0.5"], "embedding.word_dropout=0.5 has no effect"),
    "clipping": (["trainer.gradient_clip_val=1.0"], "trainer.gradient_clip_val=1.0 has no effect"),
    "accumulation": (["trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches=2 has no effect"),
    "several processes": (["trainer=ddp_cpu"], "trains in one process"),
    "unknown method": (["task.method=glove"], "it must be one of skipgram, cbow"),
    "two corpora": (["task.data.corpus=ptb"], "name two texts: leave one out"),
    "unavailable metric": (["task.monitor=val/accuracy"], "it must be one of val/loss"),
    "too few tokens": (["task.subsampling=1e-9"], "too little train text"),
}


@pytest.mark.parametrize(("settings", "expected"), WRONG.values(), ids=WRONG)
def test_invalid_settings_are_reported(workdir: Path, settings: list[str], expected: str) -> None:
    given = [
        setting for setting in SMALL if setting.partition("=")[0] not in {own.partition("=")[0] for own in settings}
    ]
    assert expected in error_of(train(*given, own(workdir), *settings, *paths_in(workdir)))


def test_other_tasks_refuse_model_none(workdir: Path) -> None:
    assert "model=none has no recurrent core" in error_of(train(*TINY, "model=none", *paths_in(workdir)))


@pytest.mark.parametrize("corpus", ["sample", "imdb"])
def test_sample_run_is_marked(workdir: Path, corpus: str) -> None:
    settings = ("task.data.source=sample", "task.data.sample_size=60", f"task.data.corpus={corpus}", "debug=fast")
    run = trained(workdir, *SMALL, *settings)
    assert run.results["data_source"] == "sample"
    assert run.folder.name.startswith("sample-")


def test_bench_word2vec_does_not_need_gensim(workdir: Path) -> None:
    ended = sluice("bench", "word2vec", "--size", "4", "--threads", "1", "--runs", "1", "--json")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert rows[0]["library"] == "sluice"
    assert all(row["pairs/s"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{_target_: torch.optim.lr_scheduler.ExponentialLR, gamma: 0.5}", [1, 0.5, 0.25, 0.125]),
        ("{_target_: torch.optim.lr_scheduler.ExponentialLR, gamma: 0.5, frequency: 2}", [1, 1, 0.5, 0.5]),
        ("{_target_: torch.optim.lr_scheduler.StepLR, step_size: 2, gamma: 0.1}", [1, 1, 0.1, 0.1]),
        ("{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, patience: 0, threshold: 0.99}", [1, 1, 0.1, 0.01]),
    ],
)
def test_schedules_per_epoch_count_epochs(workdir: Path, spec: str, expected: list[float]) -> None:
    settings = (*SMALL, own(workdir), "task.max_epochs=4", "scheduler=constant", f"+scheduler={spec}")
    run = trained(workdir, *settings, "trainer.limit_train_batches=2", "optimizer.lr=0.01").folder
    rates = [float(row["train/learning_rate"]) for row in rows_of(run) if "train/learning_rate" in row]
    assert [100 * rate for rate in rates[::2]] == pytest.approx(expected)
