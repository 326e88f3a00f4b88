"""The `sluice` command. Heavy imports are deferred until a command runs, so that --help is fast."""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sluice.cli.bench import bench
from sluice.cli.embeddings import embeddings
from sluice.cli.options import Json, Tokenized, path
from sluice.errors import UserError
from sluice.exit_codes import EXIT_CODE, INTERRUPTED, exit_on_user_error
from sluice.terminal import escaped_line, print_line
from sluice.version import __version__

MODULES, CHANGED = ("model.module=", "task.module="), "--allow-changed-code"


class UserCodeGroup(TyperGroup):
    """Accepts `model.module=FILE`, `task.module=FILE` and `--allow-changed-code` at any position.

    The files register a user-defined cell or task. They run only if named here, never because a checkpoint names them.
    """

    given: Sequence[str] = ()
    """The arguments of the command line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from sluice.config.user_code import allow_changed_code, allow_named

        end = args.index("--") if "--" in args else len(args)
        options, rest = args[:end], args[end:]  # arguments after -- are text
        allow_named(options)
        self.given = args
        if CHANGED in options:
            allow_changed_code()
        if options[:1] not in (["prepare"], ["train"]):  # these take them as settings
            with exit_on_user_error():
                _check_modules(part for part in options if part.startswith(MODULES))
            options = [part for part in options if not part.startswith(MODULES) and part != CHANGED]
        return super().parse_args(ctx, [*options, *rest])

    def main(self, *args: Any, **options: Any) -> Any:
        """Runs the command; usage errors are one sentence instead of click's usage text."""
        try:
            with exit_on_user_error():  # also around the texts of --help and --version
                result = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as error:
            raise SystemExit(_report_usage_error(error, self.given)) from None
        raise SystemExit(result if isinstance(result, int) else 0)


