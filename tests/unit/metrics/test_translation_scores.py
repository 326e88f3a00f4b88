"""Scores are those of sacrebleu's command line on the written files."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.data.synthetic.parallel import SampleParallel
from sluice.metrics.translation_scores import SCORES, corpus_scores, exact_match_scoring, signatures


def corpus() -> tuple[list[str], list[str]]:
    """References, and what a translator would make of them: words lost, doubled and written in capitals."""
    rng, references = random.Random(0), [pair.target for pair in SampleParallel(size=60).pairs()]
    translations = []
    for text in references:
        words = [word for word in text.split() if rng.random() > 0.1]
        words = [word.upper() if rng.random() < 0.1 else word for word in words]
        translations.append(" ".join(words))
    return translations, references


def command_line(tmp_path: Path, *options: str) -> dict[str, object]:
    """What sacrebleu itself says of the files."""
    translations, references = corpus()
    for name, texts in (("hyp", translations), ("ref", references)):
        (tmp_path / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-w", "6", "-f", "json", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    said: dict[str, object] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize(
    ("name", "options"),
    [("bleu", ["-m", "bleu"]), ("bleu_lowercase", ["-m", "bleu", "-lc"]), ("chrf", ["-m", "chrf"])],
)
def test_scores_are_those_of_the_command_line(tmp_path: Path, name: str, options: list[str]) -> None:
    said = command_line(tmp_path, *options)
    scores = corpus_scores(*corpus())
    assert scores[name] == pytest.approx(said["score"], abs=1e-5)
    assert 10 < scores[name] < 95
    assert signatures()[name] == said["signature"]


def test_lower_case_forgives_capitals() -> None:
    scores = corpus_scores(*corpus())
    assert tuple(scores) == SCORES
    assert scores["bleu_lowercase"] > scores["bleu"] + 1
    assert corpus_scores(["A DOG RUNS HERE ."], ["a dog runs here ."])["bleu_lowercase"] == pytest.approx(100)


GATHER = """
import sys
from datetime import timedelta
import torch.distributed as dist
from sluice.modules.translation import _gathered
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=sys.argv[2], rank=rank, world_size=2, timeout=timedelta(seconds=60))
parts = _gathered([(place, f"text {place}") for place in ((0, 2, 4) if rank == 0 else (1,))])
assert parts == [[(0, "text 0"), (2, "text 2"), (4, "text 4")], [(1, "text 1")]], parts
"""


@pytest.mark.slow
def test_every_rank_gets_the_sentences_of_all(tmp_path: Path) -> None:
    """However many each has."""
    command = [sys.executable, "-c", GATHER]
    ranks = [subprocess.Popen([*command, str(rank), f"file://{tmp_path / 'meet'}"]) for rank in (0, 1)]
    try:
        assert [process.wait(120) for process in ranks] == [0, 0]
    finally:
        for process in ranks:
            process.kill()


def test_only_answers_are_right_as_a_whole_or_wrong() -> None:
    letters, words = exact_match_scoring(list), exact_match_scoring(str.split)
    assert letters.names == ("exact",)
    assert letters.signatures() == {}
    assert letters.score(["12", "1", "-3", "4"], ["12", "12", "3", "4"]) == {"exact": 0.5}
    assert letters.score(["a  b"], ["a b"]) == {"exact": 0}
    assert words.score(["a  b"], ["a b"]) == {"exact": 1}
