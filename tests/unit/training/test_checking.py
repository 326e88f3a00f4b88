"""Ranges, class weights, and what is said of an error."""

import errno
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from sluice.config.common import Model
from sluice.config.fields import Allowed, check_ranges
from sluice.config.tasks.classification import Text
from sluice.errors import UserError
from sluice.exit_codes import politely, sentence
from sluice.modules.class_weights import class_weights
from sluice.runs.logs import close_logs, log_to, start_logging
from sluice.training import trainer as trainers


@pytest.mark.parametrize(
    ("allowed", "good", "bad", "words"),
    [
        (Allowed(least=1), [1, 5], [0, -1], "at least 1"),
        (Allowed(least=0, below=1), [0, 0.99], [1, 1.5, -0.1, float("nan")], "at least 0 and below 1"),
        (Allowed(above=0, below=1), [0.1], [0, 1], "above 0 and below 1"),
        (Allowed(choices=("head", "tail")), ["head"], ["middle", ""], "one of head, tail"),
    ],
)
def test_a_range_allows_what_it_says(allowed: Allowed, good: list[object], bad: list[object], words: str) -> None:
    assert all(allowed.allows(value) for value in good)
    assert not any(allowed.allows(value) for value in bad)
    assert allowed.expected() == words


def test_the_first_value_out_of_range_is_named_with_its_key() -> None:
    model = Model(name="a", cell="lstm", hidden_size=3, num_layers=1, bidirectional=False, dropout=0, input_dropout=2)
    with pytest.raises(UserError, match=r"model.input_dropout=2 cannot be used: it must be at least 0 and below 1"):
        check_ranges(model, "model.")


def test_null_is_allowed_where_the_type_allows_it() -> None:
    check_ranges(Text(max_size=None))
    with pytest.raises(UserError, match="max_size=0"):
        check_ranges(Text(max_size=0))


SEEN = np.array([0] * 6 + [1] * 3 + [2])


def test_balanced_weights_make_every_class_count_alike() -> None:
    weights = class_weights("balanced", ("a", "b", "c"), SEEN)
    assert weights is not None
    counts = np.bincount(SEEN)
    assert np.allclose(counts * weights, len(SEEN) / 3)


def test_given_weights_follow_the_order_of_the_classes() -> None:
    assert class_weights({"b": 2, "a": 1, "c": 0.5}, ("a", "b", "c"), SEEN) == [1.0, 2.0, 0.5]
    assert class_weights({1: 2, 0: 1}, ("0", "1"), SEEN) == [1.0, 2.0]
    assert class_weights(None, ("a", "b"), SEEN) is None


@pytest.mark.parametrize(
    "setting", ["heavy", 2, {"a": 1}, {"a": 1, "b": 2, "z": 3}, {"a": 1, "b": 0}, {"a": 1, "b": "2"}, {"a": 1, "b": -1}]
)
def test_other_weights_are_refused(setting: object) -> None:
    with pytest.raises(UserError, match=r"task.class_weights=.* cannot be used"):
        class_weights(setting, ("a", "b"), SEEN)


def test_a_mistake_becomes_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending, politely():
        raise UserError("so it is")
    assert ending.value.code == 2
    assert capsys.readouterr().err == "sluice: so it is\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), politely():
        raise ZeroDivisionError
    with pytest.raises(BrokenPipeError), politely():
        raise BrokenPipeError(errno.EPIPE, "broken pipe")


def test_an_error_of_the_outside_world_names_the_file() -> None:
    assert sentence(PermissionError(errno.EACCES, "Permission denied", "/x/y")) == "permission denied (/x/y)"


def test_logging_starts_again_after_hydra_switched_it_off(tmp_path: Path) -> None:
    logger = logging.getLogger("sluice.some.module")
    logger.disabled = True
    start_logging()
    log_to(tmp_path)
    logger.info("said once")
    close_logs()
    logger.info("said too late")
    assert (tmp_path / "log.txt").read_text().splitlines()[-1].endswith("INFO said once")


@pytest.mark.parametrize(
    ("supported", "precision", "warned"),
    [(False, "bf16-mixed", True), (True, "bf16-mixed", False), (False, "32-true", False)],
)
def test_emulated_bfloat16_is_reported(
    supported: bool, precision: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(trainers.log, "warning", lambda text, *values: lines.append(text % values))
    trainers.check_trainer({"accelerator": "gpu", "max_epochs": 1, "precision": precision})
    assert [line.startswith("This GPU computes in bfloat16 by slow emulation") for line in lines] == [True] * warned
