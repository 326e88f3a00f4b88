"""Figures in the model card of an export."""

import json
import shutil
from pathlib import Path

import pytest

from running import Finished
from sluice.export.model_card import model_card
from sluice.recipes.load import load_model


def card_of(run: Path) -> str:
    return model_card(load_model(run), ["a.safetensors"], form="safetensors", stem="a", licence=None)


@pytest.fixture
def folder(finished: Finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "run"))


def test_figures_are_those_of_the_tested_checkpoint(finished: Finished, folder: Path) -> None:
    assert f"| test/accuracy | {finished.results['test/accuracy']:.4g} |" in card_of(folder)
    other = card_of(folder / "last.ckpt")
    assert "None: there is no results.json of this checkpoint." in other
    assert "test/accuracy" not in other


def test_results_of_an_interrupted_run_are_left_out(finished: Finished, folder: Path) -> None:
    (folder / "results.json").write_text(json.dumps({**finished.results, "interrupted": True}), encoding="utf-8")
    assert "val/accuracy" not in card_of(folder)
