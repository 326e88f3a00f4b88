"""Weights of another run are assigned to the same words under any ids."""

from pathlib import Path

import pytest
import torch

from running import Finished
from sluice.models.classifier import TextClassifier
from sluice.recipes.load import load_model
from sluice.recipes.registry import recipe_named
from sluice.training.warm_start import warm_start


def make_network(finished: Finished, words: int, kind: str = "learned") -> TextClassifier:
    config = load_model(finished.folder).config
    config.embedding.kind = kind
    network = recipe_named("imdb").build_network(config, {"vocab": range(words), "labels": ["neg", "pos"]})
    assert isinstance(network, TextClassifier)
    return network


def test_word_keeps_its_vector_under_another_id(finished: Finished) -> None:
    saved = load_model(finished.folder)
    words = ["<unk>", "<pad>", "never-seen", *reversed(saved.vocab.tokens[2:])]
    network = make_network(finished, len(words))
    before = network.embedding.table.weight.detach().clone()
    warm_start(network, {"vocab": words, "labels": list(saved.labels)}, finished.folder, recipe_named("imdb"))
    own, theirs = network.embedding.table.weight, saved.network.embedding.table.weight
    assert torch.equal(own[2], before[2])
    for word in ("<unk>", saved.vocab.tokens[2], saved.vocab.tokens[-1]):
        assert torch.equal(own[words.index(word)], theirs[saved.vocab.tokens.index(word)])


def test_output_layer_is_not_loaded_for_other_classes(finished: Finished, caplog: pytest.LogCaptureFixture) -> None:
    saved = load_model(finished.folder)
    network = make_network(finished, len(saved.vocab))
    before = network.output.weight.detach().clone()
    warm_start(network, {"vocab": saved.vocab.tokens, "labels": ["bad", "good"]}, finished.folder, recipe_named("imdb"))
    assert torch.equal(network.output.weight, before)
    assert torch.equal(network.recurrent.cells[0].weight_hh, saved.network.recurrent.cells[0].weight_hh)


def test_one_hot_input_weights_are_word_parameters(finished: Finished) -> None:
    network = make_network(finished, 7, kind="onehot")
    shapes = [network.get_parameter(name).shape[0] for name in network.word_parameters]
    assert shapes == [7] * network.recurrent.directions
    assert make_network(finished, 7, kind="index").word_parameters == ()


def test_missing_run_is_refused(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no"):
        warm_start(make_network(finished, 7), {"vocab": [], "labels": []}, tmp_path / "nowhere", recipe_named("imdb"))
