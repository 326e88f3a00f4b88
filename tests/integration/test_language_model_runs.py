"""Language models trained from the command line: full, resumed, distributed and warm-started runs."""

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from books import SAMPLE, SMALL, write_book
from processes import TRAIN, command
from run_differences import curves_of, differences
from running import (
    CONF,
    Ended,
    Finished,
    error_of,
    json_lines,
    only_run,
    paths_in,
    results_of,
    sluice,
    train,
    train_composed,
    trained,
)
from sluice.composition.compose import compose_config
from sluice.recipes.load import load_model
from stopping import ctrl_c_twice, stop_signal, stopped


@pytest.fixture(scope="module")
def finished_sample(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished wikitext2 run on the sample; read-only."""
    home = tmp_path_factory.mktemp("sample")
    (home / "data").mkdir()
    return trained(home, *SAMPLE)


class TestRuns:
    def test_wikitext2_sample_run_is_marked_and_consistent(self, finished_sample: Finished) -> None:
        results = finished_sample.results
        assert finished_sample.folder.relative_to(finished_sample.home / "output").parts[:2] == ("wikitext2", "lstm")
        assert finished_sample.folder.name.startswith("sample-")
        assert results["data_source"] == "sample"
        assert results["monitor"] == "val/perplexity"
        for split in ("val", "test"):
            assert results[f"{split}/perplexity"] == pytest.approx(math.exp(results[f"{split}/loss"]))
        assert results["test/perplexity"] < 250, "of 273 words"
        assert "GENERATED SAMPLE" in finished_sample.ended.out
        assert "sluice generate" in finished_sample.ended.out

    def test_curves_and_text_are_logged_per_validation(self, finished_sample: Finished) -> None:
        curves = curves_of(finished_sample.folder)
        named = {"train/loss", "train/perplexity", "train/tokens_per_second", "train/gradient_norm", "val/perplexity"}
        assert named <= set(curves)
        assert len(curves["val/written/text_summary"]) == 2
        assert len(curves["val/perplexity"]) == 2

    def test_ptb_sample_trains(self, workdir: Path) -> None:
        settings = ("task=ptb", *SAMPLE[1:], "debug=fast", "model=gru", "embedding=onehot", "task.tie_weights=none")
        run = trained(workdir, *settings)
        assert run.results["task"] == "ptb"
        assert run.results["test/perplexity"] > 1

    @pytest.mark.parametrize(("limit", "skipped"), [("1", True), ("0.5", True), ("1.0", False), ("null", False)])
    def test_limited_test_skips_other_eval_modes(self, workdir: Path, limit: str, skipped: bool) -> None:
        modes = ("trainer.max_epochs=1", "trainer.limit_train_batches=1", "task.eval_modes=[plain,cache]")
        run = trained(workdir, *SAMPLE, *modes, f"trainer.limit_test_batches={limit}")
        assert "test/perplexity" in run.results
        assert ("test/cache_perplexity" in run.results) is not skipped
        lines = [line for line in run.ended.err.splitlines() if "Skipped the further tests of task.eval_modes" in line]
        assert [f"trainer.limit_test_batches={limit}" in line for line in lines] == [True] * skipped

    def test_corpus_trains_on_a_folder_of_files(self, book_run: Finished) -> None:
        assert book_run.results["data_source"] == "file"
        assert book_run.folder.parts[-3:-1] == ("corpus", "lstm")
        assert not book_run.folder.name.startswith("sample-")
        assert "2 files in" in book_run.ended.err

    def test_character_model_reports_bits_per_character(self, workdir: Path) -> None:
        path = write_book(workdir / "book.txt", 60, seed=1)
        run = trained(workdir, "task=corpus", f"task.data.path={path}", *SMALL, "task.text.unit=chars")
        assert run.results["test/bits_per_character"] == pytest.approx(run.results["test/loss"] / math.log(2))
        (line,) = json_lines(sluice("generate", run.folder, "--prompt", "The c", "--tokens", "7", "--no-unk", "--json"))
        assert line["text"].startswith("The c")
        assert len(line["text"]) == 12
        error = error_of(sluice("score", run.folder, path, "--tokenized"))
        assert "a model of characters reads text as it is: leave out --tokenized" in error


def assert_tied(run: Path) -> None:
    """Checks that embedding and output weights are shared in the checkpoint and in the loaded network."""
    state = torch.load(run / "best.ckpt", weights_only=True)["state_dict"]
    tables = state["network.embedding.table.weight"], state["network.head.weight"]
    assert tables[0].data_ptr() == tables[1].data_ptr()
    network = load_model(run).network
    assert network.head.weight is network.embedding.table.weight
    assert torch.equal(network.head.weight, tables[0])


def test_tied_weights_stay_tied_after_loading(finished_sample: Finished) -> None:
    assert_tied(finished_sample.folder)


class Runs:
    """Trains named runs; each set of settings is composed once."""

    def __init__(self, home: Path) -> None:
        (home / "data").mkdir()
        self.home = home
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def train(self, *settings: str, name: str | None = None, resume: Path | None = None) -> Ended:
        if settings not in self.composed:
            self.composed[settings] = compose_config([*SAMPLE, *settings, *paths_in(self.home)], CONF)
        config = deepcopy(self.composed[settings])
        config.name, config.resume = name, None if resume is None else str(resume)
        return train_composed(config)

    def folder(self, name: str) -> Path:
        return self.home / "output" / "wikitext2" / "lstm" / f"sample-{name}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("resuming"))


AWD = (
    *("task.data.variable_chunks=true", "model.num_layers=2", "model.dropout=0.2", "model.input_dropout=0.3"),
    *("model.weight_dropout=0.3", "embedding.word_dropout=0.1", "task.output_dropout=0.3"),
    *("task.activation_regularisation=2", "task.temporal_regularisation=1", "optimizer=nt_asgd", "optimizer.lr=30"),
    *("optimizer.patience=1", "scheduler=constant", "checkpoint.every_steps=3", "trainer.max_epochs=5"),
)


SHORT = (
    *("trainer.max_epochs=1", "trainer.limit_train_batches=4", "trainer.limit_val_batches=1"),
    *("trainer.limit_test_batches=1", "task.sample_tokens=0"),
)


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize(
    ("settings", "stops"),
    [
        pytest.param(
            ("checkpoint.every_steps=1",),
            [
                (stop_signal, "on_train_batch_end", 7),
                (ctrl_c_twice, "on_validation_batch_end", 1),
                (stop_signal, "on_train_batch_start", 1),
            ],
            id="defaults",
        ),
        pytest.param(
            AWD,
            [
                (stop_signal, "on_train_batch_end", 5),
                (stop_signal, "on_train_batch_end", 44),
                (ctrl_c_twice, "on_validation_batch_end", 1),
            ],
            id="awd-lstm",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_resumed_run_equals_uninterrupted_run(
    runs: Runs, settings: tuple[str, ...], stops: list[tuple[Callable[[], None], str, int]]
) -> None:
    name = "awd" if settings is AWD else "plain"
    assert runs.train(*settings, name=f"{name}-whole").code == 0
    run = None
    for by, hook, time in stops:
        with stopped(by, hook, time):
            assert runs.train(*settings, name=f"{name}-stopped", resume=run).code == 130
        run = runs.folder(f"{name}-stopped")
    ended = runs.train(*settings, resume=run)
    assert ended.code == 0, ended.err
    assert differences(runs.folder(f"{name}-stopped"), runs.folder(f"{name}-whole")) == []
    if settings is AWD:
        (optimizer,) = torch.load(runs.folder("awd-whole") / "last.ckpt", weights_only=True)["optimizer_states"]
        assert optimizer["param_groups"][0]["averaging"], "averaging must have started"


@pytest.mark.usefixtures("workdir")
def test_layers_of_unequal_size_resume_in_mid_epoch(runs: Runs) -> None:
    """The carried state, a tuple of the states of the layers, is restored."""
    settings = (*AWD, "model.hidden_size=[6,8]", "model.variational=true", "model.initial_state=learned", *SHORT)
    assert runs.train(*settings, name="sizes-whole").code == 0
    with stopped(stop_signal, "on_train_batch_end", 3):
        assert runs.train(*settings, name="sizes-stopped").code == 130
    stopped_run = runs.folder("sizes-stopped")
    carried = torch.load(stopped_run / "last.ckpt", weights_only=True)["state_dict"]
    assert carried["network.recurrent.initial_state.2"].shape == (1, 1, 8)
    ended = runs.train(*settings, resume=stopped_run)
    assert ended.code == 0, ended.err
    assert differences(stopped_run, runs.folder("sizes-whole")) == []
    for command_line in (("generate", "--prompt", "the", "--beam", "2", "--tokens", "2"), ("inspect", "a", "--json")):
        ended = sluice(command_line[0], stopped_run, *command_line[1:])
        assert ended.code == 0, ended.err


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_distributed_run_matches_evaluate_and_keeps_tied_weights(workdir: Path, ranks: int) -> None:
    """The test split is one stream, so only one rank has test data."""
    settings = (*SAMPLE, "trainer.max_epochs=1", "task.data.val_streams=5", "task.data.test_streams=1")
    several = ("trainer=ddp_cpu", f"trainer.devices={ranks}", "task.data.chunk_length=40")
    ended = command(*TRAIN, *settings, *several, *paths_in(workdir), cwd=workdir)
    assert ended.code == 0, ended.err
    run = only_run(workdir)
    assert results_of(run)["device"] == f"{ranks} x cpu"
    for split in ("val", "test"):
        (line,) = json_lines(sluice("evaluate", run, "--split", split, "--json"))
        assert line["perplexity"] == pytest.approx(results_of(run)[f"{split}/perplexity"], rel=1e-6)
    assert_tied(run)


class TestPrepare:
    def test_training_uses_the_prepared_cache(self, workdir: Path) -> None:
        path = write_book(workdir / "book.txt", 60, seed=1)
        own = ("task=corpus", f"task.data.path={path}", *paths_in(workdir))
        ended = sluice("prepare", *own)
        assert ended.code == 0, ended.err
        assert f"corpus: {path}" in ended.out
        assert "words in the vocabulary" in ended.out
        assert [line.split()[0] for line in ended.out.splitlines()[1:4]] == ["train", "val", "test"]
        (entry,) = (workdir / "cache").glob("stream-*")
        before = entry.stat().st_mtime_ns
        assert train(*own, *SMALL, "debug=fast").code == 0
        (entry,) = (workdir / "cache").glob("stream-*")
        assert entry.stat().st_mtime_ns == before

    def test_prepare_does_not_fall_back_to_sample(self, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr("sluice.data.corpora.wikitext.WIKITEXT2_URL", "http://127.0.0.1:1/wikitext-2-v1.zip")
        error = error_of(sluice("prepare", "task=wikitext2", *paths_in(workdir)))
        assert "neither `sluice prepare` nor" in error


@pytest.mark.usefixtures("workdir")
def test_init_from_copies_rows_of_shared_words(book_run: Finished, tmp_path: Path) -> None:
    """Rows of the output layer are matched by word."""
    path = write_book(tmp_path / "book.txt", 60, seed=4)
    path.write_text(path.read_text(encoding="utf-8").replace("owl", "newt"), encoding="utf-8")
    head = ("task.head=adaptive", "task.cutoffs=[6,14]", "optimizer.lr=1e-30", "scheduler=constant", "debug=fast")
    run = trained(tmp_path, "task=corpus", f"task.data.path={path}", *SMALL, *head, f"init_from={book_run.folder}")
    ours, theirs = load_model(run.folder), load_model(book_run.folder)
    assert "newt" in ours.vocab.tokens
    for word in ("cat", "the", "<eos>", "wood"):
        own, other = (model.vocab.encode([word])[0] for model in (ours, theirs))
        assert torch.equal(ours.network.head.weight[own], theirs.network.head.weight[other])
        assert torch.equal(ours.network.head.bias[own], theirs.network.head.bias[other])
