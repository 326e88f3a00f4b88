"""Checking settings against each other, without reading any data."""

import math
import os
import re
from pathlib import Path
from typing import Any

from sluice.config.common import Model
from sluice.config.fields import shown
from sluice.config.schema import Config
from sluice.config.tasks.translation import Translating
from sluice.errors import UserError
from sluice.text.lines import check_not_pipe

WORKERS_PER_CORE = 8
PARTS = (("validation_fraction", "validation_path"), ("test_fraction", "test_path"))
"""Fractions of a file that are split off, unless a separate file is given."""
COLUMNS = ("text_column", "first_column", "second_column", "label_column", "word_column", "tag_column")
FILES = (
    *("path", "validation_path", "test_path", "target_path"),
    *("validation_target_path", "test_target_path"),
)
"""Settings of `task.data` that name files of the user."""
VECTORS = ("embedding.path", "task.decoder.embedding_path")
"""Settings that name pretrained vectors."""


def check_combinations(config: Config) -> None:
    """Checks settings that restrict each other.

    Raises:
        UserError: for settings that contradict each other, or have no effect together.
    """
    data = getattr(config.task, "data", None)
    _check_fractions(data)
    _check_folds(data)
    _check_columns(data)
    _check_tagged_files(data)
    for name in ("source_language", "target_language"):
        code = getattr(data, name, "en")
        if not re.fullmatch(r"[A-Za-z][\w-]+", code):
            raise UserError(f"task.data.{name}={code} cannot be used: it must be the code of a language, such as en")
    lengths, longest = getattr(data, "lengths", None), getattr(data, "max_length", None)
    if lengths and longest is not None and max(lengths) > longest:
        raise UserError(
            f"task.data.lengths={lengths} exceeds task.data.max_length={longest}, which would truncate the sequences: "
            f"set task.data.max_length={max(lengths)} too"
        )
    _check_class_weights(getattr(config.task, "class_weights", None))
    _check_embedding(config)
    if isinstance(config.task, Translating) and config.task.r_drop:
        _check_r_drop(config.model, config.task)
    workers, most = getattr(data, "num_workers", 0), WORKERS_PER_CORE * (os.cpu_count() or 1)
    if workers > most:
        raise UserError(f"task.data.num_workers={workers} cannot be used: it must be at most {most} on this machine")
    modes = getattr(config.task, "eval_modes", None)
    if modes is not None and (not modes or len(set(modes)) < len(modes)):
        raise UserError(f"task.eval_modes=[{','.join(modes)}] cannot be used: name each mode once, at least one")


def check_files(config: Config) -> None:
    """Checks that the files of the user exist and are not pipes, and the names of published vectors.

    Raises:
        UserError: for the first one that does not exist or is a pipe, or a name of vectors of another dimension than
            embedding.size.
    """
    data = getattr(config.task, "data", None)
    given = {f"task.data.{name}": getattr(data, name, None) for name in FILES}
    for key, path in given.items():
        if path is not None and not (path and Path(path).exists()):
            raise UserError(f"{key}={path} does not exist: give the path of a file{_or_folder(key)}")
        if path is not None:
            check_not_pipe(Path(path), f"{key}={path}")
    for key, path in vector_settings(config).items():
        from sluice.data.published_vectors import check_vectors

        check_vectors(key, path, config.embedding.size)


def vector_settings(config: Config) -> dict[str, str]:
    """Returns the settings that name pretrained vectors and are given: `embedding.path` and that of a decoder."""
    decoder = getattr(config.task, "decoder", None)
    found = zip(VECTORS, (config.embedding.path, getattr(decoder, "embedding_path", None)), strict=True)
    return {key: path for key, path in found if path is not None}


def fetch_vectors(config: Config) -> None:
    """Downloads the published vectors that the settings name, if they are not in the data folder, and checks the files.

    Raises:
        UserError: if they cannot be downloaded, or the first rows of a file are invalid.
    """
    for given in vector_settings(config).values():
        from sluice.data import published_vectors

        published_vectors.fetch_vectors(given, Path(config.paths.data_dir), config.embedding.size)


