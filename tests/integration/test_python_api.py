"""The Python API on trained runs: loading, types, imports of the commands, and modules in another Trainer."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

import sluice as package
from running import Finished, json_lines, sluice, trained
from sluice.errors import UserError
from sluice.modules import (
    ClassificationModule,
    LanguageModelModule,
    PairModule,
    RegressionModule,
    SequenceLabellingModule,
    TaskModule,
    TranslationModule,
    Word2VecModule,
)
from sluice.recipes.load import load_model
from sluice.recipes.registry import recipe_of

ROOT = Path(__file__).parents[2]
SIZES = ("model.hidden_size=4", "embedding.size=4", "debug=fast", "trainer.accelerator=cpu")
FEW = tuple(f"task.data.{split}=64" for split in ("size", "val_size", "test_size"))
SMALL = {
    "temporal_order": ("task.level=easy", *(f"task.data.{split}=64" for split in ("size", "val_size", "test_size"))),
    "pairs": tuple(f"task.data.{split}=64" for split in ("size", "val_size", "test_size")),
    "vec2seq": (
        "task.decoder.hidden_size=4",
        *(f"task.data.{split}=64" for split in ("size", "val_size", "test_size")),
    ),
    "tagging": (),
    "echo": (),
    "adding": (),
}
FORBIDDEN = ("pytorch_lightning", "lightning_fabric", "hydra", "omegaconf", "matplotlib", "torchmetrics", "torchtext")


def run_of(home: Path, task: str, *overrides: str) -> Finished:
    (home / "data").mkdir(exist_ok=True)
    return trained(home, f"task={task}", *SIZES, *SMALL.get(task, ()), *overrides)


@pytest.fixture(scope="module")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each task of `SMALL`."""
    home = tmp_path_factory.mktemp("runs")
    return {task: run_of(home / task, task).folder for task in SMALL if (home / task).mkdir() is None}


@pytest.fixture(scope="module")
def translations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sample = ("task.data.source=sample", "task.data.sample_size=60", "task.decoder.hidden_size=4")
    return run_of(tmp_path_factory.mktemp("translations"), "multi30k", *sample).folder


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("vectors")
    sample = ("task.data.corpus=sample", "task.data.sample_size=60", "embedding.size=4", "debug=fast")
    return trained(home, "task=word2vec", *sample, "trainer.accelerator=cpu").folder


def test_page_shows_how_a_run_is_loaded(finished: Finished, workdir: Path) -> None:
    (code,) = re.findall(r"```py\n(.*?)```", (ROOT / "docs" / "python_api.md").read_text(encoding="utf-8"), re.DOTALL)
    Path("reviews.txt").write_text("good\nbad\n", encoding="utf-8")
    found: dict[str, Any] = {}
    exec(code.replace("outputs/imdb/lstm/mine", str(finished.folder)), found)
    assert found["probabilities"].shape == (2, 2)


def test_load_checks_the_class_and_the_device(finished: Finished) -> None:
    with pytest.raises(UserError, match="this command needs a model that generates text"):
        package.load(finished.folder, package.LanguageModel)
    with pytest.raises(UserError, match="device=nonsense cannot be used"):
        package.load(finished.folder, device="nonsense")
    model = package.load(finished.folder, package.Classifier, device="cpu", tokenized=True)
    assert model.tokenize("Good, bad.") == ["good,", "bad."]


def test_commands_print_what_the_api_returns(finished: Finished, book_run: Finished, workdir: Path) -> None:
    texts = ["a moving film", "dull"]
    predictions = package.load(finished.folder, package.Classifier).predict(texts)
    assert [line["label"] for line in json_lines(sluice("predict", finished.folder, *texts, "--json"))] == [
        prediction.label for prediction in predictions
    ]
    model = package.load(book_run.folder, package.LanguageModel)
    (line,) = json_lines(sluice("suggest", book_run.folder, "the", "--top", "3", "--json"))
    assert line["next"] == [[token, pytest.approx(value)] for token, value in model.suggest("the", top=3)]
    ended = sluice("generate", book_run.folder, "--prompt", "the", "--tokens", "5", "--seed", "2", "--json")
    assert json_lines(ended)[0]["text"] == model.generate("the", tokens=5, seed=2)[0].text
    Path("some.txt").write_text("the one\n", encoding="utf-8")
    (scored,) = json_lines(sluice("score", book_run.folder, "some.txt", "--json"))
    assert scored["perplexity"] == pytest.approx(model.score(["the one"])[0].perplexity, rel=1e-5)
    (traced,) = json_lines(sluice("inspect", finished.folder, texts[0], "--units", "0,1", "--json"))
    hidden = package.load(finished.folder, package.Classifier).trace(texts[0]).states["hidden"][:, :2]
    assert traced["states"]["hidden"] == hidden.tolist()


