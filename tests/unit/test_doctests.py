"""The examples in docstrings run and print what they show."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

import sluice
from sluice.data import LabelledTexts, SentencePairs, TextLines
from sluice.inference import InferenceModel, Trace

SOURCE = Path(__file__).resolve().parents[2] / "src"
EXAMPLE = re.compile(r"^ *>>> (?!.*\+SKIP)", re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    files = [file for file in sorted(SOURCE.rglob("*.py")) if EXAMPLE.search(file.read_text(encoding="utf-8"))]
    names = [file.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".") for file in files]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried = doctest.testmod(import_module(name), optionflags=FLAGS)
    assert tried.attempted > 0
    assert tried.failed == 0


API = (
    *(sluice.Classifier, sluice.Embeddings, sluice.LanguageModel, sluice.PairClassifier, sluice.Tagger),
    *(sluice.Translator, InferenceModel, Trace, LabelledTexts, SentencePairs, TextLines),
)
WITHOUT_EXAMPLE = {"item", "documents", "lines", "pairs"}
"""Methods for other parts of Sluice."""


@pytest.mark.parametrize("kind", API, ids=lambda kind: kind.__name__)
def test_api_has_examples(kind: type) -> None:
    methods = {name: member for name, member in vars(kind).items() if not name.startswith("_") and callable(member)}
    methods |= {name: member.__func__ for name, member in vars(kind).items() if isinstance(member, classmethod)}
    documented = {name for name, method in methods.items() if ">>>" in (method.__doc__ or "")}
    assert set(methods) - documented <= WITHOUT_EXAMPLE
    assert ">>>" in (kind.__doc__ or "") or kind is InferenceModel


def test_main_classes_have_examples() -> None:
    expected = {
        *("sluice.recurrent.stack", "sluice.recurrent.cells.base", "sluice.decoding.beam", "sluice.layers.embedding"),
        *("sluice.data.samplers", "sluice.data.classification", "sluice.text.vocab", "sluice.inference.language_model"),
        *("sluice.models.classifier", "sluice.models.language", "sluice.models.seq2seq"),
    }
    assert expected <= set(modules_with_examples())