Hidden = Annotated[int | None, typer.Option(min=1, help="Hidden size of untrained networks; default: 64.")]
Init = Annotated[
    str | None,
    typer.Option(help="Initialiser of untrained recurrent weights: orthogonal (default), xavier or uniform."),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Random seed of untrained networks; default: 1.")]


def _check_modules(named: Iterable[str]) -> None:
    from sluice.config.user_code import module_path

    for argument in named:
        path = Path(module_path(argument)).expanduser()
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "does not exist"
            raise UserError(f"{argument} {problem}: name a Python file")


def _report_usage_error(error: Any, given: Sequence[str]) -> int:
    """Prints a usage error and returns the exit code; re-raises other exceptions.

    Recognised by its methods: the classes are those of click or of Typer's copy of it, depending on Typer's version.
    """
    if type(error).__name__ == "Abort":
        return INTERRUPTED
    if not hasattr(error, "format_message"):
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return EXIT_CODE
    command = error.ctx.command_path.replace("root", "sluice", 1) if getattr(error, "ctx", None) else "sluice"
    message = _with_value(" ".join(error.format_message().split()).rstrip("."), given)
    print_line(f"sluice: {message[:1].lower()}{message[1:]}: see {command} --help", file=sys.stderr)
    return EXIT_CODE


_DASHED_TEXT = re.compile(r"-+(\d.*|[^=]*\s.*)", re.DOTALL)
"""An argument that is a number or a text, although it begins with a dash."""
_INVALID = re.compile(r"Invalid value for '(--[\w-]+)': Input should be (?:a valid )?(\w+[^,]*).*")
_KINDS = {"integer": "a whole number", "number": "a number"}


def _with_value(message: str, given: Sequence[str]) -> str:
    """Names the value of an option of the wrong type, or a text that begins with a dash, instead of click's message."""
    unknown = re.match(r"No such option: (-[^\s.]*)", message)
    if dashed := [part for part in given if unknown and part.startswith(unknown[1]) and _DASHED_TEXT.fullmatch(part)]:
        return f"the text {escaped_line(dashed[0])} begins with a dash: write -- before the texts"
    found = _INVALID.fullmatch(message)
    if found is None:
        return message
    option, expected = found[1], found[2].replace("greater than or equal to", "at least")
    values = [part.removeprefix(f"{option}=") for part in given if part.startswith(f"{option}=")]
    values += [given[index + 1] for index, part in enumerate(given[:-1]) if part == option]
    kind = _KINDS.get(expected, expected.replace("less than or equal to", "at most"))
    return f"{option} {' '.join(values)} cannot be used: it must be {kind}"


app = typer.Typer(
    cls=UserCodeGroup,
    help="Train, evaluate and use recurrent text models.\n\n"
    "For models with a user-defined cell or task add model.module=FILE or task.module=FILE (and --allow-changed-code "
    "if the file has changed since training).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(bench, name="bench")
app.add_typer(embeddings, name="embeddings")

Run = Annotated[Path, typer.Argument(parser=path, help="Run folder (its best.ckpt is used) or checkpoint file.")]
Runs = Annotated[
    list[Path],
    typer.Argument(
        parser=path,
        help="Run folder (its best.ckpt is used) or checkpoint; several classifiers form an ensemble.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(parser=path, help="Folder of the corpora; default: SLUICE_DATA, else the one used in training."),
]


PromptTokenized = Annotated[
    bool | None,
    typer.Option(
        "--tokenized/--raw",
        help="Split the text at white space only, since it is already tokenised. Default: --raw, which uses the "
        "tokenizer of the training text, or 'words' if that text was split at white space.",
    ),
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print_line(f"sluice {__version__}")
        raise typer.Exit


@app.callback()
def common_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OPTIONS] SETTINGS", help="See sluice train --help."),
    ] = None,
) -> None:
    """Train a model, or several in a sweep; takes the options of Hydra, see sluice train --help."""
    from sluice.cli.train import main
    from sluice.installation import find_conf

    sys.argv[1:] = arguments or []
    with exit_on_user_error():
        conf = find_conf()
    main(conf)


@app.command()
def prepare(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings as for training, such as task=imdb paths.data_dir=DIR.")
    ] = None,
    config_dir: Annotated[
        Path | None,
        typer.Option("--config-dir", "-cd", parser=path, help="Folder with additional configuration files."),
    ] = None,
) -> None:
    """Download, check, tokenise and cache the data of a task, so that training needs no network."""
    with exit_on_user_error():
        from sluice.cli.prepare import prepare_task

        prepare_task(overrides or [], config_dir)


