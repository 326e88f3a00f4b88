"""The model card of an export: a Markdown file on the task, data, figures, licence and use of a model."""

from collections.abc import Sequence
from pathlib import Path

from sluice.plain import Plain, PlainMapping
from sluice.recipes.registry import recipe_of
from sluice.runs.results import read_results
from sluice.runs.saved_model import SavedModel
from sluice.version import __version__

USAGE = {
    "onnx": "`python {example} ...` runs it with ONNX Runtime and numpy, without Sluice.",
    "torch": (
        "`torch.export.load(file).module()` takes a dictionary of the inputs and returns one of the outputs, without "
        "Sluice."
    ),
    "safetensors": "`safetensors.torch.load_file(file)` returns the weights by the name of their parameter.",
}


def model_card(model: SavedModel, files: Sequence[str], *, form: str, stem: str, licence: str | None) -> str:
    """Returns the content of the model card.

    Args:
        model: the trained model.
        files: names of the exported files.
        form: the format: "onnx", "torch" or "safetensors".
        stem: common beginning of the names of all files.
        licence: licence of the weights; None if unknown.
    """
    config, results = model.config, _results(model)
    sample = " The data were generated: the figures are not meaningful." if model.data_source == "sample" else ""
    usage = USAGE[form].format(example=f"{stem}_example.py")
    sections = [
        f"# {stem}",
        f"A recurrent text model that {recipe_of(config).description}, exported by Sluice {__version__}.",
        "## Model",
        _table({"task": config.task.name, **_core(model), "parameters": _num_parameters(model)}),
        "## Data",
        _table({"source": model.data_source, **_fingerprint(model)}) + (f"\n\n{sample.strip()}" if sample else ""),
        "## Figures",
        _table(_figures(results)) if _figures(results) else "None: there is no results.json of this checkpoint.",
        "## Licence",
        f"Of the weights: {licence or 'unknown'}.",
        "## Use",
        f"{', '.join(f'`{file}`' for file in files)}: {usage} `{stem}.json` has the inputs, outputs, vocabulary and "
        "tokenizer.",
    ]
    return "\n\n".join(sections) + "\n"


def _results(model: SavedModel) -> Plain:
    """Returns the content of results.json if the checkpoint is the tested one of a finished run; otherwise empty."""
    folder: Path = model.path.parent
    tested = next((name for name in ("best.ckpt", "last.ckpt") if (folder / name).is_file()), None)
    if model.path.name != tested or not (folder / "results.json").is_file():
        return {}
    results = read_results(folder)
    return {} if results.get("interrupted") else results


def _figures(results: PlainMapping) -> Plain:
    numbers = {name: value for name, value in results.items() if name.startswith(("test/", "val/"))}
    return {name: f"{value:.4g}" for name, value in numbers.items() if isinstance(value, int | float)}


def _core(model: SavedModel) -> Plain:
    core = model.config.model
    if core.cell == "none":
        return {}
    directions = "2" if core.bidirectional else "1"
    return {"cell": core.cell, "hidden size": core.hidden_size, "layers": core.num_layers, "directions": directions}


def _num_parameters(model: SavedModel) -> str:
    return f"{sum(parameter.numel() for parameter in model.network.parameters()):,}"


def _fingerprint(model: SavedModel) -> Plain:
    """The fingerprint of the data; checkpoints of earlier versions have none."""
    data = model.parts.get("data") or {}
    return {"fingerprint": f"`{data['fingerprint']}`"} if "fingerprint" in data else {}


def _table(entries: PlainMapping) -> str:
    rows = [f"| {name} | {value} |" for name, value in entries.items()]
    return "\n".join(["| | |", "|---|---|", *rows])
