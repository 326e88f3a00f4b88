"""sluice embeddings: analysis of word vectors. Heavy imports are deferred until a command runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.options import Json, Tokenized, path
from sluice.exit_codes import exit_on_user_error

HELP = "Analyse the word vectors of a run or file, or the phrase vectors of a translation model."
embeddings = typer.Typer(help=HELP, no_args_is_help=True)

Top = Annotated[int, typer.Option(min=1, help="Number of neighbours.")]
Manhattan = Annotated[bool, typer.Option("--manhattan", help="Use the Manhattan distance instead of the cosine.")]
Png = Annotated[Path | None, typer.Option(parser=path, help="Write the plot to this PNG.")]
Projector = Annotated[
    Path | None, typer.Option(parser=path, help="Write data for TensorBoard's projector to this new folder.")
]


@dataclass(frozen=True)
class EmbeddingSource:
    """Source of the vectors, shared by all `sluice embeddings` commands."""

    source: Path


@embeddings.callback(help=HELP)
def source_of(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            parser=path,
            help="A run, a checkpoint, a GloVe, fastText or word2vec file, or a name such as glove.6B.100d.",
        ),
    ],
) -> None:
    context.obj = EmbeddingSource(source)


@embeddings.command()
def neighbours(
    context: typer.Context,
    word: Annotated[list[str], typer.Argument(help="One or more words.")],
    top: Top = 10,
    manhattan: Manhattan = False,
    as_json: Json = False,
) -> None:
    """Print the nearest neighbours of words."""
    with exit_on_user_error():
        from sluice.cli.word_vectors import print_neighbours

        print_neighbours(context.obj.source, word, top=top, manhattan=manhattan, as_json=as_json)


@embeddings.command()
def analogy(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help="Word A, such as king.")],
    b: Annotated[str, typer.Argument(help="Word B, such as man.")],
    c: Annotated[str, typer.Argument(help="Word C, such as woman.")],
    top: Top = 10,
    manhattan: Manhattan = False,
    as_json: Json = False,
) -> None:
    """Print the nearest neighbours of A - B + C (A is to B as ? is to C)."""
    with exit_on_user_error():
        from sluice.cli.word_vectors import print_analogy

        print_analogy(context.obj.source, (a, b, c), top=top, manhattan=manhattan, as_json=as_json)


@embeddings.command()
def project(
    context: typer.Context,
    word: Annotated[list[str] | None, typer.Argument(help="Words to plot; default: see --words.")] = None,
    words: Annotated[int | None, typer.Option(min=2, help="Number of words, the first ones; default: 200.")] = None,
    png: Png = None,
    projector: Projector = None,
) -> None:
    """Plot words by the first two principal components of their vectors."""
    with exit_on_user_error():
        from sluice.cli.word_vectors import project_words

        project_words(context.obj.source, chosen=word or [], count=words, png=png, projector=projector)


@embeddings.command()
def phrases(
    context: typer.Context,
    text: Annotated[list[str] | None, typer.Argument(help="Phrases; default: standard input.")] = None,
    file: Annotated[Path | None, typer.Option(parser=path, help="A file with one phrase per line.")] = None,
    mean: Annotated[
        bool, typer.Option("--mean", help="Use the mean of the encoder's outputs instead of its final state.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="Number of neighbours.")] = 3,
    manhattan: Manhattan = False,
    png: Png = None,
    projector: Projector = None,
    tokenized: Tokenized = None,
    as_json: Json = False,
) -> None:
    """Print the nearest neighbours of phrases, encoded by a translation model, and plot them."""
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
            tokenized=tokenized,
            as_json=as_json,
        )
