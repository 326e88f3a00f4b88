"""sluice bench: claims of speed as commands. Heavy imports wait until one runs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sluice.exit_codes import exit_on_user_error

bench = typer.Typer(help="Measure speed; interleaved runs, medians.", no_args_is_help=True)

PlainMemory = Annotated[
    bool, typer.Option("--plain-memory", help="All of them with the C library's own handling of memory.")
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]


@bench.command()
def lengths(
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences in the batch.")] = 64,
    steps: Annotated[int, typer.Option(min=1, help="Longest sequence.")] = 200,
    shortest: Annotated[int, typer.Option(min=1, help="Shortest sequence.")] = 150,
    input_size: Annotated[int, typer.Option(min=1, help="Input features.")] = 100,
    hidden_size: Annotated[int, typer.Option(min=1, help="Units.")] = 256,
    runs: Annotated[int, typer.Option(min=1, help="Counted rounds after one warm-up.")] = 7,
    packed: Annotated[bool, typer.Option(help="Also time packed sequences (slow on a CPU).")] = True,
    device: Device = "cpu",
    plain_memory: PlainMemory = False,
    as_json: Json = False,
) -> None:
    """Training step on sequences of different lengths: Sluice against torch.nn, dense and packed."""
    with exit_on_user_error():
        from sluice.benchmarks.timing import bench_lengths

        bench_lengths(
            batch_size=batch_size,
            steps=steps,
            shortest=shortest,
            input_size=input_size,
            hidden_size=hidden_size,
            runs=runs,
            packed=packed,
            device=device,
            plain_memory=plain_memory,
            as_json=as_json,
        )


@bench.command()
def cells(
    size: Annotated[
        list[str] | None, typer.Option(help="batch,steps,inputs,units; may be given more than once.")
    ] = None,
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell; may be given more than once.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Counted rounds after one warm-up.")] = 5,
    device: Device = "cpu",
    plain_memory: PlainMemory = False,
    as_json: Json = False,
) -> None:
    """Training step and memory of every cell: Sluice against torch.nn's LSTM and a Python loop."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or torch's profiler prints when it starts and stops
    with exit_on_user_error():
        from sluice.benchmarks.cells import bench_cells

        bench_cells(
            sizes=size or [],
            cells=cell or [],
            runs=runs,
            device=device,
            plain_memory=plain_memory,
            as_json=as_json,
        )


@bench.command()
def language(
    batch_size: Annotated[int, typer.Option(min=1, help="Streams.")] = 20,
    steps: Annotated[int, typer.Option(min=2, help="Steps of a chunk.")] = 35,
    units: Annotated[int, typer.Option(min=16, help="Of the embedding and of each layer.")] = 200,
    layers: Annotated[int, typer.Option(min=1, help="Of the LSTM.")] = 2,
    vocab_size: Annotated[int, typer.Option(min=10_001, help="Words.")] = 33_278,
    runs: Annotated[int, typer.Option(min=1, help="Counted rounds after one warm-up.")] = 7,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Training and writing of language models: Sluice's output layers against plain torch."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or torch's profiler prints when it starts and stops
    with exit_on_user_error():
        from sluice.benchmarks.language import bench_language

        bench_language(
            batch_size=batch_size,
            steps=steps,
            units=units,
            layers=layers,
            vocab_size=vocab_size,
            runs=runs,
            device=device,
            as_json=as_json,
        )


@bench.command()
def seq2seq(
    batch_size: Annotated[int, typer.Option(min=1, help="Sentence pairs.")] = 128,
    beam: Annotated[int, typer.Option(min=2, help="Of decoding, beside greedy.")] = 5,
    runs: Annotated[int, typer.Option(min=1, help="Counted rounds after one warm-up.")] = 5,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Training and decoding of translators, with and without input feeding."""
    with exit_on_user_error():
        from sluice.benchmarks.seq2seq import bench_seq2seq

        bench_seq2seq(batch_size=batch_size, beam=beam, runs=runs, device=device, as_json=as_json)


@bench.command()
def scale(
    processes: Annotated[list[int] | None, typer.Option(min=1, help="How many; may be given more than once.")] = None,
    batches: Annotated[int, typer.Option(min=1, help="Batches on each process.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process, on a CPU.")] = 1,
    accelerator: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Training speed on one process and on more."""
    with exit_on_user_error():
        from sluice.benchmarks.scaling import bench_scale

        bench_scale(
            processes=processes or [1, 2], batches=batches, threads=threads, accelerator=accelerator, as_json=as_json
        )


@bench.command()
def word2vec(
    data_dir: Annotated[
        Path | None, typer.Option(help="A folder with WikiText-2; without one, SLUICE_DATA's, or else the sample.")
    ] = None,
    method: Annotated[str, typer.Option(help="skipgram or cbow.")] = "skipgram",
    size: Annotated[int, typer.Option(min=1, help="Units of a vector.")] = 100,
    window: Annotated[int, typer.Option(min=1, help="Most words to either side.")] = 5,
    negatives: Annotated[int, typer.Option(min=1, help="Words drawn against each pair.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of Sluice, and workers of gensim.")] = 2,
    runs: Annotated[int, typer.Option(min=1, help="Counted epochs after one warm-up.")] = 3,
    as_json: Json = False,
) -> None:
    """Pairs of words a second in training word vectors: Sluice beside gensim, where that is installed."""
    with exit_on_user_error():
        from sluice.benchmarks.word2vec import bench_word2vec

        bench_word2vec(
            data_dir=data_dir,
            method=method,
            size=size,
            window=window,
            negatives=negatives,
            threads=threads,
            runs=runs,
            as_json=as_json,
        )
