"""Exports a trained model: the network in one of the formats, and the files that describe it."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from sluice.errors import UserError, check_output, reason_of
from sluice.export.description import describe, subword_models
from sluice.export.example import python_example
from sluice.export.model_card import model_card
from sluice.export.programs import Program, programs_of
from sluice.files import write_atomically
from sluice.runs.saved_model import SavedModel

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}
"""File name extension of each format."""
PACKAGES = {"onnx": "onnx", "safetensors": "safetensors"}
"""Packages that a format needs."""


def export_model(model: SavedModel, output: Path, *, form: str, licence: str | None = None) -> list[Path]:
    """Exports a trained model.

    A network of several programs has one file for each: NAME.encoder.onnx and NAME.decoder.onnx for NAME.onnx. Next to
    it are NAME.json (see docs/export.md), NAME.md (the model card), the sentencepiece models of subwords, and for ONNX
    NAME_example.py.

    Args:
        model: the trained model.
        output: the file.
        form: the format: "onnx", "torch" or "safetensors".
        licence: licence of the weights, for the model card; None if unknown.

    Returns:
        The written files.

    Raises:
        UserError: if the format cannot express the model, lacks a package, or a file exists or cannot be written.
    """
    check_export(form, output)
    stem = output.name.removesuffix(SUFFIXES[form])
    programs = [] if form == "safetensors" else programs_of(model.network)
    names = [f"{stem}{f'.{program.name}' * bool(program.name)}{SUFFIXES[form]}" for program in programs] or [
        output.name
    ]
    description = describe(model, programs, names[: len(programs)], form=form, stem=stem)
    texts: dict[str, str | bytes] = {
        f"{stem}.json": json.dumps(description, ensure_ascii=False, indent=1) + "\n",
        f"{stem}.md": model_card(model, names, form=form, stem=stem, licence=licence),
        **{f"{stem}.{key}.model": content for key, content in subword_models(model).items()},
    }
    if form == "onnx":
        texts[f"{stem}_example.py"] = python_example(description, f"{stem}.json")
    paths = [output.parent / name for name in (*names, *texts)]
    for path in paths:
        if path.exists():
            raise UserError(f"{path} already exists: choose another --output or delete the file")
    contents = [*_networks(model, programs, form), *texts.values()]
    for path, content in zip(paths, contents, strict=True):
        try:
            write_atomically(path, content)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({reason_of(error)}): choose another --output") from error
    return paths


def check_export(form: str, output: Path) -> None:
    """Checks the format and the name of the file.

    Raises:
        UserError: for an unknown format, a missing package, or a file that cannot be written.
    """
    if form not in SUFFIXES:
        raise UserError(f"--format {form} is not known: choose one of {', '.join(SUFFIXES)}")
    if not output.name.endswith(SUFFIXES[form]) or output.name == SUFFIXES[form]:
        raise UserError(f"--output {output} must end in {SUFFIXES[form]} for --format {form}: rename it")
    check_output("--output", output)
    package = PACKAGES.get(form)
    if package is None:
        return
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UserError(f"--format {form} needs the package {package}: pip install 'sluice-rnn[export]'") from error


def _networks(model: SavedModel, programs: list[Program], form: str) -> list[bytes]:
    """Returns the contents of the exported files."""
    if form == "onnx":
        from sluice.export.onnx_file import onnx_model

        metadata = {"task": model.config.task.name}
        return [onnx_model(program, metadata).SerializeToString() for program in programs]
    if form == "torch":
        from sluice.export.torch_program import exported_program, program_bytes

        return [program_bytes(exported_program(program, model.network)) for program in programs]
    from safetensors.torch import save

    return [save(_weights(model), metadata=_metadata(model))]


def _weights(model: SavedModel) -> dict[str, Tensor]:
    """Returns the weights by name; tied weights are stored under each of their names."""
    state: Mapping[str, Tensor] = model.network.state_dict()
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}


def _metadata(model: SavedModel) -> dict[str, str]:
    """Settings of the network, as JSON where they are not strings."""
    saved = model.parts["config"]
    settings = {name: saved[name] for name in ("model", "embedding")}
    return {
        "format": "pt",
        "task": model.config.task.name,
        "network": type(model.network).__name__,
        "settings": json.dumps(settings),
        "fingerprint": str((model.parts.get("data") or {}).get("fingerprint", "")),
    }
