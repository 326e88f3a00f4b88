"""Every cell has a file in conf/model and trains with learned and one-hot embeddings."""

from pathlib import Path

import pytest
import yaml

from running import CONF, TINY, trained
from sluice.recurrent import CELLS

MODELS = sorted(file.stem for file in (CONF / "model").glob("*.yaml") if file.stem != "none")
TWO_BATCHES = ("trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1")


def settings_of(model: str) -> dict[str, str]:
    settings: dict[str, str] = yaml.safe_load((CONF / "model" / f"{model}.yaml").read_text(encoding="utf-8"))
    return settings


def test_cells_and_model_files_correspond() -> None:
    own = {name for name, cell in CELLS.items() if cell.__module__.startswith("sluice.")}
    assert {settings_of(model)["cell"] for model in MODELS} == own


@pytest.mark.parametrize("model", MODELS)
def test_model_file_and_cell_names_agree(model: str) -> None:
    assert settings_of(model)["cell"] == model


@pytest.mark.slow
@pytest.mark.parametrize("embedding", ["learned", "onehot"])
@pytest.mark.parametrize("model", MODELS)
def test_cell_trains(workdir: Path, model: str, embedding: str) -> None:
    results = trained(workdir, *TINY, f"model={model}", f"embedding={embedding}", *TWO_BATCHES).results
    assert results["model"] == model
    assert 0 < results["test/loss"] < 5
