"""task=word2vec from one word on the command line to vectors that other runs begin with, and sluice embeddings."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from likeness import differences
from running import TINY, Finished, complaint, json_lines, places, sluice, train, trained
from sluice.text.vector_files import read_vectors
from stopping import ctrl_c, stopped

SMALL = (
    *("task=word2vec", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "task.text.min_freq=1"),
    *("embedding.size=8", "task.subsampling=0", "task.data.batch_size=4"),
)
ANIMALS, DISHES = ("cat", "dog", "hen"), ("soup", "stew", "pie")


def write_text(path: Path, lines: int = 400) -> Path:
    """Sentences in which an animal is as good as another, and a dish."""
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
    """Skip-gram of the sentences; look, don't touch."""
    home = tmp_path_factory.mktemp("vectors")
    return trained(home, *SMALL, own(home), "task.max_epochs=25", "embedding.size=16")


def test_the_run_has_what_every_run_has(vectors: Finished) -> None:
    assert {"vectors.txt", "best.ckpt", "last.ckpt", "config.yaml", "metrics.csv"} <= {
        path.name for path in vectors.folder.iterdir()
    }
    results = vectors.results
    assert (results["task"], results["model"], results["data_source"]) == ("word2vec", "skipgram", "file")
    assert 0 < results["test/loss"] < 6 * np.log(2), "that of vectors that say nothing"
    assert results["train/pairs_per_second"] > 0
    assert results["parameters"] == 2 * 16 * 15
    curves = EventAccumulator(str(vectors.folder)).Reload().Tags()["scalars"]
    assert {"train/loss", "val/loss", "train/pairs_per_second", "train/learning_rate"} <= set(curves)
    (line,) = json_lines(sluice("evaluate", vectors.folder, "--json"))
    assert line["loss"] == pytest.approx(results["test/loss"], rel=1e-5)


def test_words_used_alike_are_neighbours_in_the_run_and_in_its_file(vectors: Finished) -> None:
    for source in (vectors.folder, vectors.folder / "best.ckpt", vectors.folder / "vectors.txt"):
        for words in (ANIMALS, DISHES):
            (line,) = json_lines(sluice("embeddings", source, "neighbours", words[0], "--top", "2", "--json"))
            assert {near["word"] for near in line["nearest"]} == set(words[1:])
    shown = sluice("embeddings", vectors.folder, "neighbours", "cat", "--manhattan")
    assert shown.code == 0
    assert shown.out.split()[:3] == ["cat", "cosine", "Manhattan"]


def test_the_file_has_the_words_and_not_the_marks(vectors: Finished) -> None:
    found = read_vectors(vectors.folder / "vectors.txt")
    assert set(found.words) == {*ANIMALS, *DISHES, "the", "barks", "loudly", "she", "cooked", "yesterday"}
    table = torch.load(vectors.folder / "best.ckpt", weights_only=True)["state_dict"]["network.input"]
    vocab = torch.load(vectors.folder / "best.ckpt", weights_only=True)["sluice"]["vocab"]
    np.testing.assert_array_equal(found.vectors, table[[vocab.index(word) for word in found.words]])


