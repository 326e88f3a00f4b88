"""sluice evaluate: a trained model's figures on labelled texts."""

import json
import os
from pathlib import Path

import pytorch_lightning as pl
from rich.console import Console
from torch.utils.data import DataLoader

from sluice.cli.building import find_corpus, text_settings
from sluice.cli.logs import start_logging
from sluice.cli.report import show_confusion
from sluice.cli.saved import SavedModel, load_model
from sluice.data.batches import BatchMaker, TextBatch
from sluice.data.samplers import BucketBatchSampler
from sluice.data.sources import SPLITS, LabelledCorpus
from sluice.data.tables import LabelledTable
from sluice.data.tokenizing import Split, encode_corpus, encode_whole
from sluice.errors import UserError
from sluice.tasks.base import Monitor
from sluice.tasks.classification import ClassificationTask

TableFile = tuple[Path, str, str]


def evaluate_run(run: Path, *, split: str, table: TableFile | None, data_dir: Path | None, as_json: bool) -> None:
    """Prints loss, accuracy, F1, AUROC (two classes) and the confusion matrix.

    Args:
        run: a run's folder or a checkpoint.
        split: which of the task's own texts.
        table: file, text column and label column to take instead.
        data_dir: where the task's corpora lie; None for SLUICE_DATA, or else where they lay at training.
        as_json: one JSON object instead of tables.

    Raises:
        UserError: for an unknown split, a checkpoint that isn't one, or texts that can't be had or whose classes the
            model doesn't know.
    """
    start_logging()
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}: there are {', '.join(SPLITS)}")
    model = load_model(run)
    model.config.paths.data_dir = str(data_dir or os.environ.get("SLUICE_DATA") or model.config.paths.data_dir)
    corpus = find_corpus(model.config, may_fall_back=False) if table is None else _table(table)
    texts = _own_split(model, corpus, split) if table is None else _all_of(model, corpus)
    metrics, confusion = _measure(model, texts)
    metrics = {name.removeprefix("test/"): value for name, value in metrics.items()}
    source = {"checkpoint": str(model.path), "texts": len(texts.labels), "from": corpus.description}
    if as_json:
        print(json.dumps({**source, **metrics, "labels": model.labels, "confusion": confusion}))
    else:
        _show(model, source, metrics, confusion)


def _own_split(model: SavedModel, corpus: LabelledCorpus, split: str) -> Split:
    splits = encode_corpus(corpus, text_settings(model.config), model.vocab)
    return _relabelled(splits[split], corpus.labels, model.labels)


def _all_of(model: SavedModel, corpus: LabelledCorpus) -> Split:
    whole = encode_whole(corpus, model.config.task.text.tokenizer, model.vocab)
    return _relabelled(whole, corpus.labels, model.labels)


def _table(table: TableFile) -> LabelledTable:
    path, text_column, label_column = table
    return LabelledTable(path=path, text_column=text_column, label_column=label_column, least_classes=1)


def _relabelled(split: Split, theirs: tuple[str, ...], ours: tuple[str, ...]) -> Split:
    """The split with class ids of the model instead of the corpus."""
    if unknown := set(theirs) - set(ours):
        raise UserError(
            f"the texts have classes the model was not trained on ({', '.join(sorted(unknown))}); "
            f"it knows {', '.join(ours)}"
        )
    return split.relabelled([ours.index(name) for name in theirs])


def _measure(model: SavedModel, split: Split) -> tuple[dict[str, float], list[list[int]]]:
    data = model.config.task.data
    task = ClassificationTask(network=model.network, monitor=Monitor("test/loss", "min"), labels=model.labels)
    sampler = BucketBatchSampler(split.kept_lengths(data.max_length), batch_size=4 * data.batch_size)
    make = BatchMaker(split.texts, split.labels, max_length=data.max_length, truncation=data.truncation)
    loader: DataLoader[TextBatch] = DataLoader(range(len(split.labels)), batch_sampler=sampler, collate_fn=make)  # type: ignore[arg-type]
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    (metrics,) = pl.Trainer(accelerator="auto", devices=1, **quiet).test(task, loader, verbose=False)  # type: ignore[arg-type]
    return dict(metrics), task.confusion_matrix()


def _show(model: SavedModel, source: dict[str, object], metrics: dict[str, float], confusion: list[list[int]]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{source['checkpoint']} on {source['texts']:,} texts from {source['from']}", markup=False)
    for name, value in metrics.items():
        console.print(f"  {name:<10}{value:.4f}")
    show_confusion(model.labels, confusion)
