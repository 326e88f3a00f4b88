"""Scores equal those of the sacrebleu command line."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu
from sacrebleu.tokenizers import tokenizer_ja_mecab

from sluice.data.synthetic.parallel import SampleParallel
from sluice.errors import UserError
from sluice.metrics.translation_scores import SCORES, corpus_scores, exact_match_scoring, translation_scoring


def corpus() -> tuple[list[str], list[str]]:
    """References, and translations with words dropped and capitalised."""
    rng, references = random.Random(0), [pair.target for pair in SampleParallel(size=60).pairs()]
    translations = []
    for text in references:
        words = [word for word in text.split() if rng.random() > 0.1]
        words = [word.upper() if rng.random() < 0.1 else word for word in words]
        translations.append(" ".join(words))
    return translations, references


def command_line(tmp_path: Path, *options: str) -> dict[str, object]:
    """Output of the sacrebleu command line."""
    translations, references = corpus()
    for name, texts in (("hyp", translations), ("ref", references)):
        (tmp_path / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-w", "6", "-f", "json", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    output: dict[str, object] = json.loads(done.stdout)
    return output


@pytest.mark.parametrize(
    ("name", "options"),
    [("bleu", ["-m", "bleu"]), ("bleu_lowercase", ["-m", "bleu", "-lc"]), ("chrf", ["-m", "chrf"])],
)
def test_scores_equal_the_sacrebleu_command_line(tmp_path: Path, name: str, options: list[str]) -> None:
    expected = command_line(tmp_path, *options)
    scores = corpus_scores(*corpus())
    assert scores[name] == pytest.approx(expected["score"], abs=1e-5)
    assert 10 < scores[name] < 95
    assert translation_scoring().signatures()[name] == expected["signature"]


def test_lower_case_ignores_case() -> None:
    scores = corpus_scores(*corpus())
    assert tuple(scores) == SCORES
    assert scores["bleu_lowercase"] > scores["bleu"] + 1
    assert corpus_scores(["A DOG RUNS HERE ."], ["a dog runs here ."])["bleu_lowercase"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("tokenizer", "language", "expected"),
    [
        ("auto", "", "13a"),
        ("auto", "fr", "13a"),
        ("auto", "zh", "zh"),
        ("auto", "zh-TW", "zh"),
        ("13a", "zh", "13a"),
        ("intl", "de", "intl"),
        ("char", "ja", "char"),
    ],
)
def test_bleu_tokenizer_follows_the_language(tokenizer: str, language: str, expected: str) -> None:
    scoring = translation_scoring(tokenizer, language)
    assert f"|tok:{expected}|" in scoring.signatures()["bleu"]
    options = {"tokenize": expected}
    texts, references = ["我喜欢这部电影，他说。", "A 3-metre wall."], ["我喜欢那部电影，她说。", "A 3-metre wall!"]
    assert scoring.score(texts, references)["bleu"] == pytest.approx(
        sacrebleu.corpus_bleu(texts, [references], **options).score
    )


def test_missing_tokenizer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    expected = (
        r"auto selects ja-mecab, which needs the missing package sacrebleu\[ja\]: pip install 'sacrebleu\[ja\]', or"
    )
    with pytest.raises(UserError, match=expected):
        translation_scoring("auto", "ja")
    with pytest.raises(UserError, match=r"^task\.bleu_tokenizer=ja-mecab needs the missing package"):
        translation_scoring("ja-mecab", "en")


def test_empty_texts_are_scored() -> None:
    assert corpus_scores(["", "the dog runs home"], ["the", "the dog runs home"])["bleu"] > 50
    assert set(corpus_scores(["", ""], ["", ""]).values()) == {0}


GATHER = """
import sys
from datetime import timedelta
import torch.distributed as dist
from sluice.modules.translation import _gather
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=sys.argv[2], rank=rank, world_size=2, timeout=timedelta(seconds=60))
parts = _gather([(index, f"text {index}") for index in ((0, 2, 4) if rank == 0 else (1,))])
assert parts == [[(0, "text 0"), (2, "text 2"), (4, "text 4")], [(1, "text 1")]], parts
"""


@pytest.mark.slow
def test_sentences_of_all_ranks_are_gathered(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GATHER]
    ranks = [subprocess.Popen([*command, str(rank), f"file://{tmp_path / 'meet'}"]) for rank in (0, 1)]
    try:
        assert [process.wait(120) for process in ranks] == [0, 0]
    finally:
        for process in ranks:
            process.kill()


def test_exact_match_compares_tokens() -> None:
    characters, words = exact_match_scoring(list), exact_match_scoring(str.split)
    assert characters.names == ("exact",)
    assert characters.signatures() == {}
    assert characters.score(["12", "1", "-3", "4"], ["12", "12", "3", "4"]) == {"exact": 0.5}
    assert characters.score(["a  b"], ["a b"]) == {"exact": 0}
    assert words.score(["a  b"], ["a b"]) == {"exact": 1}
