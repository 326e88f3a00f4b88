"""SavedModel: vocabularies of earlier versions."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sluice.config.schema import Config
from sluice.runs.saved_model import SavedModel

SPLIT = ["<unk>", "क", "ि", "त", "ा", "ब", "ी"]


def model_of(parts: dict[str, object], **text: str) -> SavedModel:
    """A model with these vocabularies and settings of the text."""
    config = cast(Config, SimpleNamespace(task=SimpleNamespace(text=SimpleNamespace(**text))))
    return SavedModel(Path("best.ckpt"), config, None, parts, "file")


@pytest.mark.parametrize(
    ("parts", "text", "expected"),
    [
        ({"vocab": SPLIT}, {"tokenizer": "words"}, True),
        ({"source": {"vocab": ["a"]}, "target": {"vocab": SPLIT}}, {"unit": "words", "tokenizer": "moses"}, True),
        ({"vocab": ["<unk>", "किताब", "में"]}, {"tokenizer": "words"}, False),
        ({"vocab": SPLIT}, {"tokenizer": "whitespace"}, False),
        ({"vocab": SPLIT}, {"unit": "chars", "tokenizer": "words"}, False),
        ({}, {"tokenizer": "words"}, False),
    ],
    ids=["words", "translation", "whole-words", "whitespace", "characters", "no-vocabulary"],
)
def test_words_split_at_marks_are_found(parts: dict[str, object], text: dict[str, str], expected: bool) -> None:
    assert model_of(parts, **text).has_split_words is expected
