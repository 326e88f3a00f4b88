"""Tokenizer rules of the JSON file, refusals, and the model card; without optional packages."""

import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from running import error_of, sluice
from sluice.errors import UserError
from sluice.export.description import Rules
from sluice.export.example import CLASSIFY, ENCODE, TOKENIZE, python_example
from sluice.export.programs import programs_of
from sluice.recurrent import Cell, HiddenState, register_cell
from sluice.recurrent.cells import CELLS
from sluice.text.tokenization import Tokenization
from small_networks import small_classifier, small_language_model

TEXTS = st.text(alphabet=st.sampled_from("abİß é'’\"().,!?;:-–\n\t\x1c\u2028<br />&ltgX3日"), max_size=40)


def split_by_rules(text: str, rules: dict[str, Any]) -> list[str]:
    """Splits a text by the function that the generated example has."""
    names: dict[str, Any] = {"re": re, "unicodedata": unicodedata}
    exec(TOKENIZE[None], names)
    tokens: list[str] = names["tokenize"](text, rules)
    return tokens


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize(
    ("tokenizer", "unit"), [("words", "words"), ("whitespace", "words"), ("basic_english", "words"), ("words", "chars")]
)
@settings(max_examples=40, deadline=None)
@given(text=TEXTS)
def test_rules_split_as_the_tokenizer(tokenizer: str, unit: str, lowercase: bool, text: str) -> None:
    rules = Rules(tokenizer, unit, lowercase, normalize=True).fields("")
    expected = Tokenization(unit=unit, tokenizer=tokenizer, lowercase=lowercase, normalize=True).make()(text)
    assert split_by_rules(text, rules) == expected


@pytest.mark.parametrize(
    ("tokenizer", "unit", "library"), [("moses", "words", "sacremoses"), ("words", "subwords", "sentencepiece")]
)
def test_rules_name_the_needed_library(tokenizer: str, unit: str, library: str) -> None:
    rules = Rules(tokenizer, unit, subwords=b"model" if unit == "subwords" else None).fields("a.text.model")
    assert (rules["library"], rules["pattern"]) == (library, None)
    assert rules["model"] == ("a.text.model" if unit == "subwords" else None)


def test_custom_cell_is_refused() -> None:
    class LeakyCell(Cell):
        gates = ("new",)

        def step(self, projected: Any, state: Any, recurrent: Any) -> Any:
            return HiddenState(torch.tanh(projected + recurrent(state.hidden))), ()

    register_cell("leaky")(LeakyCell)
    try:
        network = small_classifier(cell="leaky")
    finally:
        del CELLS["leaky"]
    with pytest.raises(UserError, match="the custom cell LeakyCell cannot be exported, only gru"):
        programs_of(network)


def test_custom_network_is_refused() -> None:
    with pytest.raises(UserError, match="the network Linear of a custom task cannot be exported"):
        programs_of(nn.Linear(1, 1))


def test_state_starts_with_the_initial_state() -> None:
    network = small_language_model(cell="lstm", hidden_size=[3, 4], initial_state="learned")
    (program,) = programs_of(network)
    starts = {value.name: value.start for value in program.inputs if value.start is not None}
    assert list(starts) == ["hidden_1", "cell_1", "hidden_2", "cell_2"]
    assert network.recurrent.initial_state is not None
    torch.testing.assert_close(starts["cell_2"], network.recurrent.initial_state[3].detach())


def test_every_kind_has_an_example() -> None:
    rules = Rules("words").fields("")
    common = {"programs": [{"file": "a.onnx"}], "labels": ["x"], "tokenizer": rules}
    for kind in ("TextClassifier", "PairClassifier", "LanguageModel", "Seq2Seq", "SequenceLabeller", "Regressor"):
        compile(python_example({**common, "kind": kind}, "a.json"), "a_example.py", "exec")


def test_page_shows_the_generated_example() -> None:
    page = (Path(__file__).parents[3] / "docs" / "export.md").read_text(encoding="utf-8")
    assert ENCODE.strip() + "\n" + CLASSIFY in page


def test_invalid_options_are_refused(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def error(*options: str) -> str:
        return error_of(sluice("export", "run", *options))

    assert "--format onx is not known: choose one of onnx, torch, safetensors" in error("--format", "onx")
    assert "must end in .pt2" in error("--format", "torch", "--output", "a.onnx")
    assert "there is no folder" in error("--format", "torch", "--output", "no/a.pt2")
    assert "there is no run" in error("--format", "torch")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "--format onnx needs the package onnx: pip install 'sluice-rnn[export]'" in error()
    assert list(workdir.iterdir()) == [workdir / "data"]
