"""sluice bench: speed benchmarks. Heavy imports are deferred until a benchmark runs."""

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.options import Json, path
from sluice.exit_codes import exit_on_user_error

bench = typer.Typer(help="Run speed benchmarks; reports medians over interleaved rounds.", no_args_is_help=True)

MAX_SIZE, MAX_LAYERS = 10**9, 100
"""Largest size; torch's own limit is reported without naming the option."""
MAX_THREADS = 1024
MAX_BEAM = 1000

PlainMemory = Annotated[bool, typer.Option("--plain-memory", help="Leave the C library's malloc settings unchanged.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


@bench.command("all")
def all_(
    runs: Annotated[int, typer.Option(min=1, help="Timed rounds after one warm-up.")] = 5,
    packed: Annotated[bool, typer.Option(help="Also time packed sequences (slow on a CPU).")] = True,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Print one table of speed ratios: language models, translation, variable lengths and every cell."""
    with exit_on_user_error():
        from sluice.benchmarks.all import bench_all

        bench_all(runs=runs, packed=packed, device=device, as_json=as_json)


@bench.command()
def lengths(
    batch_size: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Sequences in the batch.")] = 64,
    steps: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Length of the longest sequence.")] = 200,
    shortest: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Length of the shortest sequence.")] = 150,
    input_size: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Input features.")] = 100,
    hidden_size: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Hidden units.")] = 256,
    runs: Annotated[int, typer.Option(min=1, help="Timed rounds after one warm-up.")] = 7,
    packed: Annotated[bool, typer.Option(help="Also time packed sequences (slow on a CPU).")] = True,
    device: Device = "cpu",
    plain_memory: PlainMemory = False,
    as_json: Json = False,
) -> None:
    """Time a training step on sequences of different lengths: Sluice and torch.nn, padded and packed."""
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
    size: Annotated[list[str] | None, typer.Option(help="batch,steps,inputs,units; may be repeated.")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell; may be repeated.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed rounds after one warm-up.")] = 5,
    device: Device = "cpu",
    plain_memory: PlainMemory = False,
    as_json: Json = False,
) -> None:
    """Measure time and memory of a training step of each cell: Sluice, torch.nn.LSTM and a Python loop."""
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
    batch_size: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Parallel token streams.")] = 20,
    steps: Annotated[int, typer.Option(min=2, max=MAX_SIZE, help="Steps per chunk.")] = 35,
    units: Annotated[
        int, typer.Option(min=16, max=MAX_SIZE, help="Size of the embedding and of each LSTM layer.")
    ] = 200,
    layers: Annotated[int, typer.Option(min=1, max=MAX_LAYERS, help="LSTM layers.")] = 2,
    vocab_size: Annotated[int, typer.Option(min=15_001, max=MAX_SIZE, help="Vocabulary size.")] = 33_278,
    runs: Annotated[int, typer.Option(min=1, help="Timed rounds after one warm-up.")] = 7,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Time language models: training with Sluice's output layers and with plain torch, and generation."""
    with exit_on_user_error():
        from sluice.benchmarks.language import LanguageSizes, bench_language

        sizes = LanguageSizes(batch_size, steps, units, layers, vocab_size)
        bench_language(sizes=sizes, runs=runs, device=device, as_json=as_json)


@bench.command()
def seq2seq(
    batch_size: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Sentence pairs.")] = 128,
    beam: Annotated[
        int, typer.Option(min=2, max=MAX_BEAM, help="Beam size, timed in addition to greedy decoding.")
    ] = 5,
    runs: Annotated[int, typer.Option(min=1, help="Timed rounds after one warm-up.")] = 5,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Time training and decoding of translation models, with and without input feeding."""
    with exit_on_user_error():
        from sluice.benchmarks.seq2seq import bench_seq2seq

        bench_seq2seq(batch_size=batch_size, beam=beam, runs=runs, device=device, as_json=as_json)


@bench.command()
def scale(
    processes: Annotated[list[int] | None, typer.Option(min=1, help="Number of processes; may be repeated.")] = None,
    batches: Annotated[int, typer.Option(min=1, help="Batches per process.")] = 100,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads per process, on a CPU.")] = 1,
    accelerator: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Measure training speed for each number of processes."""
    with exit_on_user_error():
        from sluice.benchmarks.scaling import bench_scale

        bench_scale(
            processes=processes or [1, 2], batches=batches, threads=threads, accelerator=accelerator, as_json=as_json
        )


@bench.command()
def prepare(
    megabytes: Annotated[int, typer.Option(min=1, max=10**6, help="Size of the text in MB.")] = 100,
    pairs: Annotated[int, typer.Option(min=100, max=MAX_SIZE, help="Number of sentence pairs.")] = 100_000,
    as_json: Json = False,
) -> None:
    """Measure the preparation of a text and of sentence pairs: tokens per second, processor time and memory."""
    with exit_on_user_error():
        from sluice.benchmarks.preparation import bench_prepare

        bench_prepare(megabytes=megabytes, pairs=pairs, as_json=as_json)


@bench.command()
def word2vec(
    data_dir: Annotated[
        Path | None,
        typer.Option(parser=path, help="Folder with WikiText-2; default: SLUICE_DATA, else the generated sample."),
    ] = None,
    method: Annotated[str, typer.Option(help="skipgram or cbow.")] = "skipgram",
    size: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Vector size.")] = 100,
    window: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Maximum distance between word and context.")] = 5,
    negatives: Annotated[int, typer.Option(min=1, max=MAX_SIZE, help="Negative samples per pair.")] = 5,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of Sluice and workers of gensim.")] = 2,
    runs: Annotated[int, typer.Option(min=1, help="Timed epochs after one warm-up.")] = 3,
    as_json: Json = False,
) -> None:
    """Measure word2vec training in word pairs per second: Sluice and, if installed, gensim."""
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
