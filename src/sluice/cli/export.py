"""sluice export: writes a trained model as ONNX, torch.export program or safetensors."""

from pathlib import Path

from sluice.errors import UserError
from sluice.export.exporter import SUFFIXES, check_export, export_model
from sluice.recipes.load import load_model
from sluice.terminal import print_line


def export_run(run: Path, *, form: str, output: Path | None, licence: str | None) -> None:
    """Exports a trained model and prints the names of the written files.

    Args:
        run: a run folder or a checkpoint.
        form: the format.
        output: the file; None for one named as the run in the current folder.
        licence: licence of the weights, for the model card; None if unknown.

    Raises:
        UserError: as `load_model` and `export_model`.
    """
    folder = run.resolve() if run.is_dir() else run.resolve().parent
    path = output or Path(folder.name + SUFFIXES.get(form, ""))
    if licence is not None and not licence.strip():
        raise UserError("--license is empty: give the name of a licence, or omit it")
    check_export(form, path)
    for written in export_model(load_model(run), path, form=form, licence=licence):
        print_line(f"Wrote {written} ({written.stat().st_size:,} bytes)")