def test_another_run_begins_with_them(vectors: Finished, workplace: Path) -> None:
    begin = ("embedding=pretrained", "embedding.size=16", "embedding.frozen=true", "trainer.max_epochs=1")
    ended = trained(
        workplace, "task=corpus", own(workplace), *begin, f"embedding.path={vectors.folder}", "task.tie_weights=none",
        "model.hidden_size=4", "trainer.accelerator=cpu", "task.data.batch_size=2", "task.data.chunk_length=20",
    )  # fmt: skip
    assert "vectors for 12 of" in ended.ended.err
    saved = torch.load(ended.folder / "best.ckpt", weights_only=True)
    table, vocab = saved["state_dict"]["network.embedding.table.weight"], saved["sluice"]["vocab"]
    found = read_vectors(vectors.folder / "vectors.txt")
    np.testing.assert_array_equal(table[vocab.index("cat")], found.vectors[found.words.index("cat")])
    (line,) = json_lines(sluice("embeddings", ended.folder, "neighbours", "cat", "--top", "2", "--json"))
    assert {near["word"] for near in line["nearest"]} == set(ANIMALS[1:])


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(workplace: Path) -> None:
    settings = (*SMALL, own(workplace), "task.max_epochs=2", "task.method=cbow", *places(workplace))
    assert train(*settings, "name=whole").code == 0
    with stopped(ctrl_c, "on_train_batch_start", 9):
        assert train(*settings, "name=stopped").code == 130
    runs = workplace / "output" / "word2vec" / "cbow"
    ended = train(*settings, f"resume={runs / 'stopped'}")
    assert ended.code == 0, ended.err
    assert differences(runs / "stopped", runs / "whole") == []


def test_a_map_and_a_projector_of_words(vectors: Finished, workplace: Path) -> None:
    project = ("embeddings", vectors.folder, "project", "--png", "map.png", "--projector", "words")
    assert sluice(*project, "--words", "5").code == 0
    assert (workplace / "map.png").read_bytes().startswith(b"\x89PNG")
    (labels,) = (workplace / "words").rglob("metadata.tsv")
    (rows,) = (workplace / "words").rglob("tensors.tsv")
    found = read_vectors(vectors.folder / "vectors.txt")
    assert labels.read_text(encoding="utf-8").split() == found.words[:5]
    np.testing.assert_allclose(np.loadtxt(rows), found.vectors[:5], rtol=1e-5)
    assert "map.png already exists" in complaint(sluice(*project))
    assert "words already exists" in complaint(sluice(*project[:3], "--projector", "words"))


