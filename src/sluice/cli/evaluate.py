"""sluice evaluate: a trained model's figures."""

import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from sluice.config.compose import changed
from sluice.config.tasks.sequences import Tagging
from sluice.data.sources import SPLITS
from sluice.data.tables import LabelledTable
from sluice.errors import UserError
from sluice.modules.base import Monitor, Task
from sluice.modules.classification import ClassificationTask
from sluice.modules.pairs import PairTask
from sluice.modules.word2vec import Word2VecTask
from sluice.options import EVALUATION_METHODS
from sluice.recipes.data_checks import check_unchanged
from sluice.recipes.evaluated_splits import (
    sentence_pairs_of_split,
    sentences_of_split,
    text_pairs_of_split,
    texts_of_file,
    texts_of_split,
)
from sluice.recipes.language import measure
from sluice.recipes.load import SavedModel, load_model, use_own_paths
from sluice.recipes.registry import CLASSIFICATION, LANGUAGE, PAIRS, SEQUENCES, WORD2VEC
from sluice.recipes.translation import TranslationFamily, decoding_settings, translator_of
from sluice.runs.logs import start_logging
from sluice.runs.report import show_confusion
from sluice.terminal import say

TableFile = tuple[Path, str, str]


def evaluate_run(
    run: Path,
    *,
    split: str,
    table: TableFile | None,
    method: str,
    settings: list[str],
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Prints a model's figures: a classifier's with its confusion matrix, or a language model's perplexity.

    Args:
        run: a run's folder or a checkpoint.
        split: which of the task's own texts.
        table: file, text column and label column to take instead; for a classifier alone.
        method: "plain", "cache" or "dynamic"; for a language model alone.
        settings: key=value, changed settings of the task, see Family.evaluated_with.
        data_dir: where the task's corpora lie; None for SLUICE_DATA, or else where they lay at training.
        as_json: one JSON object instead of tables.

    Raises:
        UserError: for an unknown split, method or setting, a checkpoint that isn't one, or texts that can't be had or
            don't fit the model.
    """
    start_logging()
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}: there are {', '.join(SPLITS)}")
    model = load_model(run)
    _refuse_what_is_not_for(model, table, method, settings)
    use_own_paths(model, data_dir)
    model.config.task = changed(model.config.task, settings)
    if model.family is LANGUAGE:
        _evaluate_language(model, split, method, as_json)
    elif isinstance(model.family, TranslationFamily):
        _evaluate_translator(model, model.family, split, as_json)
    elif model.family is SEQUENCES:
        _evaluate_sequences(model, split, as_json)
    elif model.family is PAIRS:
        _evaluate_pairs(model, split, as_json)
    elif model.family is WORD2VEC:
        _evaluate_vectors(model, split, as_json)
    else:
        _evaluate_classifier(model, split, table, as_json)


def _refuse_what_is_not_for(model: SavedModel, table: TableFile | None, method: str, settings: list[str]) -> None:
    """
    Raises:
        UserError: for an option that would be ignored with this kind of model.
    """
    name = model.config.task.name
    if table is not None and model.family is not CLASSIFICATION:
        instead = ": use sluice score" if model.family is LANGUAGE else ""
        raise UserError(f"--file is for models that classify single texts, this one is of task={name}{instead}")
    if method != "plain" and model.family is not LANGUAGE:
        raise UserError(f"--method {method} is for language models, this one is of task={name}")
    for setting in settings:
        key = setting.partition("=")[0].removeprefix("task.")
        if not key.startswith(model.family.evaluated_with):
            known = ", ".join(model.family.evaluated_with) or "nothing"
            raise UserError(f"--set {setting} changes nothing of an evaluation of task={name}: {known} can be set")


def _evaluate_language(model: SavedModel, split: str, method: str, as_json: bool) -> None:
    if method not in EVALUATION_METHODS:
        raise UserError(f"there is no method {method!r}: there are {', '.join(EVALUATION_METHODS)}")
    data = LANGUAGE.build_data(model.config, LANGUAGE.find_corpus(model.config, may_fall_back=False))
    check_unchanged(model, data.identity, instead=", or measure another text with sluice score")
    if data.prepared.vocab.tokens != model.vocab.tokens:
        raise UserError(f"the text in {data.corpus.description} is not the text of its training: use sluice score")
    cost = measure(model.config, model.network, data, split, method)
    source = {"checkpoint": str(model.path), "from": data.corpus.description, "split": split, "method": method}
    figures = {"perplexity": cost.perplexity, "loss": cost.loss, "tokens": cost.tokens}
    if as_json:
        print(json.dumps({**source, **figures}))
        return
    say(f"{model.path} on the {split} split, {cost.tokens:,} tokens, from {source['from']}")
    say(f"  {method + ' perplexity':<22}{cost.perplexity:.2f}")


def _evaluate_translator(model: SavedModel, family: TranslationFamily, split: str, as_json: bool) -> None:
    settings = model.config.task
    translator = translator_of(model.config, model.network, model.parts)
    pairs = sentence_pairs_of_split(model, family, translator, split)
    decoding = decoding_settings(settings.decoding, beam=settings.test_beam)
    task = family.make_task(model.config, translator, decoding={"test": decoding}, monitor=Monitor("test/loss", "min"))
    figures = _tested(task, pairs.loader)
    told = task.scoring.signatures()
    source = {"checkpoint": str(model.path), "from": pairs.description, "split": split, "beam": decoding.beam}
    if as_json:
        print(json.dumps({**source, "left_out": pairs.left_out, **figures, "signatures": told}))
        return
    say(f"{model.path} on the {split} split, beam {decoding.beam}, from {source['from']}")
    for name, value in figures.items():
        say(f"  {name:<16}{value:.4f}")
    for name, signature in told.items():
        say(f"  {name}: {signature}")


def _evaluate_sequences(model: SavedModel, split: str, as_json: bool) -> None:
    source: dict[str, Any] = {"checkpoint": str(model.path), "split": split}
    if isinstance(model.config.task, Tagging):
        sentences = sentences_of_split(model, split)
        loader, description = sentences.loader, sentences.description
        source["left_out"] = sentences.left_out
    else:
        data = SEQUENCES.build_data(model.config, SEQUENCES.find_corpus(model.config, may_fall_back=False))
        check_unchanged(model, data.identity)
        loaders = {"train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader}
        loader, description = loaders[split](), data.corpus.description
    task = SEQUENCES.task_of(model.config, model.network, model.parts, monitor=Monitor("test/loss", "min"))
    figures = _tested(task, loader)
    if as_json:
        print(json.dumps({**source, **figures}))
        return
    say(f"{model.path} on the {split} split, {description}")
    for name, value in figures.items():
        say(f"  {name:<12}{value:.5f}")


def _evaluate_pairs(model: SavedModel, split: str, as_json: bool) -> None:
    pairs = text_pairs_of_split(model, split)
    task = PairTask(
        network=model.network,
        labels=model.labels,
        knows_deciding=pairs.corpus.knows_deciding,
        monitor=Monitor("test/loss", "min"),
    )
    metrics = _tested(task, pairs.loader)
    source = {"checkpoint": str(model.path), "pairs": pairs.size, "from": pairs.description}
    if as_json:
        details = {"labels": model.labels, "confusion": task.confusion_matrix(), "left_out": pairs.left_out}
        print(json.dumps({**source, **metrics, **details}))
    else:
        _show(model, source, metrics, task.confusion_matrix(), of="pairs")


def _evaluate_vectors(model: SavedModel, split: str, as_json: bool) -> None:
    data = WORD2VEC.build_data(model.config, WORD2VEC.find_corpus(model.config, may_fall_back=False))
    check_unchanged(model, data.identity)
    if data.prepared.vocab.tokens != model.vocab.tokens:
        raise UserError(f"the text in {data.corpus.description} is not the text of its training: put that one back")
    task = Word2VecTask(network=model.network, monitor=Monitor("test/loss", "min"))
    loss = _tested(task, data.loader(split))["loss"]
    source = {"checkpoint": str(model.path), "from": data.corpus.description, "split": split}
    if as_json:
        print(json.dumps({**source, "loss": loss}))
        return
    say(f"{model.path} on the {split} split, from {source['from']}")
    say(f"  {'loss of a pair':<16}{loss:.4f}")


def _evaluate_classifier(model: SavedModel, split: str, table: TableFile | None, as_json: bool) -> None:
    texts = texts_of_split(model, split) if table is None else texts_of_file(model, _table(table, model.labels))
    task = ClassificationTask(network=model.network, monitor=Monitor("test/loss", "min"), labels=model.labels)
    metrics, confusion = _tested(task, texts.loader), task.confusion_matrix()
    source = {"checkpoint": str(model.path), "texts": texts.size, "from": texts.description}
    if as_json:
        details = {"labels": model.labels, "confusion": confusion, "left_out": texts.left_out}
        print(json.dumps({**source, **metrics, **details}))
    else:
        _show(model, source, metrics, confusion)


def _table(table: TableFile, labels: tuple[str, ...]) -> LabelledTable:
    path, text_column, label_column = table
    return LabelledTable(path=path, text_column=text_column, label_column=label_column, known_labels=labels)


def _tested(task: Task, loader: DataLoader[Any]) -> dict[str, float]:
    """The metrics of a test, without "test/" before their names."""
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="auto", devices=1, use_distributed_sampler=False, **quiet)
    (metrics,) = trainer.test(task, loader, verbose=False)
    return {name.removeprefix("test/"): value for name, value in metrics.items()}


def _show(
    model: SavedModel,
    source: dict[str, object],
    metrics: dict[str, float],
    confusion: list[list[int]],
    of: str = "texts",
) -> None:
    say(f"{source['checkpoint']} on {source[of]:,} {of} from {source['from']}")
    width = max(map(len, metrics)) + 2
    for name, value in metrics.items():
        say(f"  {name:<{width}}{value:.4f}")
    show_confusion(model.labels, confusion)