@app.command()
def evaluate(
    runs: Runs,
    split: Annotated[
        str | None, typer.Option(help="Split of the task's data: test, val or train; default: test.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(parser=path, help="Evaluate on this file of labelled texts or words instead.")
    ] = None,
    text_columns: Annotated[
        list[str] | None,
        typer.Option(
            "--text-column",
            help="Column of the file with the text (for task=pairs, twice); default: that of the training data.",
        ),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the file with the class; default: that of the training data.")
    ] = None,
    method: Annotated[str, typer.Option(help="For a language model: plain, cache or dynamic.")] = "plain",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the task, such as cache.weight=0.2; may be repeated.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Evaluate a trained model on its task's data, or a classifier or tagger on a file."""
    with exit_on_user_error():
        from sluice.cli.evaluate import evaluate_runs
        from sluice.runs.evaluation import Table

        if file and split is not None:
            raise UserError("--file and --split exclude each other: omit one of them")
        if file is None and (text_columns or label_column is not None):
            raise UserError("--text-column and --label-column have no effect without --file: omit them")
        table = Table(file, text_columns or (), label_column) if file else None
        evaluate_runs(
            runs,
            split="test" if split is None else split,
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
        list[str] | None, typer.Argument(help="One or more texts (two for task=pairs); default: standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="File with one text per line (for task=pairs, two texts separated by a tab), or a table "
            "(.csv, .tsv, .jsonl, .parquet).",
        ),
    ] = None,
    text_columns: Annotated[
        list[str] | None,
        typer.Option("--text-column", help="Column of the table with the text; default: that of the training data."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=path, help="Write the inputs with their predictions to this .csv, .tsv or .jsonl file."),
    ] = None,
    tokenized: Tokenized = None,
    as_json: Json = False,
) -> None:
    """Predict the class of texts or text pairs, or the tags of sentences; needs only the checkpoint.

    One line is printed for each line of a file or of standard input; a blank line has no class.
    """
    with exit_on_user_error():
        from sluice.cli.predict import predict_texts

        if output and as_json:
            raise UserError("--output and --json exclude each other: omit one of them")
        predict_texts(
            run,
            texts=text,
            file=file,
            text_columns=text_columns,
            output=output,
            tokenized=tokenized,
            as_json=as_json,
        )


@app.command()
def generate(
    run: Run,
    prompt: Annotated[str, typer.Option(help="The beginning of the text.")] = "",
    tokens: Annotated[int, typer.Option(min=1, help="Number of tokens to generate.")] = 60,
    temperature: Annotated[float, typer.Option(help="Sampling temperature; below 1 sharpens the distribution.")] = 1.0,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Sample from the k most probable tokens only.")] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Sample from the most probable tokens with this total probability.")
    ] = None,
    beam: Annotated[int | None, typer.Option(help="Use beam search with this beam size instead of sampling.")] = None,
    num: Annotated[int, typer.Option(min=1, help="Number of texts.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    no_unk: Annotated[bool, typer.Option("--no-unk", help="Never generate <unk>.")] = False,
    tokenized: PromptTokenized = None,
    as_json: Json = False,
) -> None:
    """Continue a prompt with a language model; the prompt is printed as given."""
    with exit_on_user_error():
        from sluice.cli.generate import generate_text
        from sluice.inference.language_model import Sampling

        sampling = Sampling(tokens, temperature, top_k, top_p, beam, seed, allow_unknown=not no_unk)
        generate_text(run, sampling, prompt=prompt, number=num, tokenized=tokenized, as_json=as_json)


@app.command()
def suggest(
    run: Run,
    text: Annotated[str | None, typer.Argument(help="The preceding text; default: standard input.")] = None,
    top: Annotated[
        int, typer.Option(min=1, help="Number of words, at most those of the vocabulary that can be generated.")
    ] = 10,
    tokenized: PromptTokenized = None,
    as_json: Json = False,
) -> None:
    """Print the most probable next words according to a language model."""
    with exit_on_user_error():
        from sluice.cli.generate import suggest_words

        suggest_words(run, text=text, top=top, tokenized=tokenized, as_json=as_json)


@app.command()
def score(
    run: Run,
    file: Annotated[Path, typer.Argument(parser=path, help="Text file, plain or .gz.")],
    tokens: Annotated[bool, typer.Option("--tokens", help="Also print each token's log-probability.")] = False,
    tokenized: Tokenized = None,
    as_json: Json = False,
) -> None:
    """Compute the perplexity of a text file under a language model.

    On the test text it is the test perplexity, if the run has task.data.test_streams=1 (default): with more streams,
    each begins without the text before it.
    """
    with exit_on_user_error():
        from sluice.cli.generate import score_file

        score_file(run, file, show_tokens=tokens, tokenized=tokenized, as_json=as_json)


@app.command()
def translate(
    run: Run,
    text: Annotated[list[str] | None, typer.Argument(help="Sentences; default: standard input.")] = None,
    file: Annotated[Path | None, typer.Option(parser=path, help="File with one sentence per line.")] = None,
    beam: Annotated[int | None, typer.Option(help="Beam size; 1 is greedy search; default: 5.")] = None,
    seed: Annotated[int | None, typer.Option(help="Sample instead of searching, with this random seed.")] = None,
    n_best: Annotated[int, typer.Option("--n-best", help="Number of translations per sentence.")] = 1,
    attention: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="Plot the attention weights of the first sentence that is not blank to this new file."
        ),
    ] = None,
    tokenized: Tokenized = None,
    as_json: Json = False,
) -> None:
    """Translate sentences, one line of output per sentence; needs only the checkpoint."""
    with exit_on_user_error():
        from sluice.cli.translate import translate_texts

        translate_texts(
            run,
            texts=text,
            file=file,
            beam=beam,
            seed=seed,
            n_best=n_best,
            attention=attention,
            tokenized=tokenized,
            as_json=as_json,
        )