def test_what_is_to_d_as_a_is_to_b(workplace: Path) -> None:
    file = workplace / "made.txt"
    file.write_text("king 2 0 2\nqueen 2 2 0\nman 0 0 3\nwoman 0 3 0\napple -5 0.1 0\n", encoding="utf-8")
    (line,) = json_lines(sluice("embeddings", file, "analogy", "king", "man", "woman", "--json"))
    assert [near["word"] for near in line["nearest"]] == ["queen", "apple"]


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A tiny translator of numbered sentences."""
    home = tmp_path_factory.mktemp("translator")
    (home / "mine.tsv").write_text("".join(f"a b w{n % 9}\tx y v{n % 9}\n" for n in range(60)), encoding="utf-8")
    small = ("model.hidden_size=4", "embedding.size=4", "task.decoder.hidden_size=4", "task.decoder.output_size=4")
    return trained(home, "task=parallel", f"task.data.path={home / 'mine.tsv'}", *small, "debug=fast")


@pytest.mark.parametrize("mean", [(), ("--mean",)])
def test_phrases_of_a_translator(translator: Finished, workplace: Path, mean: tuple[str, ...]) -> None:
    (workplace / "phrases.txt").write_text("a b\nb a w1\na\n", encoding="utf-8")
    asked = ("embeddings", translator.folder, "phrases", "--file", "phrases.txt", *mean)
    ended = sluice(*asked, "--png", "map.png", "--projector", "phrases", "--top", "1")
    assert ended.code == 0, ended.err
    assert (workplace / "map.png").read_bytes().startswith(b"\x89PNG")
    (labels,) = (workplace / "phrases").rglob("metadata.tsv")
    (rows,) = (workplace / "phrases").rglob("tensors.tsv")
    assert labels.read_text(encoding="utf-8").splitlines() == ["a b", "b a w1", "a"]
    assert np.loadtxt(rows).shape == (3, 8)
    first = json_lines(sluice(*asked, "--json"))[0]
    assert {near["word"] for near in first["nearest"]} == {"b a w1", "a"}
    (line,) = json_lines(sluice("embeddings", translator.folder, "neighbours", "w1", "--top", "1", "--json"))
    assert len(line["nearest"]) == 1


def test_wrong_phrases(translator: Finished, vectors: Finished, workplace: Path) -> None:
    run = translator.folder
    assert "at least two distinct phrases are needed, got 1" in complaint(
        sluice("embeddings", run, "phrases", "a b", "a b")
    )
    assert "'' is empty" in complaint(sluice("embeddings", run, "phrases", "a b", " "))
    assert "a model that translates" in complaint(sluice("embeddings", vectors.folder, "phrases", "a", "b"))


def test_a_word_or_vectors_that_are_not_there(vectors: Finished, finished: Finished, workplace: Path) -> None:
    assert "did you mean soup" in complaint(sluice("embeddings", vectors.folder, "neighbours", "soop"))
    assert "nothing to write" in complaint(sluice("embeddings", vectors.folder, "project"))
    (workplace / "ragged.txt").write_text("2 3\na 1 2 3\nb 1 2\n", encoding="utf-8")
    assert "the row has 2 numbers" in complaint(sluice("embeddings", "ragged.txt", "neighbours", "a"))
    assert sluice("embeddings", finished.folder, "neighbours", "film", "--top", "3").code == 0


def test_words_that_were_one_hot_have_no_vectors(workplace: Path) -> None:
    run = trained(workplace, *TINY, "embedding=onehot")
    assert "has no learned word vectors" in complaint(sluice("embeddings", run.folder, "neighbours", "film"))


WRONG = {
    "a model": (["model=gru"], "no recurrent core, model=gru cannot be used"),
    "units": (["model.hidden_size=5"], "model.hidden_size=5 has no effect on task=word2vec"),
    "an optimizer": (["optimizer=adam"], "leave optimizer= out"),
    "an embedding": (["embedding=onehot"], "embedding.kind=onehot has no effect"),
    "dropout": (["task.embedding.word_dropout=0.5"], "embedding.word_dropout=0.5 has no effect"),
    "clipping": (["trainer.gradient_clip_val=1.0"], "trainer.gradient_clip_val=1.0 has no effect"),
    "accumulation": (["trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches=2 has no effect"),
    "processes": (["trainer=ddp_cpu"], "trains in one process"),
    "a method": (["task.method=glove"], "it must be one of skipgram, cbow"),
    "two texts": (["task.data.corpus=ptb"], "name two texts: leave one out"),
    "a metric": (["task.monitor=val/accuracy"], "it must be one of val/loss"),
    "no text left": (["task.subsampling=1e-9"], "too few to learn from"),
}


@pytest.mark.parametrize(("settings", "expected"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_gets_one_sentence(workplace: Path, settings: list[str], expected: str) -> None:
    given = [
        setting for setting in SMALL if setting.partition("=")[0] not in {own.partition("=")[0] for own in settings}
    ]
    assert expected in complaint(train(*given, own(workplace), *settings, *places(workplace)))


def test_a_cell_that_is_none_is_for_no_other_task(workplace: Path) -> None:
    assert "there is no model.cell=none" in complaint(train(*TINY, "model=none", *places(workplace)))


@pytest.mark.parametrize("corpus", ["sample", "imdb"])
def test_the_sample_says_so(workplace: Path, corpus: str) -> None:
    settings = ("task.data.source=sample", "task.data.sample_size=60", f"task.data.corpus={corpus}", "debug=fast")
    run = trained(workplace, *SMALL, *settings)
    assert run.results["data_source"] == "sample"
    assert run.folder.name.startswith("sample-")


def test_speed_beside_gensim_or_without(workplace: Path) -> None:
    ended = sluice("bench", "word2vec", "--size", "4", "--threads", "1", "--runs", "1", "--json")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert rows[0]["library"] == "sluice"
    assert all(row["pairs/s"] > 0 for row in rows)
