"""Translators from a training run to sluice translate."""

import json
from pathlib import Path

import pytest
import sacrebleu
import torch

from running import SAMPLE, Finished, complaint, json_lines, places, sluice, train, trained
from sluice.recipes.load import load_model
from sluice.text.vocab import Vocab

SMALL = (
    *("trainer.accelerator=cpu", "model.hidden_size=8", "embedding.size=8", "task.decoder.hidden_size=16"),
    *("trainer.log_every_n_steps=1", "trainer.max_epochs=2", "task.data.batch_size=16"),
)


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run on the sample; look, don't touch."""
    home = tmp_path_factory.mktemp("translator")
    (home / "data").mkdir()
    return trained(home, "task=multi30k", *SAMPLE, *SMALL, "callbacks=last_epochs", "task.test_beam=2")


def rows_of(run: Path) -> list[list[str]]:
    lines = (run / "translations.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines[1:]]


def test_the_test_is_scored_as_sacrebleu_would(translator: Finished) -> None:
    _, references, written = zip(*rows_of(translator.folder), strict=True)
    for name, options in (("bleu", {}), ("bleu_lowercase", {"lowercase": True})):
        expected = sacrebleu.corpus_bleu(list(written), [list(references)], **options).score
        assert translator.results[f"test/{name}"] == pytest.approx(expected, abs=1e-4)
    told = json.loads((translator.folder / "scores.json").read_text(encoding="utf-8"))
    assert "case:lc" in told["bleu_lowercase"]
    assert "tok:13a" in told["bleu"]


def test_a_checkpoint_alone_translates_as_the_test_did(translator: Finished, tmp_path: Path) -> None:
    checkpoint = tmp_path / "alone.ckpt"
    checkpoint.write_bytes((translator.folder / "best.ckpt").read_bytes())
    rows = rows_of(translator.folder)[:5]
    lines = json_lines(sluice("translate", checkpoint, *(row[0] for row in rows), "--beam", "2", "--json"))
    assert [line["translations"][0]["text"] for line in lines] == [row[2] for row in rows]
    attention = lines[0]["translations"][0]["attention"]
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in attention["weights"])
    assert len(attention["source"]) == len(attention["weights"][0])


def test_n_best_a_file_and_a_picture(translator: Finished, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("Ein Mann läuft.\nEine Frau singt laut.\n", encoding="utf-8")
    picture = tmp_path / "looked.png"
    ended = sluice("translate", translator.folder, "--file", file, "--n-best", "3", "--attention", picture)
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 6
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_evaluate_repeats_the_test(translator: Finished) -> None:
    (line,) = json_lines(sluice("evaluate", translator.folder, "--data-dir", translator.home / "data", "--json"))
    for name in ("loss", "bleu", "chrf"):
        assert line[name] == pytest.approx(translator.results[f"test/{name}"], rel=1e-5)


def test_the_last_epochs_are_averaged(translator: Finished) -> None:
    ended = sluice("average", translator.folder)
    assert ended.code == 0, ended.err
    assert sluice("translate", translator.folder / "average.ckpt", "Ein Mann.").code == 0


@pytest.mark.slow
def test_own_pairs_with_subwords_and_input_feeding(workplace: Path) -> None:
    pairs = [f"{a} {b} {c}\t{c} {b} {a}" for a in "abcd" for b in "efgh" for c in "ijkl"]
    (workplace / "mine.tsv").write_text("\n".join([*pairs, "\t"]) + "\n", encoding="utf-8")
    own = (f"task.data.path={workplace / 'mine.tsv'}", "task.text.unit=subwords", "task.text.subword_size=20")
    how = ("task.attention=additive", "task.decoder.input_feeding=true", "model=gru")
    ended = train("task=parallel", *own, *how, *SMALL, *places(workplace))
    assert ended.code == 0, ended.err
    assert "1 pairs of train have an empty line and were dropped" in ended.err + ended.out


WRONG = {
    "an attention that isn't there": (["task.attention=foo"], "must be one of none, additive"),
    "sizes that dot cannot join": (["task.attention=dot", "task.decoder.hidden_size=7"], "make them equal"),
    "a decoder in two directions": (["task.decoder.bidirectional=true"], "writes from left to right"),
    "a language that isn't there": (["task.data.source_language=xx", "task.data.source=local"], "xx"),
    "no beam": (["task.decoding.beam=0"], "task.decoding.beam=0 cannot be used: it must be at least 1"),
    "adversarial": (["embedding.adversarial_epsilon=0.1"], "for tasks that classify"),
    "two files for one embedding": (
        [
            "task.text.joint=true",
            "task.tie_weights=all",
            "task.decoder.output_size=8",
            "task.decoder.embedding_path=a.txt",
        ],
        "cannot be used: task.tie_weights=all",
    ),
}


@pytest.mark.parametrize(("settings", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_settings_get_one_sentence(workplace: Path, settings: list[str], expected: str) -> None:
    ended = train("task=multi30k", *SAMPLE, *SMALL, *settings, *places(workplace))
    assert expected in complaint(ended)


@pytest.mark.slow
def test_vectors_made_elsewhere_for_either_language(workplace: Path, translator: Finished) -> None:
    source, target = (rows_of(translator.folder)[0][side].lower().split()[0] for side in (0, 1))
    numbers = {source: [1.0, -1.0] * 4, target: [0.5] * 8}
    for name, word in (("from.txt", source), ("into.txt", target)):
        (workplace / name).write_text(f"{word} {' '.join(map(str, numbers[word]))}\n", encoding="utf-8")
    begin = ("embedding.path=from.txt", "embedding.frozen=true", "task.decoder.embedding_path=into.txt")
    run = trained(workplace, "task=multi30k", *SAMPLE, *SMALL, *begin, "trainer.max_epochs=1", "optimizer.lr=1e-9")
    model = load_model(run.folder)
    found = [
        (Vocab(model.parts["source"]["vocab"]), source, model.network.source_embedding),
        (Vocab(model.parts["target"]["vocab"]), target, model.network.decoder.embedding),
    ]
    for vocab, word, embedding in found:
        (place,), expected = vocab.encode([word]), numbers[word]
        torch.testing.assert_close(embedding.table.weight[place], torch.tensor(expected), atol=1e-5, rtol=0)


def test_files_of_unequal_length_are_told_with_both_counts(workplace: Path) -> None:
    (workplace / "a.de").write_text("eins\nzwei\ndrei\n", encoding="utf-8")
    (workplace / "a.en").write_text("one\ntwo\n", encoding="utf-8")
    own = (f"task.data.path={workplace / 'a.de'}", f"task.data.target_path={workplace / 'a.en'}")
    said = complaint(train("task=parallel", *own, *SMALL, *places(workplace)))
    assert "3" in said
    assert "2" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["x", "--beam", "0"], "beam must be at least 1"),
        (["   "], "sentence 1 is empty"),
        (["x", "--file", "y"], "give sentences or --file, not both"),
        (["x", "--attention", "/nowhere/a.png"], "cannot be written"),
    ],
)
def test_what_cannot_be_translated_is_told(translator: Finished, arguments: list[str], expected: str) -> None:
    assert expected in complaint(sluice("translate", translator.folder, *arguments))


def test_models_of_other_kinds_are_refused(translator: Finished, finished: Finished) -> None:
    assert "needs a model that translates" in complaint(sluice("translate", finished.folder, "x"))
    assert "needs a model that classifies" in complaint(sluice("predict", translator.folder, "x"))