@app.command()
def inspect(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN TEXT | --gradients [RUN]...",
            help="A run and a text; with --gradients any number of runs, or none for untrained networks.",
        ),
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Unit indices such as 3,7,12-15; default: the units that react most.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Layer number, 1 is the lowest; default: the top layer.")] = None,
    backward: Annotated[bool, typer.Option("--backward", help="Inspect the backward direction.")] = False,
    gates: Annotated[bool, typer.Option("--gates", help="Also show the gates.")] = False,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Show gradient norms by distance from the loss instead of states.")
    ] = False,
    cells: Annotated[str | None, typer.Option(help="Untrained cells; default: rnn,rnn_relu,gru,lstm.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Sequence length; default: 100 for untrained networks, up to 200 for runs."),
    ] = None,
    hidden: Hidden = None,
    seed: Seed = None,
    init: Init = None,
    forget_bias: Annotated[float | None, typer.Option(help="Forget bias of untrained networks; default: 1.")] = None,
    data_dir: DataDir = None,
    tokenized: Tokenized = None,
    png: Annotated[
        Path | None,
        typer.Option(parser=path, help="File of the plot; default: one in a single run's folder, none with --json."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show hidden states of individual units at each token of a text, or gradient norms by distance from the loss."""
    with exit_on_user_error():
        from sluice.cli.inspect import inspect_command

        text_options = {"units": units, "layer": layer, "backward": backward, "gates": gates, "tokenized": tokenized}
        gradient_options = {"steps": steps, "data_dir": data_dir}
        network_options = {"cells": cells, "hidden": hidden, "seed": seed, "init": init, "forget_bias": forget_bias}
        inspect_command(
            given or [], gradients, text_options, gradient_options, network_options, png=png, as_json=as_json
        )


@app.command()
def average(
    run: Annotated[Path, typer.Argument(parser=path, help="Folder of a run trained with callbacks=last_epochs.")],
    last: Annotated[int | None, typer.Option(min=2, help="Number of epochs; default: all saved epochs.")] = None,
) -> None:
    """Average the weights of the last epochs into a new checkpoint."""
    with exit_on_user_error():
        from sluice.cli.average import average_run

        average_run(run, last=last)


@app.command()
def export(
    run: Run,
    form: Annotated[str, typer.Option("--format", help="onnx, torch (torch.export) or safetensors.")] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(parser=path, help="File to write; default: a file named as the run in the current folder."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the weights, for the model card; default: unknown.")
    ] = None,
) -> None:
    """Export a trained model to a file that runs without Sluice, with its vocabulary and a model card next to it."""
    with exit_on_user_error():
        from sluice.cli.export import export_run

        export_run(run, form=form, output=output, licence=licence)


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(parser=path, help="Folders that contain runs at any depth, such as outputs.")
    ],
    metric: Annotated[
        str | None, typer.Option(help="Metric such as test/accuracy or val/loss; default: the task's monitored metric.")
    ] = None,
    sort: Annotated[
        str, typer.Option(help="Order of the rows: metric (best first), model, parameters or minutes.")
    ] = "metric",
    csv: Annotated[Path | None, typer.Option(parser=path, help="Also write the tables to this CSV file.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(parser=path, help="Also plot means and standard deviations to this file (.png, .pdf, .svg)."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Setting on the plot's x axis, such as task.data.steps; default: a row per group of runs."),
    ] = None,
) -> None:
    """Compare finished runs, a table for each task: mean, standard deviation and confidence interval over seeds."""
    with exit_on_user_error():
        from sluice.cli.compare import compare_runs

        compare_runs(folders, metric=metric, sort=sort, csv_path=csv, markdown=markdown, plot=plot, against=against)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Describe this environment for a bug report: versions, devices, kernels, folders, and what is missing.

    The exit code is 2 if something is broken that Sluice needs, else 0.
    """
    with exit_on_user_error():
        from sluice.cli.doctor import examine

        examine(as_json=as_json)


if __name__ == "__main__":
    app()
