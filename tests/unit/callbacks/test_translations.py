"""What TensorBoard gets of translations: the same sentences every time, and maps with words on their axes."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sluice.callbacks import translations as module
from sluice.callbacks.translations import Translations
from sluice.inference.translator import Translation, attention_map
from sluice.modules.translation import Scored


class Writer:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str, int]] = []
        self.figures: list[tuple[str, Any, int]] = []

    def add_text(self, tag: str, text: str, step: int) -> None:
        self.texts.append((tag, text, step))

    def add_figure(self, tag: str, figure: Any, step: int) -> None:
        self.figures.append((tag, figure, step))


def scored(place: int, *, attention: bool = True) -> Scored:
    weights = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]]) if attention else None
    translation = Translation(f"Dog {place}.", [f"$Dog{place}"], ["<Hund>", str(place)], weights, -0.5)
    return Scored(place, f"A *dog* {place}.", f"Ein <Hund> {place}.", translation)


def shown(
    callback: Translations, batches: list[list[Scored]], monkeypatch: pytest.MonkeyPatch, *, sanity: bool = False
) -> Writer:
    writer = Writer()
    monkeypatch.setattr(module, "find_writer", lambda trainer: writer)
    trainer: Any = SimpleNamespace(sanity_checking=sanity, global_step=7)
    for place, batch in enumerate(batches):
        callback.on_validation_batch_end(trainer, None, {"translations": batch}, None, place)  # type: ignore[arg-type]
    callback.on_validation_epoch_end(trainer, None)  # type: ignore[arg-type]
    return writer


BATCHES = [[scored(place) for place in places] for places in ((9, 3, 0), (8, 5, 1), (2, 4, 6, 7))]


def test_sentences_at_even_distances_in_the_corpus_s_order(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = Translations(size=10, count=3, maps=2)
    for _ in range(2):
        writer = shown(callback, BATCHES, monkeypatch)
        ((tag, text, step),) = writer.texts
        assert (tag, step) == ("val/translations", 6)
        lines = text.split("\n")
        assert [line.split("**")[-1].strip() for line in lines[2::3]] == ["Dog 0.", "Dog 3.", "Dog 6."]
        assert [name for name, *_ in writer.figures] == ["val/attention 1", "val/attention 2"]


def test_markup_in_a_sentence_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, text, _), *_ = shown(Translations(size=10, count=1), BATCHES, monkeypatch).texts
    assert r"Ein &lt;Hund> 0." in text
    assert r"A \*dog\* 0." in text


def test_nothing_of_a_sanity_check_and_no_maps_without_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = Translations(size=10, count=3)
    writer = shown(callback, BATCHES, monkeypatch, sanity=True)
    assert writer.texts == writer.figures == []
    writer = shown(callback, [[scored(0, attention=False)]], monkeypatch)
    assert len(writer.texts) == 1
    assert writer.figures == []


def test_words_stand_on_the_axes() -> None:
    figure = attention_map(scored(4).translation)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["<Hund>", "4", "<eos>"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$Dog4", "<eos>"]
    assert torch.equal(torch.tensor(axes.images[0].get_array()), torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]]))


def test_a_map_can_be_written_and_leaves_pyplot_alone(tmp_path: Any) -> None:
    path = tmp_path / "map.png"
    attention_map(scored(4).translation).savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_no_map_without_attention() -> None:
    with pytest.raises(ValueError, match="without attention has no attention weights"):
        attention_map(scored(0, attention=False).translation)
