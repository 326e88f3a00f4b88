"""`sluice inspect` shows activations and gradients as JSON, plots and TensorBoard images."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from running import SAMPLE, Finished, error_of, joined, json_lines, paths_in, sluice, train, trained
from sluice.analysis.gradients import gradient_norms
from sluice.cli import inspect as inspecting
from sluice.cli import inspect_gradients as gradient_curves
from sluice.recipes.load import load_model
from sluice.recipes.registry import recipe_of

FEW = ("trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "model.hidden_size=6")
TEXT = "B a X c b Y d E"


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished two-layer run on temporal order; read-only."""
    home = tmp_path_factory.mktemp("order")
    sizes = ("task.data.size=64", "task.data.val_size=20", "task.data.test_size=16", "model.num_layers=2")
    return trained(home, "task=temporal_order", "embedding=onehot", *sizes, *FEW)


@pytest.fixture
def run(order: Finished, tmp_path: Path) -> Path:
    """A copy of the run for tests that write plots."""
    return Path(shutil.copytree(order.folder, tmp_path / "run"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures saved during the test."""
    figures: list[Figure] = []
    for module in (inspecting, gradient_curves):
        save = module.save_figure

        def kept(figure: Figure, path: Path, save: Callable[..., None] = save) -> None:
            figures.append(figure)
            save(figure, path)

        monkeypatch.setattr(module, "save_figure", kept)
    return figures


def plots(figure: Figure) -> list[Axes]:
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def traced(folder: Path, layer: int) -> Any:
    """The trace of TEXT, computed by the network."""
    model = load_model(folder)
    ids = torch.tensor([model.vocab.encode(TEXT.split())])
    with torch.no_grad():
        return model.network.recurrent.trace(model.network.embed(ids), torch.tensor([8])).cells[layer - 1]


def test_json_matches_the_trace(run: Path) -> None:
    (line,) = json_lines(sluice("inspect", run, TEXT, "--units", "5,0-2", "--layer", "1", "--gates", "--json"))
    own = traced(run, 1)
    assert line["symbols"] == TEXT.split()
    assert (line["units"], line["layer"], line["layers"], line["direction"]) == ([5, 0, 1, 2], 1, 2, "forward")
    assert list(line["states"]) == ["hidden", "cell"]
    assert list(line["gates"]) == ["input", "forget", "candidate", "output"]
    for name, values in (own.states._asdict() | own.gates).items():
        printed = (line["states"] | line["gates"])[name]
        np.testing.assert_allclose(printed, values[0][:, [5, 0, 1, 2]].numpy(), rtol=1e-6)
    for name in ("input", "forget", "output"):
        assert 0 <= np.min(line["gates"][name]) <= np.max(line["gates"][name]) <= 1
    assert not (run / "inspect").exists(), "--json writes a plot only on request"


def test_heatmaps_match_the_trace(run: Path, drawn: list[Figure]) -> None:
    ended = sluice("inspect", run, TEXT, "--units", "1,3", "--gates")
    assert ended.code == 0, ended.err
    (figure,) = drawn
    own = traced(run, 2)
    values = own.states._asdict() | own.gates
    *axes, predicted = plots(figure)
    assert len(axes) == len(values) == 6
    for axis, (name, part) in zip(axes, values.items(), strict=True):
        chosen = part[0][:, [1, 3]].numpy()
        np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), chosen.T, rtol=1e-6)
        assert [label.get_text() for label in axis.get_xticklabels()] == TEXT.split()
        assert [label.get_text() for label in axis.get_yticklabels()] == ["1", "3"]
        assert name in axis.get_title(loc="left")
        limits = (0, 1) if name in ("input", "forget", "output") else (-np.abs(chosen).max(), np.abs(chosen).max())
        assert axis.images[0].get_clim() == pytest.approx(limits), "no value is beyond the last colour"
        marked = [label.get_text() for label in axis.get_xticklabels() if label.get_weight() == "bold"]
        assert marked == ["X", "Y"]
    (line,) = json_lines(sluice("inspect", run, TEXT, "--json"))
    assert line["decisive"] == [2, 5]
    shown = [step["prediction"] for step in line["predictions"]]
    assert [label.get_text() for label in predicted.get_xticklabels()] == shown
    assert figure.get_supxlabel().startswith(f"prediction: {line['label']} ({line['probability']:.3f})")
    assert "Decisive symbols: X (3), Y (6)\n" in ended.out


def test_step_predictions_equal_predictions_of_prefixes(run: Path) -> None:
    (line,) = json_lines(sluice("inspect", run, TEXT, "--json"))
    prefixes = [" ".join(TEXT.split()[: index + 1]) for index in range(8)]
    predicted = json_lines(sluice("predict", run, *prefixes, "--json"))
    assert [answer["prediction"] for answer in line["predictions"]] == [own["label"] for own in predicted]
    expected = pytest.approx([own["probability"] for own in predicted], rel=1e-5)
    assert [answer["probability"] for answer in line["predictions"]] == expected
    assert line["label"] == predicted[-1]["label"]


def test_default_units_react_most_and_plots_are_kept(run: Path) -> None:
    ended = sluice("inspect", run, TEXT)
    assert ended.code == 0, ended.err
    states = traced(run, 2).states.cell[0]
    changes = states.diff(dim=0, prepend=torch.zeros(1, 6)).abs()
    most = int((changes[[2, 5]].mean(0) - changes[[0, 1, 3, 4, 6, 7]].mean(0)).argmax())
    header = next(line for line in ended.out.splitlines() if line.split()[:1] == [str(most)])  # the first unit
    assert sorted(map(int, header.split()[:6])) == list(range(6))
    assert sum(line.startswith("X ") for line in ended.out.splitlines()) == 2, (
        "one row per token for hidden and cell state"
    )
    assert sluice("inspect", run, TEXT).code == 0
    pictures = sorted((run / "inspect").glob("*.png"))
    assert [path.name for path in pictures] == [f"states-layer-2-b-a-x-c-b-y-d-e{more}.png" for more in ("-2", "")]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_plot_is_logged_to_tensorboard(run: Path) -> None:
    curves = sorted(path.name for path in run.glob("events*"))
    ended = sluice("inspect", run, TEXT, "--units", "0", "--png", run / "mine.png")
    assert ended.code == 0, ended.err
    events = EventAccumulator(str(run / "inspect"), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["mine"]
    (image,) = events.Images("mine")
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert sorted(path.name for path in run.glob("events*")) == curves, "the training's event files are unchanged"
    assert "already exists" in error_of(sluice("inspect", run, TEXT, "--png", run / "mine.png"))


def test_run_folder_that_cannot_be_written(run: Path, tmp_path: Path) -> None:
    (run / "inspect").write_text("in the way of the folder", encoding="utf-8")
    error = error_of(sluice("inspect", run, TEXT))
    assert f"{run / 'inspect'} cannot be created (file exists): name the plot with --png FILE" in error
    for number, arguments in enumerate(((run, TEXT), ("--gradients", run))):
        ended = sluice("inspect", *arguments, "--png", tmp_path / f"{number}.png")
        assert (ended.code, (tmp_path / f"{number}.png").is_file()) == (0, True)
        assert f"note: the plot is not in TensorBoard, {run / 'inspect'} cannot be written" in ended.err
        assert "tensorboard --logdir" not in ended.out


def test_attention_and_unknown_words_are_shown(finished: Finished, tmp_path: Path, drawn: list[Figure]) -> None:
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    text = "The film was a xyzzy , it was a film"
    ended = sluice("inspect", folder, text, "--units", "0,1")
    assert ended.code == 0, ended.err
    assert "replaced by <unk>: xyzzy\n" in ended.err
    (predicted,) = json_lines(sluice("predict", folder, text, "--json"))
    weights = [weight for _, weight in predicted["words"]]
    axis = plots(drawn[0])[-1]
    np.testing.assert_allclose(np.asarray(axis.images[0].get_array())[0], weights, rtol=1e-5)
    assert "xyzzy <unk>" in [label.get_text() for label in axis.get_xticklabels()]
    (line,) = json_lines(sluice("inspect", folder, text, "--json"))
    assert line["attention"] == pytest.approx(weights)
    assert line["unknown"] == ["xyzzy"]
    assert (line["label"], "predictions" in line) == (predicted["label"], False)


def test_language_model_shows_next_token_probability(book_run: Finished, tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("The cat saw the dog", encoding="utf-8")
    (scored,) = json_lines(sluice("score", book_run.folder, file, "--tokens", "--json"))
    (line,) = json_lines(sluice("inspect", book_run.folder, "The cat saw the dog", "--json"))
    assert line["symbols"] == ["<eos>", "The", "cat", "saw", "the", "dog"]
    chances = [answer["next_probability"] for answer in line["predictions"]]
    logs = [log for _, log in scored["log_probabilities"]]
    np.testing.assert_allclose(np.log(chances[:-1]), logs[:5], rtol=1e-4)
    assert chances[-1] is None
    (suggested,) = json_lines(sluice("suggest", book_run.folder, "The cat saw the dog", "--top", "1", "--json"))
    last = line["predictions"][-1]
    assert suggested["next"][0] == [last["prediction"], pytest.approx(last["probability"], rel=1e-4)]


def test_echo_and_tagging_runs_are_inspected(workdir: Path) -> None:
    echo = trained(
        workdir / "echo",
        *("task=echo", "task.data.length=60", "task.data.streams=4", "task.data.val_streams=2"),
        *("task.data.test_streams=2", *FEW),
    )
    (line,) = json_lines(sluice("inspect", echo.folder, "0110 1", "--json"))
    assert line["symbols"] == ["0", "1", "1", "0", "1"]
    assert {answer["prediction"] for answer in line["predictions"]} <= {"0", "1"}
    assert "no symbol '2' in this task: there are 0 1" in error_of(sluice("inspect", echo.folder, "012"))
    norms = json_lines(sluice("inspect", "--gradients", echo.folder, "--steps", "15", "--json"))[0]["norms"]
    assert [len(own) for own in norms.values()] == [15, 15]
    (workdir / "mine.txt").write_text("the O\ncat B-X\n\na O\ndog B-X\n\n" * 20, encoding="utf-8")
    own = ("task=tagging", f"task.data.path={workdir / 'mine.txt'}", "model.bidirectional=true", "model=gru")
    tags = trained(workdir / "tags", *own, *FEW)
    (line,) = json_lines(sluice("inspect", tags.folder, "the zebra", "--backward", "--json"))
    assert (line["direction"], line["symbols"], line["unknown"]) == ("backward", ["the", "zebra <unk>"], ["zebra"])
    assert {answer["prediction"] for answer in line["predictions"]} <= {"O", "B-X"}
    assert list(line["states"]) == ["hidden"]
    assert "is bidirectional" in error_of(sluice("inspect", "--gradients", tags.folder))


def test_translation_encoder_is_inspected(workdir: Path) -> None:
    small = (
        "task=multi30k",
        *SAMPLE,
        *FEW,
        "embedding.size=4",
        "task.decoder.hidden_size=8",
        "debug=fast",
        "logger=none",
    )
    run = trained(workdir, *small, "model.bidirectional=false")
    ended = sluice("inspect", run.folder, "Ein Mann läuft.", "--png", workdir / "encoder.png")
    assert ended.code == 0, ended.err
    assert "sluice translate --attention" in ended.err
    (line,) = json_lines(sluice("inspect", run.folder, "Ein Mann läuft.", "--json"))
    assert line["symbols"][-1] == "<eos>"
    assert len(line["states"]["cell"]) == len(line["symbols"]) == 5
    assert "has no loss at the last step" in error_of(sluice("inspect", "--gradients", run.folder))


def test_gradient_norms_match_the_task_loss(order: Finished, run: Path, drawn: list[Figure]) -> None:
    ended = sluice("inspect", "--gradients", run)
    assert ended.code == 0, ended.err
    model = load_model(run)
    texts = [line.split(",")[0] for line in ended.out.splitlines() if line.strip().startswith("lstm run")]
    assert texts == [" lstm run"] * 2, "hidden and cell"
    (axis,) = plots(drawn[0])
    found = {line.get_label(): np.asarray(line.get_ydata()) for line in axis.lines}
    data = recipe_of(model.config).build_data(model.config, recipe_of(model.config).find_corpus(model.config))
    (batch,) = list(data.val_dataloader())
    features = model.network.embed(batch.ids)

    def loss(top: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model.network.output(top), batch.labels, reduction="sum")

    expected = gradient_norms(model.network.recurrent, features, batch.lengths, loss)["cell"][1].nanmean(0)
    np.testing.assert_allclose(found["lstm run, cell state"], expected.numpy(), rtol=1e-4)
    assert (run / "inspect" / "gradients.png").read_bytes().startswith(b"\x89PNG")
    events = EventAccumulator(str(run / "inspect"), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["gradients"]


def test_gradients_of_several_runs_are_compared(book_run: Finished, order: Finished, run: Path) -> None:
    arguments = ("--gradients", book_run.folder, run, order.folder, run)
    message = error_of(sluice("inspect", "--gradients", run, "--steps", "5"))
    assert "uses whole sequences, omit it" in message
    (line,) = json_lines(sluice("inspect", *arguments[:2], "--steps", "9", "--json"))
    assert {len(norms) for norms in line["norms"].values()} == {9}
    (line,) = json_lines(sluice("inspect", "--gradients", run, order.folder, run, "--json"))
    assert len(line["norms"]) == 6, "runs of the same name are listed separately"


def test_gradients_of_untrained_networks_are_plotted(workdir: Path, drawn: list[Figure]) -> None:
    few = ("--steps", "12", "--hidden", "4", "--cells", "rnn, lstm")
    ended = sluice("inspect", "--gradients", *few, "--png", "mine.png")
    assert ended.code == 0, ended.err
    rows = [line for line in ended.out.splitlines() if line.strip().startswith(("rnn", "lstm"))]
    assert len(rows) == 3
    (axis,) = plots(drawn[0])
    assert [line.get_label() for line in axis.lines] == ["rnn", "lstm, hidden state", "lstm, cell state"]
    assert axis.get_yscale() == "log"
    assert (axis.get_xlabel(), bool(axis.get_ylabel())) == ("steps before the loss", True)
    assert (workdir / "mine.png").exists()
    ended = sluice("inspect", "--gradients", "--steps", "12", "--hidden", "4", "--cells", "rnn")
    assert ended.out.splitlines()[-1] == "To plot the norms, add --png FILE"
    assert [path.name for path in workdir.glob("*.png")] == ["mine.png"], "no file is written unasked"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([TEXT, "--units", "6"], "there is no unit 6, units are 0-5"),
        ([TEXT, "--units", "1-"], "give numbers and ranges"),
        ([TEXT, "--layer", "3"], "there is no layer 3: choose from 1 to 2"),
        ([TEXT, "--backward"], "there is no backward direction"),
        (["  "], "the text is empty"),
        ([], "give a run and a text in quotes"),
        ([TEXT, "more"], "give a run and a text in quotes"),
        ([TEXT, "--steps", "5"], "--steps needs --gradients"),
        ([TEXT, "--forget-bias", "0"], "--forget-bias needs --gradients"),
        (["--gradients", "--units", "1"], "--units cannot be combined with --gradients"),
        (["--gradients", "--gates"], "--gates cannot be combined with --gradients"),
        (["--gradients", "--cells", "gru"], "--cells is for untrained networks"),
        (["--gradients", "--layer", "3"], "there is no layer 3 in"),
        ([TEXT, "--png", "/nowhere/a.png"], "cannot be written"),
        ([TEXT, "--png", "a.foo"], "cannot be written"),
    ],
    ids=joined,
)
def test_invalid_options_are_reported(order: Finished, options: list[str], expected: str) -> None:
    assert expected in error_of(sluice("inspect", order.folder, *options))


def test_options_for_runs_need_a_run(workdir: Path) -> None:
    assert "--layer needs a run" in error_of(sluice("inspect", "--gradients", "--layer", "1"))
    assert "--data-dir needs a run" in error_of(sluice("inspect", "--gradients", "--data-dir", "x"))
    assert "there is no nowhere" in error_of(sluice("inspect", "nowhere", "x"))


def test_regression_run_supports_gradients_only(workdir: Path) -> None:
    small = ("task=adding", "task.data.steps=8", "task.data.size=64", "task.data.val_size=8", "task.data.test_size=8")
    ended = train(*small, *FEW, *paths_in(workdir))
    assert ended.code == 0, ended.err
    run = Finished.found(workdir, ended).folder
    assert "which has no recurrent core over tokens" in error_of(sluice("inspect", run, "1 2"))
    (line,) = json_lines(sluice("inspect", "--gradients", run, "--json"))
    assert {len(norms) for norms in line["norms"].values()} == {8}
