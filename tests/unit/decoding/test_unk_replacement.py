"""Unknown words take the source word that was looked at most."""

import torch

from sluice.decoding.unk_replacement import replace_unknowns

SOURCE = ["Frau", "Müller", "schläft"]


def test_the_word_looked_at_most_is_taken_as_it_stands() -> None:
    weights = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1], [0.2, 0.2, 0.5, 0.1], [0.0, 0.0, 0.0, 1.0]])
    assert replace_unknowns(["Mrs", "<unk>", "<unk>"], weights, SOURCE, "<unk>") == ["Mrs", "Müller", "schläft"]


def test_the_source_s_end_and_padding_are_no_words() -> None:
    weights = torch.tensor([[0.0, 0.2, 0.1, 0.7, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]])
    assert replace_unknowns(["<unk>"], weights, SOURCE, "<unk>") == ["Müller"]


def test_without_attention_they_stay() -> None:
    assert replace_unknowns(["a", "<unk>"], None, SOURCE, "<unk>") == ["a", "<unk>"]
    assert replace_unknowns(["<unk>"], torch.ones(2, 1), [], "<unk>") == ["<unk>"]
