"""Loading a run, and initialisation from the weights of a run."""

from pathlib import Path

import pytest
import torch

from running import CONF, SAMPLE, SMALL, TINY, Finished, error_of, only_run, paths_in, sluice, three_classes, train
from sluice.composition.compose import checked, compose_config
from sluice.errors import UserError
from sluice.models.language import LanguageModel
from sluice.modules.base import TaskModule
from sluice.recipes.load import load_model
from sluice.recipes.registry import recipe_named, recipe_of
from sluice.runs.checkpoint import did_you_mean, network_weights, read_checkpoint
from sluice.text.vocab import SPECIALS
from sluice.training.warm_start import _matching_weights, check_source, warm_start

IDS = torch.tensor([[5, 9, 2, 7], [3, 4, 1, 1]])
LENGTHS = torch.tensor([4, 2])


def fresh_task(finished: Finished, *overrides: str) -> TaskModule:
    """A randomly initialised module with the settings of the finished run."""
    config = checked(compose_config([*TINY, *paths_in(finished.home), "task.pooling=attention", *overrides], CONF))
    recipe = recipe_of(config)
    return recipe.build_module(config, recipe.build_data(config, recipe.find_corpus(config)))


def test_loaded_network_gives_the_same_logits(finished: Finished) -> None:
    task = fresh_task(finished)
    task.load_state_dict(read_checkpoint(finished.folder / "best.ckpt")[1]["state_dict"], strict=False)
    loaded = load_model(finished.folder)
    with torch.inference_mode():
        expected, got = task.network.eval()(IDS, LENGTHS).logits, loaded.network(IDS, LENGTHS).logits
    assert torch.equal(expected, got)
    assert not torch.equal(got[0], got[1])


def test_same_architecture_copies_all_weights(finished: Finished, caplog: pytest.LogCaptureFixture) -> None:
    task = fresh_task(finished, "seed=5")
    checkpoint = read_checkpoint(finished.folder)[1]["sluice"]
    warm_start(task.network, checkpoint, finished.folder, recipe_named("imdb"))
    saved = network_weights(read_checkpoint(finished.folder)[1])
    own = task.network.state_dict()
    assert own.keys() == saved.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in saved.items())


def test_matching_weights_are_copied_and_logged(workdir: Path, finished: Finished) -> None:
    settings = (f"init_from={finished.folder}", "model.hidden_size=6", "task.pooling=attention")
    ended = train(*TINY, *settings, f"paths.cache_dir={finished.home / 'cache'}")
    assert ended.code == 0, ended.err
    log = (only_run(workdir / "outputs") / "log.txt").read_text(encoding="utf-8")
    (matched,) = [line for line in log.splitlines() if "2 of 14 weights matched" in line]
    assert matched.endswith("embedding.table.weight, output.bias.")
    (fresh,) = [line for line in log.splitlines() if "Randomly initialised" in line]
    assert "recurrent.cells.0.weight_hh" in fresh
    assert "embedding.table.weight" not in fresh
    assert "output.bias" not in fresh


def test_run_without_matching_weights_is_refused(workdir: Path, finished: Finished) -> None:
    path = three_classes(workdir / "mine.csv")
    own = ("task=reviews", f"task.data.path={path}", "embedding.size=3", "model.hidden_size=5")
    small = [setting for setting in SMALL if setting.split("=")[0] not in ("embedding.size", "model.hidden_size")]
    assert "none of its weights" in error_of(train(*small, *own, f"init_from={finished.folder}"))


def test_run_with_few_matching_weights_is_refused(workdir: Path, finished: Finished) -> None:
    settings = ("embedding.size=3", "model.hidden_size=5", "task.pooling=attention", f"init_from={finished.folder}")
    small = [setting for setting in TINY if setting.split("=")[0] not in ("embedding.size", "model.hidden_size")]
    error = error_of(train(*small, *settings, *paths_in(workdir)))
    assert "only output.bias match this network" in error


@pytest.mark.parametrize("words", [["xyzzy", "plugh"], []], ids=["other words", "no words"])
def test_special_tokens_do_not_count_as_shared_words(finished: Finished, words: list[str]) -> None:
    saved = load_model(finished.folder)
    saved.config.model.hidden_size = 6
    vocab = [*SPECIALS, *words]
    network = recipe_named("imdb").build_network(saved.config, {"vocab": vocab, "labels": ["neg", "pos"]})
    with pytest.raises(UserError, match=r"only embedding.table.weight, output.bias match"):
        warm_start(network, {"vocab": vocab, "labels": ["neg", "pos"]}, finished.folder, recipe_named("imdb"))


def test_run_of_another_kind_is_refused(workdir: Path, finished: Finished) -> None:
    own = ("task=imdb_lm", "task.data.source=sample", "task.data.sample_size=40")
    error = error_of(train(*own, f"init_from={finished.folder}", *paths_in(workdir)))
    assert "it is of task=imdb, a model that classifies texts; this task needs a model that generates text" in error


