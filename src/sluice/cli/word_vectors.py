"""sluice embeddings neighbours, analogy and project: word vectors of a run or of a file."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from sluice.analysis.embedding_space import pca_projection
from sluice.api import embeddings_and_model
from sluice.errors import UserError, reason_of
from sluice.inference.embeddings import Embeddings, Neighbour
from sluice.plain import Plain
from sluice.plots.save import check_figure, save_figure
from sluice.terminal import print_line

DEFAULT_COUNT = 200
"""Default of `sluice embeddings project --words`."""


def print_neighbours(source: Path, words: list[str], *, top: int, manhattan: bool, as_json: bool) -> None:
    """Prints the nearest neighbours of each word.

    Args:
        source: a run folder, a checkpoint, a file of vectors, or the name of published ones.
        words: the words.
        top: the number of neighbours of each word.
        manhattan: use the Manhattan distance instead of the cosine.
        as_json: print one JSON object per word.

    Raises:
        UserError: if `source` has no vectors, or none for one of the words.
    """
    space = load_space(source)
    for word in words:
        print_nearest({"word": word}, word, space.neighbours(word, top, _metric(manhattan)), as_json)


def print_analogy(source: Path, words: tuple[str, str, str], *, top: int, manhattan: bool, as_json: bool) -> None:
    """Prints the nearest neighbours of a − b + c.

    Args:
        source: a run folder, a checkpoint, a file of vectors, or the name of published ones.
        words: a, b and c.
        top: the number of neighbours.
        manhattan: use the Manhattan distance instead of the cosine.
        as_json: print one JSON object.

    Raises:
        UserError: see `print_neighbours`.
    """
    a, b, c = words
    neighbours = load_space(source).analogy(a, b, c, top, _metric(manhattan))
    print_nearest({"a": a, "b": b, "c": c}, f"{a} - {b} + {c}", neighbours, as_json)


def project_words(
    source: Path, *, chosen: list[str], count: int | None, png: Path | None, projector: Path | None
) -> None:
    """Plots words by their principal components, and writes data for TensorBoard's projector.

    Args:
        source: a run folder, a checkpoint, a file of vectors, or the name of published ones.
        chosen: the words; empty for the first `count` words.
        count: the number of words if none are chosen; None for DEFAULT_COUNT.
        png: the file of the plot; None for no plot.
        projector: a new folder for TensorBoard's projector; None for none.

    Raises:
        UserError: see `print_neighbours`; also if both outputs are None, or one exists already.
    """
    if chosen and count is not None:
        raise UserError(f"--words {count} has no effect with the words {', '.join(chosen)}: omit one of them")
    space = load_space(source)
    first = min(count or DEFAULT_COUNT, len(space.words))
    indices = [space.index(word) for word in chosen] if chosen else list(range(first))
    labels = [space.words[index] for index in indices]
    write_plot(labels, space.vectors[indices], title=str(source), png=png, projector=projector)


def write_plot(
    labels: list[str],
    vectors: NDArray[np.float32],
    *,
    title: str,
    png: Path | None,
    projector: Path | None,
    report: TextIO | None = None,
) -> None:
    """Plots labelled vectors and writes them for TensorBoard's projector.

    Args:
        labels: the labels, one for each vector.
        vectors: of shape (points, size).
        title: of the plot.
        png: the file of the plot; None for no plot.
        projector: a new folder for the projector; None for none.
        report: stream on which the written files are reported; None for standard output.

    Raises:
        UserError: if both outputs are None, one exists already or cannot be written, or there are fewer than two
            points.
    """
    if png is None and projector is None:
        raise UserError("there is nothing to write: give --png FILE, --projector FOLDER or both")
    check_figure("--png", png)
    if projector is not None and projector.exists():
        raise UserError(f"--projector {projector} already exists: choose another name, or remove it")
    if min(vectors.shape) < 2:
        points, size = vectors.shape
        raise UserError(f"got {points} vector(s) of size {size}: a plot needs at least two vectors of size two or more")
    if png is not None:
        from sluice.plots.scatter import draw_scatter  # matplotlib is slow to import

        plane = pca_projection(vectors)
        save_figure(draw_scatter(labels, *plane, title=title), png)
        explained = sum(plane.explained_variance_ratio)
        print(f"Plotted {len(labels)} points to {png} ({explained:.0%} of the variance explained)", file=report)
    if projector is not None:
        write_projector(projector, labels, vectors)
        shown = f"tensorboard --logdir {shlex.quote(str(projector))}"
        print(f"Wrote {len(labels)} points for TensorBoard's projector: {shown}", file=report)
        print("Open http://localhost:6006/#projector there; the button A shows all labels", file=report)


def write_projector(folder: Path, labels: list[str], vectors: NDArray[np.float32]) -> None:
    """Writes labelled vectors for TensorBoard's projector.

    Args:
        folder: the log folder.
        labels: the labels, one for each vector.
        vectors: of shape (points, size).

    Raises:
        UserError: if the folder cannot be written.
    """
    from torch import from_numpy
    from torch.utils.tensorboard import SummaryWriter

    try:
        with SummaryWriter(str(folder)) as writer:
            writer.add_embedding(from_numpy(vectors), metadata=labels, tag="words")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {reason_of(error)}") from error


def load_space(source: Path) -> Embeddings:
    """Loads words and vectors, see `sluice.load_embeddings`; notes if they are of generated data.

    Raises:
        UserError: if `source` has no vectors.
    """
    space, model = embeddings_and_model(source)
    if model is not None and model.data_source == "sample":
        print("note: this model was trained on generated data", file=sys.stderr)
    return space


def print_nearest(query: Plain, title: str, neighbours: list[Neighbour], as_json: bool) -> None:
    """Prints neighbours with their cosine similarity and Manhattan distance.

    Args:
        query: the query, as part of the JSON object.
        title: the heading of the table.
        neighbours: the nearest first.
        as_json: print one JSON object.
    """
    if as_json:
        nearest = [neighbour._asdict() for neighbour in neighbours]
        print(json.dumps({**query, "nearest": nearest}, ensure_ascii=False))
        return
    for line in _table(title, neighbours):
        print_line(line)


def _table(title: str, neighbours: list[Neighbour]) -> Iterator[str]:
    width = max(len(title), *(len(neighbour.word) + 2 for neighbour in neighbours), 12)
    yield f"{title:<{width}}  cosine  Manhattan"
    for neighbour in neighbours:
        yield f"  {neighbour.word:<{width - 2}}  {neighbour.cosine:6.3f}  {neighbour.manhattan:9.2f}"


def _metric(manhattan: bool) -> str:
    return "manhattan" if manhattan else "cosine"
