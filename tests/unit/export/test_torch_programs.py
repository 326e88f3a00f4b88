"""Programs of torch.export equal the network at other sizes, in a process without Sluice."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from sluice.errors import UserError
from sluice.export.programs import programs_of
from sluice.export.torch_program import exported_program, program_bytes
from small_networks import (
    BEGIN,
    random_batches,
    small_classifier,
    small_language_model,
    small_pair_classifier,
    small_seq2seq,
)

pytestmark = pytest.mark.export
WITHOUT_SLUICE = """
import sys
sys.modules["sluice"] = None  # an import raises an ImportError
import torch
module = torch.export.load(sys.argv[1]).module()
cases = torch.load(sys.argv[2])
with torch.no_grad():
    torch.save([module(given) for given in cases], sys.argv[3])
"""


def exported(network: nn.Module, folder: Path) -> list[Path]:
    """Files of the programs of a network."""
    paths = []
    for program in programs_of(network):
        paths.append(folder / f"{program.name or 'network'}.pt2")
        paths[-1].write_bytes(program_bytes(exported_program(program, network)))
    return paths


def run_without_sluice(path: Path, cases: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    given, found = path.with_suffix(".given"), path.with_suffix(".found")
    torch.save(cases, given)
    command = [sys.executable, "-c", WITHOUT_SLUICE, str(path), str(given), str(found)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=path.parent)
    assert ended.returncode == 0, ended.stderr
    outputs: list[dict[str, Tensor]] = torch.load(found)
    return outputs


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm_peephole", {"bidirectional": True, "pooling": "attention", "embedding": "onehot"}),
        ("gru_reset_before", {"padding": "left", "pooling": "last", "initial_state": "learned"}),
        ("gru", {"max_n": 3}),
    ],
)
def test_classifier_without_sluice(cell: str, options: dict[str, object], tmp_path: Path) -> None:
    network = small_classifier(cell=cell, **options)  # type: ignore[arg-type]
    (path,) = exported(network, tmp_path)
    batches = list(random_batches(1))
    found = run_without_sluice(path, [{"ids": ids, "lengths": lengths} for ids, lengths in batches])
    for (ids, lengths), outputs in zip(batches, found, strict=True):
        assert_close(outputs["probabilities"], network(ids, lengths).logits.softmax(-1))


@torch.no_grad()
def test_language_model_without_sluice(tmp_path: Path) -> None:
    network = small_language_model(cell="lstm_coupled", hidden_size=[5, 6])
    (path,) = exported(network, tmp_path)
    for ids, _ in random_batches(1, [(2, 7)]):
        lengths, first = torch.full((len(ids),), ids.shape[1]), network(ids)
        state = {"hidden_1": first.state[0].hidden, "cell_1": first.state[0].cell}
        state |= {"hidden_2": first.state[1].hidden, "cell_2": first.state[1].cell}
        (found,) = run_without_sluice(path, [{"ids": ids, "lengths": lengths, **state}])
        expected = network(ids, first.state)
        scores = network.head.log_probabilities(expected.features.flatten(0, 1))
        assert_close(found["log_probabilities"].flatten(0, 1).exp(), scores.exp())
        assert_close(found["next_cell_2"], expected.state[1].cell)


@torch.no_grad()
def test_encoder_and_decoder_without_sluice(tmp_path: Path) -> None:
    network = small_seq2seq("lstm", "lstm_layernorm", attention="additive", bridge="learned", feeding=True)
    encoder, decoder = exported(network, tmp_path)
    for source, lengths in random_batches(1, [(4, 6)]):
        words, state = torch.full((len(source),), BEGIN), network.encode(source, lengths)
        (given,) = run_without_sluice(encoder, [{"source": source, "source_lengths": lengths}])
        (found,) = run_without_sluice(decoder, [{"words": words, **given}])
        expected = network.step(words, state)
        assert expected.weights is not None
        assert_close(found["log_probabilities"].exp(), expected.logits.softmax(-1))
        assert_close(found["weights"], expected.weights)


def test_segments_are_refused() -> None:
    network = small_classifier(cell="gru", segment=4)
    (program,) = programs_of(network)
    with pytest.raises(UserError, match="segment_length=4 cannot be expressed"):
        exported_program(program, network)


def test_graph_has_only_operators_of_torch(tmp_path: Path) -> None:
    network = small_pair_classifier("lstm")
    (program,) = programs_of(network)
    exported_pairs = exported_program(program, network)
    parts = [part for part in exported_pairs.graph_module.modules() if isinstance(part, GraphModule)]
    called = {str(node.target) for part in parts for node in part.graph.nodes if node.op == "call_function"}
    assert {name for name in called if not name.startswith(("aten.", "<built-in function getitem>"))} == {"scan"}
    path = tmp_path / "pairs.pt2"
    path.write_bytes(program_bytes(exported_pairs))
    with zipfile.ZipFile(path) as archive:
        assert not [
            name for name in archive.namelist() if str(Path(__file__).parents[3]).encode() in archive.read(name)
        ]
