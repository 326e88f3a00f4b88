"""Invalid settings and texts of language models are reported."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from books import SAMPLE, SMALL, write_book
from running import CONF, Ended, Finished, error_of, paths_in, sluice, train_composed
from sluice.composition.compose import compose_config


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """Trains with changed settings; each task is composed once."""
    home = tmp_path_factory.mktemp("wrong")
    (home / "data").mkdir()
    bases = {
        "wikitext2": compose_config([*SAMPLE, *paths_in(home)], CONF),
        "corpus": compose_config(["task=corpus", *SMALL, *paths_in(home)], CONF),
    }

    def run(task: str, **settings: Any) -> Ended:
        config = deepcopy(bases[task])
        for name, value in settings.items():
            OmegaConf.update(config, name.replace("__", "."), value)
        return train_composed(config)

    return run


class TestInvalidInput:
    @pytest.mark.usefixtures("workdir")
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"model__bidirectional": True}, "the words to predict would be inputs"),
            ({"model__bidirectional": True, "task__tie_weights": "none"}, "the words to predict would be inputs"),
            (
                {"embedding__size": 6},
                "tied weights need equal sizes: the embedding size is 6, the output layer's 8",
            ),
            ({"embedding__kind": "onehot"}, "task.tie_weights=output needs a learned embedding"),
            ({"task__data__chunk_length": 5000}, "tokens, fewer than one chunk of task.data.chunk_length=5000"),
            ({"task__monitor": "val/accuracy"}, "must be one of val/loss, val/perplexity"),
            ({"task__text__min_freq": 1000_000}, "leaves no word in the vocabulary"),
            (
                {"embedding__adversarial_epsilon": 0.5},
                "embedding.adversarial_epsilon and embedding.init are for tasks that classify",
            ),
            ({"task__output_dropout": 1.0}, "output_dropout"),
            ({"task__cache__weight": 1.0}, "task.cache.weight"),
            ({"task__head": "adaptive", "task__cutoffs": [50, 20]}, "cutoffs [50, 20] must increase"),
            ({"task__data__source": "nowhere"}, "source"),
        ],
        ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
    )
    def test_invalid_settings_are_reported(
        self, composed: Callable[..., Ended], settings: dict[str, Any], words: str
    ) -> None:
        assert words in error_of(composed("wikitext2", **settings))

    @pytest.mark.usefixtures("workdir")
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "split of {path} is empty: provide more text"),
            (b"one line\n", "split of {path} is empty: provide more text"),
            (b"GIF89a\0\xff", "{path} is binary (byte 6, line 1, is zero): use a text file"),
            (b"fine\nf\xe4r\n", "{path} is not UTF-8 at byte 6 (line 2): save it as UTF-8"),
            ("".join(f"{n}\n" for n in range(30)).encode(), "fewer than one chunk"),
            (None, "task.data.path={path} does not exist: give the path of a file or folder"),
        ],
        ids=["empty", "one line", "binary", "latin", "short", "missing"],
    )
    def test_invalid_texts_are_reported(
        self, composed: Callable[..., Ended], tmp_path: Path, content: bytes | None, words: str
    ) -> None:
        path = tmp_path / "book.txt"
        if content is not None:
            path.write_bytes(content)
        error = error_of(composed("corpus", task__data__path=str(path)))
        assert words.format(path=path) in error

    @pytest.mark.usefixtures("workdir")
    def test_missing_path_is_reported(self, composed: Callable[..., Ended]) -> None:
        assert "task.data.path is not set: give it as task.data.path=..." in error_of(composed("corpus"))

    def test_evaluation_on_another_text_is_refused(self, book_run: Finished, tmp_path: Path) -> None:
        other = write_book(tmp_path / "other.txt", 60, seed=9)
        saved = torch.load(book_run.folder / "best.ckpt", weights_only=True)
        saved["sluice"]["config"]["task"]["data"]["path"] = str(other)
        saved["sluice"]["config"]["task"]["text"]["min_freq"] = 3
        torch.save(saved, tmp_path / "moved.ckpt")
        error = error_of(sluice("evaluate", tmp_path / "moved.ckpt"))
        assert f"the data have changed since {tmp_path / 'moved.ckpt'} was trained: {other}" in error
        assert "with sluice score" in error
        error = error_of(sluice("evaluate", book_run.folder, "--method", "magic"))
        assert "--method magic cannot be used: it must be one of plain, cache, dynamic" in error