def _or_folder(key: str) -> str:
    return " or folder" if key == "task.data.path" else ""


def _check_fractions(data: Any) -> None:
    given = {name: getattr(data, name) for name, path in PARTS if hasattr(data, name) and not getattr(data, path, None)}
    if getattr(data, "folds", None) is not None:
        given.pop("test_fraction", None)  # a fold is the test
    if sum(given.values()) >= 1:
        names = " and ".join(f"task.data.{name}={value:g}" for name, value in given.items())
        raise UserError(f"{names} leave nothing to train on: they must sum to less than 1")


def _check_folds(data: Any) -> None:
    folds, fold = getattr(data, "folds", None), getattr(data, "fold", None)
    if folds is None:
        return
    if fold is None or fold >= folds:
        shown = "null" if fold is None else fold
        raise UserError(
            f"task.data.fold={shown} cannot be used with task.data.folds={folds}: set it to 0 ... {folds - 1}, for all "
            f"of them -m task.data.fold={','.join(map(str, range(folds)))}"
        )


def _check_columns(data: Any) -> None:
    given = {name: getattr(data, name) for name in COLUMNS if getattr(data, name, None) is not None}
    for name, column in given.items():
        other = next((other for other, value in given.items() if other != name and value == column), None)
        if other is not None:
            raise UserError(f"task.data.{name} and task.data.{other} are both {column!r}: name different columns")


def _check_tagged_files(data: Any) -> None:
    for name in ("word_column", "tag_column"):
        column = getattr(data, name, None)
        if column is not None and not column.strip().lstrip("+-").lstrip("0"):
            raise UserError(
                f"task.data.{name}={column} cannot be used: it must be the number of a column, 1 for the first or -1 "
                "for the last, or its name"
            )


def _check_class_weights(weights: Any) -> None:
    if isinstance(weights, dict):
        values = list(weights.values())
        if not all(isinstance(value, int | float) and 0 < value < math.inf for value in values):
            raise UserError(
                f"task.class_weights={weights} cannot be used: every weight must be a finite number above 0"
            )
    elif weights not in (None, "balanced"):
        raise UserError(
            f"task.class_weights={shown(weights)} cannot be used: it must be null, balanced, or a weight for each class"
        )


def _check_embedding(config: Config) -> None:
    embedding = config.embedding
    if embedding.kind == "learned":
        return
    given = {"path": embedding.path is not None, "frozen": embedding.frozen, "init": embedding.init != "random"}
    given["adversarial_epsilon"] = bool(embedding.adversarial_epsilon) and embedding.kind == "onehot"
    for name, is_set in given.items():
        if is_set:
            raise UserError(
                f"embedding.{name}={shown(getattr(embedding, name))} needs a learned embedding: it cannot be combined "
                f"with embedding={embedding.kind}"
            )


def _check_r_drop(model: Model, task: Translating) -> None:
    """Checks that the two predictions of R-Drop have the same previous words, and different dropout masks."""
    given = f"task.r_drop={task.r_drop}"
    if task.scheduled_sampling:
        raise UserError(
            f"{given} cannot be used with task.scheduled_sampling={task.scheduled_sampling}: both predictions "
            "of a word must have the same previous words; set one of them to 0"
        )
    layers = max(model.num_layers, task.decoder.num_layers)
    between_layers = model.dropout if layers > 1 else 0.0
    of_memory = task.memory_dropout if task.attention != "none" else 0.0
    of_decoder = (task.decoder.hidden_dropout, task.output_dropout)
    if not any((model.input_dropout, between_layers, model.recurrent_dropout, of_memory, *of_decoder)):
        raise UserError(
            f"{given} has no effect: without dropout both predictions are equal (word dropout and weight dropout are "
            "the same in both); set task.output_dropout or model.input_dropout too"
        )
