"""sluice embeddings: what word vectors know. Heavy imports wait until a command runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.bench import Json
from sluice.exit_codes import exit_on_user_error

embeddings = typer.Typer(
    help="Look at the word vectors of a run or a file, or at a translator's phrases.", no_args_is_help=True
)

Top = Annotated[int, typer.Option(min=1, help="Words shown.")]
Manhattan = Annotated[bool, typer.Option("--manhattan", help="Nearest by the Manhattan distance; else by cosine.")]
Png = Annotated[Path | None, typer.Option(help="Draw the map into this PNG.")]
Projector = Annotated[
    Path | None, typer.Option(help="Fill TensorBoard's projector in this new folder: tensorboard --logdir FOLDER.")
]


@dataclass(frozen=True)
class EmbeddingSource:
    """What all of these commands are asked of."""

    source: Path


@embeddings.callback()
def source_of(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="RUN|FILE", help="A run, a checkpoint, or a GloVe, fastText or word2vec file.")
    ],
) -> None:
    """Look at the word vectors of a run or a file, or at a translator's phrases."""
    context.obj = EmbeddingSource(source)


@embeddings.command()
def neighbours(
    context: typer.Context,
    word: Annotated[list[str], typer.Argument(help="One or more words.")],
    top: Top = 10,
    manhattan: Manhattan = False,
    as_json: Json = False,
) -> None:
    """Say which words lie nearest to a word."""
    with exit_on_user_error():
        from sluice.cli.word_vectors import print_neighbours

        print_neighbours(context.obj.source, word, top=top, manhattan=manhattan, as_json=as_json)


@embeddings.command()
def analogy(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help="As king,")],
    b: Annotated[str, typer.Argument(help="man,")],
    c: Annotated[str, typer.Argument(help="woman: what king - man + woman is.")],
    top: Top = 10,
    manhattan: Manhattan = False,
    as_json: Json = False,
) -> None:
    """Say which words lie nearest to A - B + C: what is to C as A is to B."""
    with exit_on_user_error():
        from sluice.cli.word_vectors import print_analogy

        print_analogy(context.obj.source, (a, b, c), top=top, manhattan=manhattan, as_json=as_json)


@embeddings.command()
def project(
    context: typer.Context,
    word: Annotated[list[str] | None, typer.Argument(help="These words; none takes the first ones.")] = None,
    words: Annotated[int, typer.Option(min=2, help="How many: the first of a file, of a run the most frequent.")] = 200,
    png: Png = None,
    projector: Projector = None,
) -> None:
    """Draw a map of the words by their principal components."""
    with exit_on_user_error():
        from sluice.cli.word_vectors import project_words

        project_words(context.obj.source, chosen=word or [], count=words, png=png, projector=projector)


@embeddings.command()
def phrases(
    context: typer.Context,
    text: Annotated[list[str] | None, typer.Argument(help="Phrases, each in quotes.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with one phrase a line.")] = None,
    mean: Annotated[
        bool, typer.Option("--mean", help="The mean of the encoder's outputs; else its final state.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="Nearest phrases shown of each.")] = 3,
    manhattan: Manhattan = False,
    png: Png = None,
    projector: Projector = None,
    as_json: Json = False,
) -> None:
    """Say which phrases a translator's encoder takes for alike, and draw their map."""
    with exit_on_user_error():
        from sluice.cli.phrase_vectors import print_phrases

        print_phrases(
            context.obj.source,
            texts=text,
            file=file,
            mean=mean,
            top=top,
            manhattan=manhattan,
            png=png,
            projector=projector,
            as_json=as_json,
        )
