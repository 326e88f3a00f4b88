"""Replacing `<unk>` with the most-attended source word."""

import torch

from sluice.decoding.unk_replacement import replace_unknowns

SOURCE = ["Frau", "Müller", "schläft"]


def test_unk_becomes_the_most_attended_source_word() -> None:
    weights = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1], [0.2, 0.2, 0.5, 0.1], [0.0, 0.0, 0.0, 1.0]])
    assert replace_unknowns(["Mrs", "<unk>", "<unk>"], weights, SOURCE, "<unk>") == ["Mrs", "Müller", "schläft"]


def test_source_end_and_padding_are_ignored() -> None:
    weights = torch.tensor([[0.0, 0.2, 0.1, 0.7, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]])
    assert replace_unknowns(["<unk>"], weights, SOURCE, "<unk>") == ["Müller"]


def test_unk_is_kept_without_attention() -> None:
    assert replace_unknowns(["a", "<unk>"], None, SOURCE, "<unk>") == ["a", "<unk>"]
    assert replace_unknowns(["<unk>"], torch.ones(2, 1), [], "<unk>") == ["<unk>"]
