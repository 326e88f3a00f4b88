"""Example translations and attention maps in TensorBoard."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sluice.callbacks import translations as module
from sluice.callbacks.translations import Translations
from sluice.inference.translator import Translation, attention_map
from sluice.modules.translation import ScoredTranslation


class Writer:
    """Records what is written."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str, int]] = []
        self.figures: list[tuple[str, Any, int]] = []

    def add_text(self, tag: str, text: str, step: int) -> None:
        self.texts.append((tag, text, step))

    def add_figure(self, tag: str, figure: Any, step: int) -> None:
        self.figures.append((tag, figure, step))


def make_scored(index: int, *, attention: bool = True) -> ScoredTranslation:
    weights = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]], dtype=np.float32) if attention else None
    translation = Translation(f"Dog {index}.", [f"$Dog{index}"], ["<Hund>", str(index)], weights, -0.5)
    return ScoredTranslation(index, f"A *dog* {index}.", f"Ein <Hund> {index}.", translation)


def run_callback(
    callback: Translations,
    batches: list[list[ScoredTranslation]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    sanity: bool = False,
) -> Writer:
    writer = Writer()
    monkeypatch.setattr(module, "find_writer", lambda trainer: writer)
    trainer: Any = SimpleNamespace(sanity_checking=sanity, global_step=7)
    for index, batch in enumerate(batches):
        callback.on_validation_batch_end(trainer, None, {"translations": batch}, None, index)  # type: ignore[arg-type]
    callback.on_validation_epoch_end(trainer, None)  # type: ignore[arg-type]
    return writer


BATCHES = [[make_scored(index) for index in positions] for positions in ((9, 3, 0), (8, 5, 1), (2, 4, 6, 7))]


def test_sentences_are_evenly_spaced_in_corpus_order(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = Translations(size=10, count=3, maps=2)
    for _ in range(2):
        writer = run_callback(callback, BATCHES, monkeypatch)
        ((tag, text, step),) = writer.texts
        assert (tag, step) == ("val/translations", 6)
        lines = text.split("\n")
        assert [line.split("**")[-1].strip() for line in lines[2::3]] == ["Dog 0.", "Dog 3.", "Dog 6."]
        assert [name for name, *_ in writer.figures] == ["val/attention 1", "val/attention 2"]


def test_markup_in_sentences_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, text, _), *_ = run_callback(Translations(size=10, count=1), BATCHES, monkeypatch).texts
    assert r"Ein &lt;Hund> 0." in text
    assert r"A \*dog\* 0." in text


def test_sanity_check_or_missing_attention_writes_no_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = Translations(size=10, count=3)
    writer = run_callback(callback, BATCHES, monkeypatch, sanity=True)
    assert writer.texts == writer.figures == []
    writer = run_callback(callback, [[make_scored(0, attention=False)]], monkeypatch)
    assert len(writer.texts) == 1
    assert writer.figures == []


def test_attention_map_axes_show_tokens() -> None:
    figure = attention_map(make_scored(4).translation)
    axes, _ = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["<Hund>", "4", "<eos>"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$Dog4", "<eos>"]
    assert torch.equal(torch.tensor(axes.images[0].get_array()), torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]]))


def test_attention_map_is_saved_without_pyplot(tmp_path: Any) -> None:
    path = tmp_path / "map.png"
    attention_map(make_scored(4).translation).savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_attention_map_without_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="without attention has no attention weights"):
        attention_map(make_scored(0, attention=False).translation)
