"""Translation models are trained, evaluated and used by `sluice translate`."""

import json
import shutil
from pathlib import Path

import pytest
import sacrebleu
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from running import SAMPLE, Finished, error_of, joined, json_lines, paths_in, sluice, train, trained
from sluice.cli.translate import BATCH
from sluice.recipes.load import load_model
from sluice.text.vocab import Vocab

SMALL = (
    *("trainer.accelerator=cpu", "model.hidden_size=8", "embedding.size=8", "task.decoder.hidden_size=16"),
    *("trainer.log_every_n_steps=1", "trainer.max_epochs=2", "task.data.batch_size=16"),
)


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run on the sample; read-only."""
    home = tmp_path_factory.mktemp("translator")
    (home / "data").mkdir()
    return trained(home, "task=multi30k", *SAMPLE, *SMALL, "callbacks=last_epochs", "task.test_beam=2")


def rows_of(run: Path) -> list[list[str]]:
    lines = (run / "translations.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines[1:]]


def test_bleu_matches_sacrebleu(translator: Finished) -> None:
    _, references, written = zip(*rows_of(translator.folder), strict=True)
    for name, options in (("bleu", {}), ("bleu_lowercase", {"lowercase": True})):
        expected = sacrebleu.corpus_bleu(list(written), [list(references)], **options).score
        assert translator.results[f"test/{name}"] == pytest.approx(expected, abs=1e-4)
    scores = json.loads((translator.folder / "scores.json").read_text(encoding="utf-8"))
    assert "case:lc" in scores["bleu_lowercase"]
    assert "tok:13a" in scores["bleu"]


@pytest.mark.slow
def test_limited_test_skips_extra_beams(workdir: Path) -> None:
    run = trained(workdir, "task=multi30k", *SAMPLE, *SMALL, "debug=fast", "task.extra_beams=[2,3]")
    assert "test/bleu" in run.results
    assert not [name for name in run.results if "beam" in name]
    (line,) = [line for line in run.ended.err.splitlines() if "Skipped the further tests of task.extra_beams" in line]
    assert "task.extra_beams=[2,3]: they need the whole test split, which trainer.limit_test_batches=2 limits" in line


def test_samples_of_equal_sentences_differ_between_batches(translator: Finished, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("Ein Mann läuft.\n" * 2 * BATCH, encoding="utf-8")
    asked = ("translate", translator.folder, "--seed", "1")
    lines = sluice(*asked, "--file", file).out.splitlines()
    assert len(lines) == 2 * BATCH
    assert lines[:BATCH] == sluice(*asked, *["Ein Mann läuft."] * BATCH).out.splitlines() != lines[BATCH:]
    assert sluice(*asked, "--file", file).out.splitlines() == lines


def test_checkpoint_alone_reproduces_test_translations(translator: Finished, tmp_path: Path) -> None:
    checkpoint = tmp_path / "alone.ckpt"
    checkpoint.write_bytes((translator.folder / "best.ckpt").read_bytes())
    rows = rows_of(translator.folder)[:5]
    lines = json_lines(sluice("translate", checkpoint, *(row[0] for row in rows), "--beam", "2", "--json"))
    assert [line["translations"][0]["text"] for line in lines] == [row[2] for row in rows]
    attention = lines[0]["translations"][0]["attention"]
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in attention["weights"])
    assert len(attention["source"]) == len(attention["weights"][0])


def test_translate_writes_n_best_and_attention_plot(translator: Finished, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("Ein Mann läuft.\nEine Frau singt laut.\n", encoding="utf-8")
    picture = tmp_path / "looked.png"
    ended = sluice("translate", translator.folder, "--file", file, "--n-best", "3", "--attention", picture)
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 6
    assert f"Wrote {picture}\n" in ended.err
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_each_line_gives_one_line(translator: Finished, tmp_path: Path) -> None:
    lines = ["Ein Mann läuft.", "", " \t\x0c", "😀 Zzyzx\u2028Qqq!", "Mann " * 10_000, "", "Eine Frau."]
    file = tmp_path / "lines.txt"
    file.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", newline="")
    read = sluice("translate", translator.folder, "--file", file, "--beam", "1")
    assert read.code == 0, read.err
    assert "note: sentence 5 has 10000 tokens and was truncated to 100" in read.err
    written = read.out.split("\n")[:-1]
    assert [bool(line) for line in written] == [bool(line.strip()) for line in lines]
    assert written == [*sluice("translate", translator.folder, *lines, "--beam", "1").out.split("\n")[:-1]]
    assert (
        written == sluice("translate", translator.folder, "--beam", "1", stdin=file.read_bytes()).out.split("\n")[:-1]
    )


any_lines = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=12), min_size=1)


@given(any_lines)
@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_gives_one_line(translator: Finished, tmp_path: Path, lines: list[str]) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8-sig"))
    written = sluice("translate", translator.folder, "--file", file, "--beam", "1").out.split("\n")
    assert len(written) == len(lines) + 1
    assert all(not text for line, text in zip(lines, written, strict=False) if not line.strip())


def test_blank_lines_have_no_translations(translator: Finished, tmp_path: Path) -> None:
    picture = tmp_path / "looked.png"
    ended = sluice(
        "translate", translator.folder, "", "Ein Mann.", "", "--json", "--n-best", "2", "--attention", picture
    )
    assert [(line["source"], len(line["translations"])) for line in json_lines(ended)] == [
        ("", 0),
        ("Ein Mann.", 2),
        ("", 0),
    ]
    assert picture.is_file()
    listed = sluice("translate", translator.folder, "", "Ein Mann.", "--n-best", "2").out.split("\n")
    assert [bool(line) for line in listed] == [False, False, True, True, False]


def test_blank_phrases_are_skipped(translator: Finished) -> None:
    ended = sluice("embeddings", translator.folder, "phrases", "--json", stdin="Ein Mann\n\n \nEine Frau\n")
    assert [line["phrase"] for line in json_lines(ended)] == ["Ein Mann", "Eine Frau"]
    assert ended.err.splitlines()[-1] == "note: 2 blank phrases were skipped"


def test_bleu_tokenizer_is_set_for_evaluation(translator: Finished) -> None:
    changed = ("--set", "bleu_tokenizer=char", "--json", "--data-dir", translator.home / "data")
    (line,) = json_lines(sluice("evaluate", translator.folder, *changed))
    assert "|tok:char|" in line["signatures"]["bleu"]
    assert line["bleu"] != pytest.approx(translator.results["test/bleu"])
    assert line["chrf"] == pytest.approx(translator.results["test/chrf"])


def test_evaluate_reproduces_test_metrics(translator: Finished) -> None:
    (line,) = json_lines(sluice("evaluate", translator.folder, "--data-dir", translator.home / "data", "--json"))
    for name in ("loss", "bleu", "chrf"):
        assert line[name] == pytest.approx(translator.results[f"test/{name}"], rel=1e-5)


def test_last_checkpoints_are_averaged(translator: Finished) -> None:
    shutil.copy(translator.folder / "best.ckpt", translator.folder / "epoch-0-mine.ckpt")  # is left out
    ended = sluice("average", translator.folder)
    assert ended.code == 0, ended.err
    assert sluice("translate", translator.folder / "average.ckpt", "Ein Mann.").code == 0


@pytest.mark.slow
def test_parallel_file_with_subwords_and_input_feeding(workdir: Path) -> None:
    pairs = [f"{a} {b} {c}\t{c} {b} {a}" for a in "abcd" for b in "efgh" for c in "ijkl"]
    (workdir / "mine.tsv").write_text("\n".join([*pairs, "\t"]) + "\n", encoding="utf-8")
    own = (f"task.data.path={workdir / 'mine.tsv'}", "task.text.unit=subwords", "task.text.subword_size=280")
    how = ("task.attention=additive", "task.decoder.input_feeding=true", "model=gru")
    ended = train("task=parallel", *own, *how, *SMALL, *paths_in(workdir))
    assert ended.code == 0, ended.err
    assert "Dropped 1 train pairs with an empty source or target" in ended.err + ended.out


WRONG = {
    "unknown attention": (["task.attention=foo"], "must be one of none, additive"),
    "unequal sizes with dot attention": (["task.attention=dot", "task.decoder.hidden_size=7"], "make them equal"),
    "bidirectional decoder": (["task.decoder.bidirectional=true"], "always unidirectional"),
    "unknown language": (["task.data.source_language=xx", "task.data.source=local"], "xx"),
    "zero beam": (["task.decoding.beam=0"], "task.decoding.beam=0 cannot be used: it must be at least 1"),
    "adversarial training": (["embedding.adversarial_epsilon=0.1"], "for tasks that classify"),
    "embedding file for tied weights": (
        [
            "task.text.joint=true",
            "task.tie_weights=all",
            "task.decoder.output_size=8",
            f"task.decoder.embedding_path={__file__}",
        ],
        "cannot be used: task.tie_weights=all",
    ),
}


@pytest.mark.parametrize(("settings", "expected"), WRONG.values(), ids=WRONG)
def test_invalid_settings_are_reported(workdir: Path, settings: list[str], expected: str) -> None:
    ended = train("task=multi30k", *SAMPLE, *SMALL, *settings, *paths_in(workdir))
    assert expected in error_of(ended)


@pytest.mark.slow
def test_pretrained_vectors_for_both_languages(workdir: Path, translator: Finished) -> None:
    source, target = (rows_of(translator.folder)[0][side].lower().split()[0] for side in (0, 1))
    numbers = {source: [1.0, -1.0] * 4, target: [0.5] * 8}
    for name, word in (("from.txt", source), ("into.txt", target)):
        (workdir / name).write_text(f"{word} {' '.join(map(str, numbers[word]))}\n", encoding="utf-8")
    begin = ("embedding.path=from.txt", "embedding.frozen=true", "task.decoder.embedding_path=into.txt")
    run = trained(workdir, "task=multi30k", *SAMPLE, *SMALL, *begin, "trainer.max_epochs=1", "optimizer.lr=1e-9")
    model = load_model(run.folder)
    found = [
        (Vocab(model.parts["source"]["vocab"]), source, model.network.source_embedding),
        (Vocab(model.parts["target"]["vocab"]), target, model.network.decoder.embedding),
    ]
    for vocab, word, embedding in found:
        (index,), expected = vocab.encode([word]), numbers[word]
        torch.testing.assert_close(embedding.table.weight[index], torch.tensor(expected), atol=1e-5, rtol=0)


def test_parallel_files_of_unequal_length_are_reported(workdir: Path) -> None:
    (workdir / "a.de").write_text("eins\nzwei\ndrei\n", encoding="utf-8")
    (workdir / "a.en").write_text("one\ntwo\n", encoding="utf-8")
    own = (f"task.data.path={workdir / 'a.de'}", f"task.data.target_path={workdir / 'a.en'}")
    error = error_of(train("task=parallel", *own, *SMALL, *paths_in(workdir)))
    assert "3" in error
    assert "2" in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["x", "--beam", "0"], "beam must be at least 1"),
        (["x", "--file", "y"], "give sentences or --file, not both"),
        (["x", "--attention", "/nowhere/a.png"], "cannot be written"),
    ],
    ids=joined,
)
def test_invalid_translate_arguments_are_reported(translator: Finished, arguments: list[str], expected: str) -> None:
    assert expected in error_of(sluice("translate", translator.folder, *arguments))


def test_commands_refuse_models_of_another_kind(translator: Finished, finished: Finished) -> None:
    assert "needs a model that translates" in error_of(sluice("translate", finished.folder, "x"))
    assert "needs a model that classifies" in error_of(sluice("predict", translator.folder, "x"))