@pytest.mark.slow
def test_generated_tasks_are_loaded(small_runs: dict[str, Path], translations: Path, vectors: Path) -> None:
    order = package.load(small_runs["temporal_order"])
    assert isinstance(order, package.Classifier)
    assert order.predict(["B a X c Y E"])[0].label in order.labels
    assert isinstance(package.load(small_runs["pairs"]), package.PairClassifier)
    assert isinstance(package.load(small_runs["tagging"]), package.Tagger)
    assert package.load(small_runs["vec2seq"], package.Translator).translate(["pos"], beam=1)[0].text is not None
    with pytest.raises(UserError, match="there is no sentence for 'good': choose from"):
        package.load(small_runs["vec2seq"], package.Translator).translate(["good"])
    echo = package.load(small_runs["echo"], package.Tagger)
    assert (len(echo.predict(["0110 1"])[0].tags), echo.labels) == (5, ("0", "1"))
    with pytest.raises(UserError, match="there is no symbol '2' in this task: there are 0 1"):
        echo.predict(["012"])
    with pytest.raises(UserError, match="does not support inference on new inputs: use sluice evaluate"):
        package.load(small_runs["adding"])
    words = package.load(vectors, package.Embeddings)
    assert words.neighbours(words.words[0], top=2) == package.load_embeddings(vectors).neighbours(words.words[0], top=2)
    model = package.load(translations, package.Translator)
    assert model.neighbours(model.embeddings.words[0])
    assert model.trace("ein Mann").tokens[-1] == "<eos>"


def commands(finished: Finished, book: Finished, translations: Path) -> dict[str, list[str]]:
    return {
        "predict": [str(finished.folder), "a moving film"],
        "generate": [str(book.folder), "--tokens", "3"],
        "suggest": [str(book.folder), "the"],
        "score": [str(book.folder), "some.txt"],
        "translate": [str(translations), "ein Mann"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["predict", "generate", "suggest", "score", "translate"])
def test_commands_import_neither_lightning_nor_hydra(
    name: str, finished: Finished, book_run: Finished, translations: Path, workdir: Path
) -> None:
    Path("some.txt").write_text("the one\n", encoding="utf-8")
    arguments = ["sluice", name, *commands(finished, book_run, translations)[name]]
    code = (
        f"import json, sys; sys.argv = {arguments!r}\n"
        "from sluice.cli.main import app\n"
        "try: app()\n"
        "except SystemExit as ending: assert not ending.code, ending.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *printed, modules = done.stdout.splitlines()
    assert printed
    assert set(json.loads(modules)) & set(FORBIDDEN) == set()


@pytest.mark.slow
def test_types_of_the_api_are_known() -> None:
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "tests/typed_api.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout


def check_module(run: Path, kind: type[TaskModule]) -> None:
    """The loaded module has the weights of the checkpoint, and can be tested by any Trainer."""
    module, saved = kind.load_from_checkpoint(run / "best.ckpt"), load_model(run)
    assert type(module) is kind
    for name, weight in module.network.state_dict().items():
        assert torch.equal(weight, saved.network.state_dict()[name])
    recipe = recipe_of(saved.config)
    data = recipe.build_data(saved.config, recipe.find_corpus(saved.config))
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    (metrics,) = pl.Trainer(**quiet, limit_test_batches=1).test(module, data, verbose=False)
    assert "test/loss" in metrics


def test_load_from_checkpoint_of_a_run(finished: Finished, workdir: Path) -> None:
    check_module(finished.folder, ClassificationModule)
    with pytest.raises(UserError, match="is of a ClassificationModule, not of a LanguageModelModule: use that class"):
        LanguageModelModule.load_from_checkpoint(finished.folder / "best.ckpt")
    module = ClassificationModule.load_from_checkpoint(
        finished.folder / "best.ckpt", optimizer=partial(torch.optim.SGD, lr=0.1)
    )
    assert isinstance(module.configure_optimizers(), torch.optim.SGD)


@pytest.mark.slow
def test_load_from_checkpoint_of_every_module(
    book_run: Finished, small_runs: dict[str, Path], translations: Path, vectors: Path, workdir: Path
) -> None:
    check_module(book_run.folder, LanguageModelModule)
    check_module(small_runs["pairs"], PairModule)
    check_module(small_runs["tagging"], SequenceLabellingModule)
    check_module(small_runs["adding"], RegressionModule)
    check_module(translations, TranslationModule)
    check_module(vectors, Word2VecModule)


def test_plain_checkpoint_needs_the_network(workdir: Path) -> None:
    module = SequenceLabellingModule(network=torch.nn.Linear(2, 2), tags=None)  # type: ignore[arg-type]
    contents = {"state_dict": module.state_dict(), "sluice": {"metrics": {}}, "epoch": 0, "global_step": 0}
    torch.save({**contents, "pytorch-lightning_version": pl.__version__}, "plain.ckpt")
    with pytest.raises(UserError, match="is not of a Sluice run and stores no network: give all arguments"):
        SequenceLabellingModule.load_from_checkpoint("plain.ckpt")
    again = SequenceLabellingModule.load_from_checkpoint("plain.ckpt", network=torch.nn.Linear(2, 2), tags=None)
    assert torch.equal(again.network.weight, module.network.weight)  # type: ignore[arg-type]
