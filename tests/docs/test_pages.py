"""Every fenced command of README.md and docs/ runs, page by page and in order, on small data (`pytest -m docs`)."""

from pathlib import Path
from unittest.mock import patch

import pytest
from pages import ROOT, Command, read_page, run

from sluice.recurrent import CELLS

pytestmark = pytest.mark.docs
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SENTENCES = {
    "de": "ein Mann fährt .\neine Frau steht .\nein Hund läuft .\n",
    "en": "a man drives .\na woman stands .\na dog runs .\n",
}
TAGGED = "we\tPRP\tO\nmet\tVBD\tO\nTamsin\tNNP\tB-PER\nVale\tNNP\tI-PER\n\nshe\tPRP\tO\nran\tVBD\tO\n\n"
CONLLU = "1\tWe\twe\tPRON\tPRP\t_\t2\tnsubj\t_\t_\n2\tmet\tmeet\tVERB\tVBD\t_\t0\troot\t_\t_\n\n"
WORDS = ("the", "a", "was", "it", "and", "of", "good", "bad", "film", "movie")


NEEDED = {"export": ("onnx", "onnxruntime", "safetensors"), "tools": ("mlflow", "wandb", "optuna")}
"""Packages that a page needs."""


@pytest.fixture
def home(workdir: Path) -> Path:
    """A working directory with the user's files that the pages name."""
    rows = [(f"it was {'good' if number % 2 else 'bad'} number {number}", number % 2) for number in range(40)]
    table = "".join(f'"{text}","{text}",{"pos" if good else "neg"},{5 if good else 1}\n' for text, good in rows)
    pairs = "".join(f'"{text}","{text} again",{good},{good}\n' for text, good in rows)
    story = "".join(f"the wind rose and the rain fell in street number {number} .\n" for number in range(300))
    vectors = "".join(f"{word} {' '.join(str(place % 7) for place in range(100))}\n" for word in WORDS)
    contents = {
        "mine.csv": "text,review,label,stars\n" + table,
        "pairs.csv": "a,b,label,same\n" + pairs,
        "reviews.txt": "it was good\nit was bad\n",
        "my.txt": "The rings of the wind .\n",
        **dict.fromkeys(("my_books/one.txt", "my_book.txt", "book.txt"), story),
        **{f"my.{language}": text * 20 for language, text in SENTENCES.items()},
        **dict.fromkeys(("train.conll", "test.conll", "more.conll"), TAGGED * 20),
        "train.conllu": CONLLU * 20,
        "data/glove.6B.100d.txt": vectors,
    }
    for name, content in contents.items():
        (workdir / name).parent.mkdir(parents=True, exist_ok=True)
        (workdir / name).write_text(content, encoding="utf-8")
    return workdir


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_run(home: Path, path: Path) -> None:
    for package in NEEDED.get(path.stem, ()):
        pytest.importorskip(package)
    page = read_page(path)
    for name, content in page.files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content, encoding="utf-8")
    with patch.dict(CELLS):  # pages may register cells of one name
        run_all(page.commands, home)


def run_all(commands: list[Command], home: Path) -> None:
    for command in commands:
        for ended in run(command, home):
            assert ended.code == 0, f"{command}\n{ended.err}"
