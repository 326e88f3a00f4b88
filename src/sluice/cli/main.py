"""The sluice command: everything but training. Heavy imports wait until a command runs, so that --help is quick."""

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.failing import politely

app = typer.Typer(
    help="Prepare data for, evaluate and use recurrent text models. Training: python train.py --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench = typer.Typer(help="Measure speed; interleaved runs, medians.", no_args_is_help=True)
app.add_typer(bench, name="bench")

Run = Annotated[Path, typer.Argument(help="A run's folder (its best.ckpt is taken) or a checkpoint file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]


@app.command()
def prepare(
    overrides: Annotated[list[str] | None, typer.Argument(help="As for train.py: task=imdb paths.data_dir=...")] = None,
) -> None:
    """Do all of a task that needs the network or time, and no training: download, check, tokenise, store."""
    with politely():
        from sluice.cli.preparing import prepare_task

        prepare_task(overrides or [])


@app.command()
def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="test, val or train of the task's own texts.")] = "test",
    file: Annotated[Path | None, typer.Option(help="Evaluate on this CSV, TSV or JSONL file instead.")] = None,
    text_column: Annotated[str, typer.Option(help="Its column with the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="Its column with the class.")] = "label",
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the corpora lie; default SLUICE_DATA, or else as at training.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a trained model on labelled texts."""
    with politely():
        from sluice.cli.evaluating import evaluate_run

        table = (file, text_column, label_column) if file else None
        evaluate_run(run, split=split, table=table, data_dir=data_dir, as_json=as_json)


@app.command()
def predict(
    run: Run,
    text: Annotated[list[str] | None, typer.Argument(help="One or more texts; none reads standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with one text a line.")] = None,
    as_json: Json = False,
) -> None:
    """Say the class of texts and its probability, from the checkpoint alone."""
    with politely():
        from sluice.cli.predicting import predict_texts

        predict_texts(run, texts=text, file=file, as_json=as_json)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Folders with runs, at any depth: outputs, outputs/imdb, ...")],
    metric: Annotated[
        str | None, typer.Option(help="test/accuracy, val/loss, ...; default: what the task monitors.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw means and deviations into this PNG.")] = None,
) -> None:
    """Put the results of runs side by side: mean and deviation over seeds, parameters, minutes."""
    with politely():
        from sluice.cli.comparing import compare_runs

        compare_runs(folders, metric=metric, csv_path=csv, markdown=markdown, plot=plot)


@bench.command()
def lengths(
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences in the batch.")] = 64,
    steps: Annotated[int, typer.Option(min=1, help="Longest sequence.")] = 200,
    shortest: Annotated[int, typer.Option(min=1, help="Shortest sequence.")] = 150,
    input_size: Annotated[int, typer.Option(min=1, help="Input features.")] = 100,
    hidden_size: Annotated[int, typer.Option(min=1, help="Units.")] = 256,
    runs: Annotated[int, typer.Option(min=1, help="Counted rounds after one warm-up.")] = 7,
    packed: Annotated[bool, typer.Option(help="Also time packed sequences (slow on a CPU).")] = True,
    as_json: Json = False,
) -> None:
    """Training step on sequences of different lengths: Sluice against torch.nn, dense and packed."""
    with politely():
        from sluice.cli.benchmarks import bench_lengths

        bench_lengths(
            batch_size=batch_size,
            steps=steps,
            shortest=shortest,
            input_size=input_size,
            hidden_size=hidden_size,
            runs=runs,
            packed=packed,
            as_json=as_json,
        )


@bench.command()
def cells(
    size: Annotated[
        list[str] | None, typer.Option(help="batch,steps,inputs,units; may be given more than once.")
    ] = None,
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell; may be given more than once.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Counted rounds after one warm-up.")] = 5,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Training step and memory of every cell: Sluice against torch.nn's LSTM and a Python loop."""
    with politely():
        from sluice.cli.cell_benchmark import bench_cells

        bench_cells(sizes=size or [], cells=cell or [], runs=runs, device=device, as_json=as_json)


@bench.command()
def scale(
    processes: Annotated[list[int] | None, typer.Option(min=1, help="How many; may be given more than once.")] = None,
    batches: Annotated[int, typer.Option(min=1, help="Batches on each process.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process, on a CPU.")] = 1,
    accelerator: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Training speed on one process and on more."""
    with politely():
        from sluice.cli.scale_benchmark import bench_scale

        bench_scale(
            processes=processes or [1, 2], batches=batches, threads=threads, accelerator=accelerator, as_json=as_json
        )


if __name__ == "__main__":
    app()
