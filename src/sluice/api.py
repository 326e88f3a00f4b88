"""Loading trained models and word vectors; the functions of `sluice`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import torch

from sluice.config.user_code import CELL, TASK, allow_module
from sluice.data.published_vectors import default_data_dir, find_vectors, size_of
from sluice.errors import UserError
from sluice.inference.base import InferenceModel
from sluice.inference.classifier import Classifier
from sluice.inference.embeddings import Embeddings, learned_embeddings
from sluice.inference.language_model import LanguageModel
from sluice.inference.pair_classifier import PairClassifier
from sluice.inference.tagger import Tagger
from sluice.inference.translator import Translator
from sluice.recipes.load import Inference, inference_object, load_model
from sluice.recipes.registry import recipe_of
from sluice.runs.saved_model import SavedModel
from sluice.text.vector_files import read_vectors

if TYPE_CHECKING:
    from sluice.modules.base import TaskModule

Module = TypeVar("Module", bound="TaskModule")
Model: TypeAlias = Classifier | LanguageModel | Translator | Tagger | PairClassifier | Embeddings
"""What `load` returns."""


@overload
def load(
    run: str | Path,
    kind: None = None,
    *,
    device: str | torch.device | None = None,
    modules: Sequence[str | Path] = (),
    tokenized: bool | None = None,
) -> Model: ...


@overload
def load(
    run: str | Path,
    kind: type[Inference],
    *,
    device: str | torch.device | None = None,
    modules: Sequence[str | Path] = (),
    tokenized: bool | None = None,
) -> Inference: ...


def load(
    run: str | Path,
    kind: type | None = None,
    *,
    device: str | torch.device | None = None,
    modules: Sequence[str | Path] = (),
    tokenized: bool | None = None,
) -> object:
    """Loads a trained model for inference.

    Args:
        run: a run folder or a checkpoint.
        kind: the expected class, also for type checkers; None for any.
        device: device of torch; None for the CPU.
        modules: Python files that register a custom cell or task of the model. A checkpoint alone never runs code.
        tokenized: whether its texts are tokenised already, and only split at white space; None for texts like those of
            training, False for raw texts also if those of training were only split at white space.

    Returns:
        A Classifier, LanguageModel, Translator, Tagger, PairClassifier or Embeddings, depending on the task.

    Raises:
        UserError: for a missing or invalid checkpoint, user code that `modules` does not name, a model of another kind,
            a missing device, or a task whose models do not support inference.

    Example:
        >>> sluice.load("outputs/imdb/lstm/mine").predict(["It was moving."])[0].label  # doctest: +SKIP
        'pos'
        >>> sluice.load("outputs/wikitext2/lstm/mine", sluice.LanguageModel).suggest("the")  # doctest: +SKIP
    """
    for module in modules:
        allow_module(Path(module), CELL)
        allow_module(Path(module), TASK)
    model = replace(load_model(Path(run)), tokenized=tokenized)
    found: object = inference_object(model, kind or object, Path(run))
    return found.to(device) if device is not None and isinstance(found, InferenceModel) else found


def load_embeddings(source: str | Path) -> Embeddings:
    """Loads word vectors.

    Args:
        source: a run folder or checkpoint of any model with learned word vectors (of a translation model, those of the
            source language), a file of vectors (GloVe, fastText, word2vec), or a name such as "glove.6B.100d".

    Raises:
        UserError: if it has no vectors.

    Example:
        >>> Path("words.txt").write_text("cat 1 0\\ndog 1 1\\nsea -1 2\\n")
        25
        >>> [neighbour.word for neighbour in load_embeddings("words.txt").neighbours("cat")]
        ['dog', 'sea']
    """
    return embeddings_and_model(Path(source))[0]


def embeddings_and_model(source: Path) -> tuple[Embeddings, SavedModel | None]:
    """As `load_embeddings`; also returns the trained model if they are of one."""
    size = size_of(str(source))
    if size is not None:
        return Embeddings(*read_vectors(find_vectors(str(source), default_data_dir()), size)), None
    if source.is_file() and source.suffix != ".ckpt":
        return Embeddings(*read_vectors(source)), None
    model = load_model(source)
    found = recipe_of(model.config).inference(model)
    if isinstance(found, Embeddings):
        return found, model
    try:
        if isinstance(found, InferenceModel):
            return found.embeddings, model
        return learned_embeddings(getattr(model.network, "embedding", None), model.parts.get("vocab") or []), model
    except UserError as error:
        raise UserError(
            f"{model.path} of task={model.config.task.name} has no learned word vectors "
            f"(embedding={model.config.embedding.kind}): give a run on texts with embedding=learned"
        ) from error


def load_module(path: Path, kind: type[Module], **options: Any) -> Module:
    """Builds the LightningModule of a run's checkpoint, for validation, tests, and with an optimizer for training.

    Args:
        path: the checkpoint.
        kind: expected class of the module.
        options: optionally `optimizer`, `schedule` and `monitor`, see TaskModule.

    Raises:
        UserError: as `load_model`, or if the checkpoint is of another class or not of a run.
        TypeError: for other options.
    """
    if not _stores_config(path):
        raise UserError(f"{path} is not of a Sluice run and stores no network: give all arguments of {kind.__name__}")
    model = load_model(path)
    module = recipe_of(model.config).module_for_test(model)
    if not isinstance(module, kind):
        raise UserError(f"{model.path} is of a {type(module).__name__}, not of a {kind.__name__}: use that class")
    module.configure(saved_with=dict(model.parts), **options)
    return module


def _stores_config(path: Path) -> bool:
    """Whether a checkpoint stores a configuration; True for files that cannot be read, which `load_model` explains."""
    with suppress(Exception):  # arbitrary bytes can raise anything in the unpickler
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return "config" in checkpoint.get("sluice", {})
    return True
