"""sluice embeddings neighbours, analogy and project: the words of a run or of a file."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.analysis.embedding_space import EmbeddingSpace, Neighbour, principal_plane
from sluice.errors import UserError
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.word2vec import Word2Vec
from sluice.plain import Plain
from sluice.plots.save import check_new, save_picture
from sluice.plots.scatter import draw_scatter
from sluice.recipes.load import load_model
from sluice.recipes.saved_model import SavedModel
from sluice.terminal import print_line
from sluice.text.coder import MARKS
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.vector_files import read_vectors
from sluice.text.vocab import SPECIALS


def print_neighbours(source: Path, words: list[str], *, top: int, manhattan: bool, as_json: bool) -> None:
    """Prints the words nearest to each of some words.

    Args:
        source: a run's folder, a checkpoint, or a file of vectors.
        words: whose neighbours.
        top: how many of each.
        manhattan: nearest by the Manhattan distance instead of the cosine.
        as_json: one JSON object a word.

    Raises:
        UserError: if `source` has no vectors, or a word isn't among them.
    """
    space = load_space(source)
    for word in words:
        print_nearest({"word": word}, word, space.neighbours(word, top, _metric(manhattan)), as_json)


def print_analogy(source: Path, words: tuple[str, str, str], *, top: int, manhattan: bool, as_json: bool) -> None:
    """Prints the words nearest to a − b + c.

    Args:
        source: a run's folder, a checkpoint, or a file of vectors.
        words: a, b and c.
        top: how many.
        manhattan: nearest by the Manhattan distance instead of the cosine.
        as_json: one JSON object.

    Raises:
        UserError: as `print_neighbours`.
    """
    a, b, c = words
    found = load_space(source).analogy(a, b, c, top, _metric(manhattan))
    print_nearest({"a": a, "b": b, "c": c}, f"{a} - {b} + {c}", found, as_json)


def project_words(source: Path, *, chosen: list[str], count: int, png: Path | None, projector: Path | None) -> None:
    """Draws words as points of a plane, and puts them into TensorBoard's projector.

    Args:
        source: a run's folder, a checkpoint, or a file of vectors.
        chosen: the words; none takes the first `count`.
        count: see there.
        png: the map.
        projector: the new folder.

    Raises:
        UserError: as `print_neighbours`, if there is nothing to write, or it is there already.
    """
    space = load_space(source)
    places = [space.place(word) for word in chosen] if chosen else list(range(min(count, len(space.words))))
    labels = [space.words[place] for place in places]
    write_map(labels, space.vectors[places], title=str(source), png=png, projector=projector)


def write_map(
    labels: list[str], vectors: NDArray[np.float32], *, title: str, png: Path | None, projector: Path | None
) -> None:
    """Writes the map of labelled vectors and fills a projector with them; either may be None, not both.

    Raises:
        UserError: if both are None, one is there already or cannot be written, or there are fewer than two points.
    """
    if png is None and projector is None:
        raise UserError("there is nothing to write: give --png FILE, --projector FOLDER or both")
    check_new(png)
    if projector is not None and projector.exists():
        raise UserError(f"--projector {projector} is there already: choose another name, or remove it")
    if min(vectors.shape) < 2:
        raise UserError(f"a map needs at least two points and two coordinates, there are {vectors.shape}")
    if png is not None:
        plane = principal_plane(vectors)
        save_picture(draw_scatter(labels, *plane, title=title), png)
        print(f"{len(labels)} points, {sum(plane.shares):.0%} of their variance, in {png}")
    if projector is not None:
        write_projector(projector, labels, vectors)
        print(f"{len(labels)} points in the projector of: tensorboard --logdir {projector}")


def write_projector(folder: Path, labels: list[str], vectors: NDArray[np.float32]) -> None:
    """Writes what TensorBoard's projector reads.

    Raises:
        UserError: if the folder cannot be written.
    """
    from torch import from_numpy
    from torch.utils.tensorboard import SummaryWriter

    try:
        with SummaryWriter(str(folder)) as writer:
            writer.add_embedding(from_numpy(vectors), metadata=labels, tag="points")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error


def load_space(source: Path) -> EmbeddingSpace:
    """The words and vectors of a run's folder, a checkpoint or a file; of a run without marks and unknown words.

    Raises:
        UserError: if there are none.
    """
    if source.is_file() and source.suffix != ".ckpt":
        return EmbeddingSpace(*read_vectors(source))
    model = load_model(source)
    if model.data_source == "sample":
        print("note: this model was trained on the generated sample, not on a real text", file=sys.stderr)
    words, table = vectors_of(model)
    places = [place for place, word in enumerate(words) if word not in (*SPECIALS, *MARKS, END_OF_LINE)]
    return EmbeddingSpace([words[place] for place in places], table[places])


def vectors_of(model: SavedModel) -> tuple[list[str], NDArray[np.float32]]:
    """A model's vocabulary, of a translator the source's, and a vector for each of it.

    Raises:
        UserError: if it learned none.
    """
    network, parts = model.network, model.parts
    if isinstance(network, Word2Vec):
        return list(parts["vocab"]), network.vectors.detach().numpy()
    embedding = getattr(network, "source_embedding", None) or getattr(network, "embedding", None)
    words = parts["source"]["vocab"] if "source" in parts else parts.get("vocab", [])
    if not isinstance(embedding, LearnedEmbedding) or len(words) != len(embedding.table.weight):
        raise UserError(
            f"{model.path} has no learned vectors: it was trained with embedding={model.config.embedding.kind} on "
            f"task={model.config.task.name}"
        )
    return list(words), embedding.table.weight.detach().numpy()


def print_nearest(asked: Plain, title: str, found: list[Neighbour], as_json: bool) -> None:
    """Prints what lies near, with both measures."""
    if as_json:
        print(json.dumps({**asked, "nearest": [own._asdict() for own in found]}, ensure_ascii=False))
        return
    for line in _table(title, found):
        print_line(line)


def _table(title: str, found: list[Neighbour]) -> Iterator[str]:
    width = max(len(title), *(len(own.word) + 2 for own in found), 12)
    yield f"{title:<{width}}  cosine  Manhattan"
    for own in found:
        yield f"  {own.word:<{width - 2}}  {own.cosine:6.3f}  {own.manhattan:9.2f}"


def _metric(manhattan: bool) -> str:
    return "manhattan" if manhattan else "cosine"