def classifier_from(run: Path, directions: str, *words: str) -> dict[str, torch.Tensor]:
    """Weights of a classifier of the words of a language model and others, initialised from the language model."""
    saved = load_model(run)
    parts = {"vocab": [*SPECIALS, *words, *saved.vocab.tokens[len(SPECIALS) :]], "labels": ["neg", "pos"]}
    given = ("task=imdb", f"model.bidirectional={directions}")
    same = [f"model.{name}={getattr(saved.config.model, name)}" for name in ("hidden_size", "num_layers")]
    config = checked(compose_config([*given, *same, f"embedding.size={saved.config.embedding.size}"], CONF))
    network = recipe_named("imdb").build_network(config, parts)
    warm_start(network, parts, run, recipe_named("imdb"))
    return network.state_dict()


def test_classifier_starts_with_the_core_of_a_language_model(book_run: Finished) -> None:
    own, theirs = classifier_from(book_run.folder, "false", "new"), network_weights(read_checkpoint(book_run.folder)[1])
    core = [name for name in theirs if name.startswith("recurrent.")]
    assert core
    assert all(torch.equal(own[name], theirs[name]) for name in core)
    first = len(SPECIALS)
    assert torch.equal(own["embedding.table.weight"][first + 1 :], theirs["embedding.table.weight"][first:])


def test_core_of_another_number_of_directions_is_not_used(book_run: Finished, caplog: pytest.LogCaptureFixture) -> None:
    own, theirs = classifier_from(book_run.folder, "true"), network_weights(read_checkpoint(book_run.folder)[1])
    assert not torch.equal(own["recurrent.cells.0.weight_hh"], theirs["recurrent.cells.0.weight_hh"])
    assert torch.equal(own["embedding.table.weight"], theirs["embedding.table.weight"])
    assert "it was trained with model.bidirectional=false" in caplog.text


@pytest.mark.parametrize("longest", [2, 3])
def test_ngrams_of_other_lengths_are_not_used(longest: int) -> None:
    parts = {"vocab": [*SPECIALS, "a", "fine", "film"], "labels": ["neg", "pos"]}
    made = {}
    for max_n in (2, longest):
        ngrams = (f"task.ngrams.max_n={max_n}", "task.ngrams.buckets=30")
        config = checked(compose_config(["task=imdb", "model.hidden_size=2", "embedding.size=2", *ngrams], CONF))
        made[max_n] = recipe_named("imdb").build_network(config, parts)
    saved = {**parts, "config": {"task": {"ngrams": {"max_n": 2}}, "model": {"bidirectional": True}}}
    network = made[longest]
    matched = _matching_weights(network, network.state_dict(), parts, made[2].state_dict(), saved)
    assert ("ngrams.weight" in matched, "recurrent.cells.0.weight_hh" in matched) == (longest == 2, True)


def test_last_checkpoint_is_used_without_best(workdir: Path, finished: Finished) -> None:
    run = workdir / "run"
    run.mkdir()
    (run / "last.ckpt").write_bytes((finished.folder / "last.ckpt").read_bytes())
    assert sluice("predict", run, "a moving film").code == 0
    assert load_model(run).path == run / "last.ckpt"


def test_source_may_be_gone_when_the_run_is_resumed() -> None:
    config = checked(compose_config([*TINY], CONF))
    config.init_from = "gone"
    with pytest.raises(UserError, match="init_from=gone does not exist"):
        check_source(config, recipe_of(config))
    config.resume = "run"
    check_source(config, recipe_of(config))


def test_adaptive_softmax_rows_need_the_same_vocabulary(book_run: Finished, tmp_path: Path) -> None:
    saved = load_model(book_run.folder)
    config = saved.config
    config.task.head, config.task.tie_weights, config.task.cutoffs = "adaptive", "none", [4, 8]
    network = recipe_named("corpus").build_network(config, {"vocab": saved.vocab.tokens})
    assert isinstance(network, LanguageModel)
    path = tmp_path / "adaptive.ckpt"
    checkpoint = read_checkpoint(book_run.folder)[1]
    weights = {f"network.{name}": torch.ones_like(tensor) for name, tensor in network.state_dict().items()}
    torch.save({**checkpoint, "state_dict": weights}, path)
    others = [*saved.vocab.tokens[:2], *reversed(saved.vocab.tokens[2:])]
    warm_start(network, {"vocab": others}, path, recipe_named("wikitext2"))
    assert not any((rows == 1).all() for rows in network.head.rows)
    warm_start(network, {"vocab": saved.vocab.tokens}, path, recipe_named("wikitext2"))
    assert all((rows == 1).all() for rows in network.head.rows)


def test_missing_run_names_the_run_on_generated_data(workdir: Path) -> None:
    (workdir / "sample-a").mkdir()
    (workdir / "titles-2").mkdir()
    for run, meant in (("a", "sample-a"), ("titles2", "titles-2")):
        assert did_you_mean(workdir / run) == f" (did you mean {workdir / meant}?)"
        assert f"(did you mean {workdir / meant}?)" in error_of(sluice("predict", workdir / run, "a text"))
        assert f"(did you mean {workdir / meant}?)" in error_of(train(f"resume={workdir / run}"))
    assert did_you_mean(workdir / "other") == did_you_mean(Path("nowhere/else")) == ""


def test_preparing_needs_no_run_to_start_from(workdir: Path) -> None:
    assert sluice("prepare", "experiment=imdb_pretrained", *SAMPLE).code == 0
