"""The tables at the end."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from sluice.plain import PlainMapping
from sluice.terminal import PlainConsole, print_table

SAMPLE_WARNING = (
    "These figures are of the GENERATED SAMPLE, not of the real corpus: "
    "put the real one into paths.data_dir and train again."
)


def print_results(results: PlainMapping, folder: Path, use: str, *, interrupted: bool = False) -> None:
    """Prints what a person wants to know of a finished run."""
    console = PlainConsole(soft_wrap=True)
    title = f"{results['task']} · {results['model']} · seed {results['seed']}"
    table = Table(title=title, show_header=True, title_justify="left")
    table.add_column("")
    table.add_column("validation", justify="right")
    table.add_column("test", justify="right")
    for name in _metric_names(results):
        table.add_row(name, _figure(results.get(f"val/{name}")), _figure(results.get(f"test/{name}")))
    if table.row_count:
        print_table(table)
    for name, value in results.items():
        if name.startswith("baseline/"):
            console.print(f"{name}: {value:.4f}")
    minutes, speed = results["minutes"], results["train/tokens_per_second"]
    console.print(
        f"{results['parameters']:,} parameters, {minutes:.1f} minutes, {speed:,.0f} tokens/s in training, "
        f"on {results['device']}",
    )
    shown = _relative(folder)
    lines = {"Run": shown, "Curves": f"tensorboard --logdir {shown}"}
    if any((folder / name).is_file() for name in ("best.ckpt", "last.ckpt")):
        lines["Use it"] = use.format(run=shown)
    for what, text in lines.items():
        console.print(f"{what + ':':8}{text}")
    if interrupted:
        kept = "the last state is in last.ckpt" if (folder / "last.ckpt").exists() else "nothing was saved yet"
        console.print(f"Interrupted before the test was done: {kept}.", style="bold")
    if results["data_source"] == "sample":
        console.print(SAMPLE_WARNING, style="bold yellow")


def print_confusion(labels: Sequence[str], counts: list[list[int]]) -> None:
    """Prints how many texts of each class were taken for which."""
    table = Table(title="true class down, predicted across", title_justify="left")
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


def _relative(folder: Path) -> str:
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
