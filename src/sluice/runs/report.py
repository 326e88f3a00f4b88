"""Printing the results of a run."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from sluice.plain import PlainMapping
from sluice.terminal import PlainConsole, duration, print_table

SAMPLE_WARNING = (
    "These scores are on the GENERATED SAMPLE, not on real data, and are not meaningful: {remedy} and train again."
)


def print_results(
    results: PlainMapping,
    folder: Path,
    use: str,
    *,
    code: str = "",
    remedy: str = "use real data",
    interrupted: bool = False,
) -> None:
    """Prints metrics, speed and output locations of a run; the commands with shell quoting.

    Args:
        results: contents of results.json.
        folder: the run folder.
        use: a command that uses the model, with the placeholder {run}.
        code: arguments that follow the run in it, for files with user code.
        remedy: how to use real data instead of generated ones.
        interrupted: whether the run was interrupted before its test had finished.
    """
    console = PlainConsole(soft_wrap=True)
    if _metric_names(results):
        print_table(_metric_table(results))
    for name, value in results.items():
        if name.startswith("baseline/"):
            console.print(f"{name}: {value:.4f}")
    seconds, speed = 60 * results["minutes"], results["train/tokens_per_second"]
    console.print(
        f"{results['parameters']:,} parameters, {duration(seconds)}, {speed:,.0f} tokens/s in training, "
        f"on {results['device']}",
    )
    shown = relative(folder)
    task_folder = relative(_folder_of_task(folder, results["task"]))
    lines = {"Run": shown, "Curves": f"tensorboard --logdir {shlex.quote(task_folder)}"}
    if any((folder / name).is_file() for name in ("best.ckpt", "last.ckpt")):
        lines["Use it"] = use.format(run=shlex.quote(shown) + code)
    for label, text in lines.items():
        console.print(f"{label + ':':8}{text}")
    if interrupted:
        saved = "the training state is in last.ckpt" if (folder / "last.ckpt").exists() else "no checkpoint was saved"
        console.print(f"Interrupted: {saved}.", style="bold")
    if results["data_source"] == "sample":
        console.print(SAMPLE_WARNING.format(remedy=remedy), style="bold yellow", soft_wrap=False)  # breaks at spaces


def _metric_table(results: PlainMapping) -> Table:
    title = f"{results['task']} · {results['model']} · seed {results['seed']}"
    table = Table(title=title, show_header=True, title_justify="left")
    table.add_column("")
    table.add_column("validation", justify="right")
    table.add_column("test", justify="right")
    for name in _metric_names(results):
        table.add_row(name, _figure(results.get(f"val/{name}")), _figure(results.get(f"test/{name}")))
    return table


def print_confusion(labels: Sequence[str], counts: list[list[int]]) -> None:
    """Prints a confusion matrix.

    Args:
        labels: names of the classes.
        counts: a row for each true class, a column for each predicted class.
    """
    table = Table(title="confusion matrix (rows: true class, columns: predicted class)", title_justify="left")
    table.add_column("")
    for label in labels:
        table.add_column(label, justify="right")
    for label, row in zip(labels, counts, strict=True):
        table.add_row(label, *(f"{count:,}" for count in row))
    print_table(table)


def _metric_names(results: PlainMapping) -> list[str]:
    return sorted({name.split("/", 1)[1] for name in results if name.startswith(("val/", "test/"))})


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _folder_of_task(folder: Path, task: str) -> Path:
    """The folder of all runs of the task; the run's own folder if it is elsewhere.

    TensorBoard shows no curves at first if a folder has more than 40 runs, so that the folder of all tasks is not used.
    """
    above = folder.parent.parent
    return above if above.name == task else folder


def relative(path: Path) -> str:
    """A path relative to the working directory, if it is in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def count_lines(counts: dict[str, dict[str, int]]) -> list[str]:
    """Formats `TaskRecipe.data_counts`, a line for each split."""
    widths: dict[str, int] = {}
    for split in counts.values():
        for name, count in split.items():
            widths[name] = max(widths.get(name, 0), len(f"{count:,}"))
    return [
        f"{split:<6}" + "  ".join(f"{count:>{widths[name]},} {name}" for name, count in found.items())
        for split, found in counts.items()
    ]
