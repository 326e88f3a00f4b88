"""Language models and encoders with decoders in ONNX Runtime equal the network, step by step."""

import pytest
import torch

pytest.importorskip("onnx", reason="needs the extra export")
pytest.importorskip("onnxruntime", reason="needs the extra export")

from onnx_checks import assert_close, carried, sessions
from torch import Tensor

from sluice.models.language import LanguageModel, LanguageModelOutput
from sluice.models.seq2seq import Seq2Seq
from sluice.models.word2vec import Word2Vec
from sluice.options import ATTENTIONS, BRIDGES
from small_networks import (
    BEGIN,
    BUILT_IN_CELLS,
    WORDS,
    random_batches,
    randomised,
    small_language_model,
    small_seq2seq,
)

CORES = ({"hidden_size": 6}, {"hidden_size": [5, 6], "initial_state": "learned"}, {"hidden_size": 6, "num_layers": 2})
HEADS = ({"head": "full"}, {"head": "full", "tied": True}, {"head": "adaptive"})
pytestmark = pytest.mark.export


def probabilities(network: LanguageModel, output: LanguageModelOutput) -> Tensor:
    features = output.features
    return network.head.log_probabilities(features.flatten(0, 1)).view(*features.shape[:2], -1).exp()


@pytest.mark.parametrize(
    ("core", "head"),
    list(zip(CORES, HEADS, strict=True)),
    ids=["one layer", "unequal, learned, tied", "two layers, adaptive"],
)
@pytest.mark.parametrize("cell", BUILT_IN_CELLS)
@torch.no_grad()
def test_chunks_of_a_text_equal_the_language_model(cell: str, core: dict[str, object], head: dict[str, object]) -> None:
    network = small_language_model(cell=cell, **core, **head)
    (session,) = sessions(network)
    for ids, _ in random_batches(1, [(1, 1), (3, 7)]):
        lengths, state, given = torch.full((len(ids),), ids.shape[1]), None, {}
        for _ in range(3):
            found, expected = session(ids=ids, lengths=lengths, **given), network(ids, state)
            assert_close(torch.from_numpy(found["log_probabilities"]).exp(), probabilities(network, expected))
            given, state = carried(found), expected.state


@torch.no_grad()
def test_prompts_of_different_lengths_have_separate_states() -> None:
    network = small_language_model(cell="lstm", hidden_size=6)
    (session,) = sessions(network)
    for ids, lengths in random_batches(3, [(5, 9)]):
        found = session(ids=ids, lengths=lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = network(ids[row : row + 1, :length])
            assert_close(found["next_hidden"][:, row : row + 1], alone.state.hidden)
            assert_close(found["next_cell"][:, row : row + 1], alone.state.cell)


@torch.no_grad()
def assert_steps_equal(network: Seq2Seq, seed: int) -> None:
    encoder, decoder = sessions(network)
    for source, lengths in random_batches(seed, [(1, 1), (4, 6)]):
        words, state = torch.full((len(source),), BEGIN), network.encode(source, lengths)
        given = encoder(source=source, source_lengths=lengths)
        for step in range(3):
            wanted = {name: given[name] for name in decoder.inputs if name != "words"}
            found, expected = decoder(words=words, **wanted), network.step(words, state)
            assert_close(torch.from_numpy(found["log_probabilities"]).exp(), expected.logits.softmax(-1))
            if expected.weights is not None:
                assert_close(found["weights"], expected.weights)
            state, given = expected.state, {**given, **carried(found)}
            words = (words * 3 + step) % 20


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("bridge", BRIDGES)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_decoder_steps_equal_the_network(attention: str, bridge: str, feeding: bool) -> None:
    embedding = "onehot" if feeding else "learned"
    network = small_seq2seq("lstm", "lstm", attention=attention, bridge=bridge, feeding=feeding, embedding=embedding)
    assert_steps_equal(network, 1)


@pytest.mark.parametrize("cell", BUILT_IN_CELLS)
def test_cells_of_encoder_and_decoder(cell: str) -> None:
    assert_steps_equal(small_seq2seq(cell, "gru", attention="additive", bridge="learned", feeding=True), 2)
    assert_steps_equal(small_seq2seq("gru", cell, attention="general", bridge="last", feeding=True), 3)


def test_word_vectors() -> None:
    network = randomised(Word2Vec(vocab_size=WORDS, size=5))
    (session,) = sessions(network)
    ids = torch.tensor([[3, 5, 29]])
    assert_close(session(ids=ids)["vectors"], network.vectors[ids])
