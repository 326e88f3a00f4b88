"""The sluice command: everything but training. Heavy imports wait until a command runs, so that --help is quick."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sluice.cli.bench import Json, bench
from sluice.cli.embeddings import embeddings
from sluice.exit_codes import exit_on_user_error

MODULES, CHANGED = ("model.module=", "task.module="), "--allow-changed-code"


class CodeNamingGroup(TyperGroup):
    """Takes `model.module=FILE`, `task.module=FILE` and `--allow-changed-code` at any position.

    The files register a user-defined cell or task. A checkpoint that needs them never runs them by itself.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from sluice.config.user_code import allow_changed_code, allow_named

        end = args.index("--") if "--" in args else len(args)
        own, rest = args[:end], args[end:]  # what follows -- is text
        allow_named(own)
        if CHANGED in own:
            allow_changed_code()
        if own[:1] != ["prepare"]:  # which takes settings
            own = [part for part in own if not part.startswith(MODULES) and part != CHANGED]
        return super().parse_args(ctx, [*own, *rest])


app = typer.Typer(
    cls=CodeNamingGroup,
    help="Prepare data for, evaluate and use recurrent text models. Training: python train.py --help\n\n"
    "A model with a cell or task of your own: add model.module=FILE or task.module=FILE (and --allow-changed-code if "
    "the file has changed).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(bench, name="bench")
app.add_typer(embeddings, name="embeddings")

Run = Annotated[Path, typer.Argument(help="A run's folder (its best.ckpt is taken) or a checkpoint file.")]


@app.command()
def prepare(
    overrides: Annotated[list[str] | None, typer.Argument(help="As for train.py: task=imdb paths.data_dir=...")] = None,
    config_dir: Annotated[
        Path | None, typer.Option("--config-dir", "-cd", help="A folder with more options for the groups.")
    ] = None,
) -> None:
    """Do all of a task that needs the network or time, and no training: download, check, tokenise, store."""
    with exit_on_user_error():
        from sluice.cli.prepare import prepare_task

        prepare_task(overrides or [], config_dir)


@app.command()
def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="test, val or train of the task's own texts.")] = "test",
    file: Annotated[Path | None, typer.Option(help="Evaluate on this CSV, TSV or JSONL file instead.")] = None,
    text_column: Annotated[str, typer.Option(help="Its column with the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="Its column with the class.")] = "label",
    method: Annotated[str, typer.Option(help="Of a language model: plain, cache or dynamic.")] = "plain",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Of the task, as in --set cache.weight=0.2; more than once.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the corpora lie; default SLUICE_DATA, or else as at training.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a trained model on its task's texts, or a classifier on a file of yours."""
    with exit_on_user_error():
        from sluice.cli.evaluate import evaluate_run
        from sluice.recipes.evaluation import Table

        table = Table(file, text_column, label_column) if file else None
        evaluate_run(
            run,
            split=split,
            table=table,
            method=method,
            settings=settings or [],
            data_dir=data_dir,
            as_json=as_json,
        )


@app.command()
def predict(
    run: Run,
    text: Annotated[
        list[str] | None, typer.Argument(help="One or more texts, of task=pairs two; none reads standard input.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file with one text a line, of task=pairs two with a tab between them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say the class of texts, or of a pair, and its probability, from the checkpoint alone."""
    with exit_on_user_error():
        from sluice.cli.predict import predict_texts

        predict_texts(run, texts=text, file=file, as_json=as_json)


@app.command()
def generate(
    run: Run,
    prompt: Annotated[str, typer.Option(help="How the text begins.")] = "",
    tokens: Annotated[int, typer.Option(min=1, help="Words (or letters) written after it.")] = 60,
    temperature: Annotated[float, typer.Option(help="Below 1 likelier words get likelier, above 1 rarer ones.")] = 1.0,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Draw from the k likeliest only.")] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", help="Draw from the likeliest that make up this.")] = None,
    beam: Annotated[int | None, typer.Option(help="Search with a beam this wide instead of drawing.")] = None,
    num: Annotated[int, typer.Option(min=1, help="Texts.")] = 1,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text.")] = None,
    no_unk: Annotated[bool, typer.Option("--no-unk", help="Never write the unknown word.")] = False,
    as_json: Json = False,
) -> None:
    """Continue a prompt with a language model."""
    with exit_on_user_error():
        from sluice.cli.generate import generate_text
        from sluice.inference.language_model import Sampling

        sampling = Sampling(tokens, temperature, top_k, top_p, beam, seed, allow_unknown=not no_unk)
        generate_text(run, sampling, prompt=prompt, number=num, as_json=as_json)


@app.command()
def suggest(
    run: Run,
    text: Annotated[str | None, typer.Argument(help="What goes before; none reads it as you type.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Words shown.")] = 10,
    as_json: Json = False,
) -> None:
    """Say a language model's likeliest next words."""
    with exit_on_user_error():
        from sluice.cli.generate import suggest_words

        suggest_words(run, text=text, top=top, as_json=as_json)


@app.command()
def score(
    run: Run,
    file: Annotated[Path, typer.Argument(help="A text file.")],
    tokens: Annotated[bool, typer.Option("--tokens", help="Also each token and its log-probability.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the perplexity of a text by a language model."""
    with exit_on_user_error():
        from sluice.cli.generate import score_file

        score_file(run, file, show_tokens=tokens, as_json=as_json)


@app.command()
def translate(
    run: Run,
    text: Annotated[list[str] | None, typer.Argument(help="Sentences; none reads standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with one sentence a line.")] = None,
    beam: Annotated[int | None, typer.Option(help="Hypotheses a sentence, default 5; 1 is greedy.")] = None,
    seed: Annotated[int | None, typer.Option(help="Draw the words by probability, with this seed.")] = None,
    n_best: Annotated[int, typer.Option("--n-best", help="Translations of each sentence.")] = 1,
    attention: Annotated[Path | None, typer.Option(help="PNG of where the model looked, first sentence.")] = None,
    as_json: Json = False,
) -> None:
    """Translate sentences, from the checkpoint alone."""
    with exit_on_user_error():
        from sluice.cli.translate import translate_texts

        translate_texts(
            run, texts=text, file=file, beam=beam, seed=seed, n_best=n_best, attention=attention, as_json=as_json
        )


@app.command()
def inspect(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN TEXT | --gradients [RUN]...",
            help="A run (folder or checkpoint) and a text; with --gradients any number of runs; none: fresh ones.",
        ),
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Which, from 0 on, as in 3,7,12-15; default: those that change most.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="From 1, the lowest, on; default: the top one.")] = None,
    backward: Annotated[bool, typer.Option("--backward", help="The direction that reads from the end.")] = False,
    gates: Annotated[bool, typer.Option("--gates", help="The gates too.")] = False,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Norms of the loss's gradient by earlier states, by distance.")
    ] = False,
    cells: Annotated[str | None, typer.Option(help="Of fresh networks; default: rnn,rnn_relu,gru,lstm.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of their sequences, 100; of a run's text or stream, at most (200).")
    ] = None,
    hidden: Annotated[int | None, typer.Option(min=1, help="Units of fresh networks; default: 64.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of fresh networks and their sequences; default: 1.")] = None,
    init: Annotated[str | None, typer.Option(help="Their recurrent weights: orthogonal (default) or xavier.")] = None,
    forget_bias: Annotated[
        float | None, typer.Option(help="Bias of their gate that keeps the old state; default: 1.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the runs' corpora lie; default SLUICE_DATA, or else as at training.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="The picture; default: a new file in the run's folder, none with --json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what single units do at every symbol of a text, or how far back gradients reach."""
    with exit_on_user_error():
        from sluice.cli.inspect import inspect_command

        text_options = {"units": units, "layer": layer, "backward": backward, "gates": gates}
        gradient_options = {"steps": steps, "data_dir": data_dir}
        network_options = {"cells": cells, "hidden": hidden, "seed": seed, "init": init, "forget_bias": forget_bias}
        inspect_command(
            given or [], gradients, text_options, gradient_options, network_options, png=png, as_json=as_json
        )


@app.command()
def average(
    run: Annotated[Path, typer.Argument(help="A run's folder, trained with callbacks=last_epochs.")],
    last: Annotated[int | None, typer.Option(min=2, help="Epochs; default: all that were kept.")] = None,
) -> None:
    """Write the mean of the last epochs' weights as a checkpoint of its own."""
    with exit_on_user_error():
        from sluice.cli.average import average_run

        average_run(run, last=last)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Folders with runs, at any depth: outputs, outputs/imdb, ...")],
    metric: Annotated[
        str | None, typer.Option(help="test/accuracy, val/loss, ...; default: what the task monitors.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw means and deviations into this PNG.")] = None,
    against: Annotated[
        str | None, typer.Option(help="The plot's axis, as task.data.steps: a curve a model; default: a bar a group.")
    ] = None,
) -> None:
    """Put the results of runs side by side: mean and deviation over seeds, parameters, minutes."""
    with exit_on_user_error():
        from sluice.cli.compare import compare_runs

        compare_runs(folders, metric=metric, csv_path=csv, markdown=markdown, plot=plot, against=against)


if __name__ == "__main__":
    app()
