"""TensorBoard events written by a run."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from running import Finished

EPOCHS, STEPS = 2, 14


@pytest.fixture(scope="module")
def events(finished: Finished) -> EventAccumulator:
    """All events of the run, as TensorBoard reads them."""
    accumulator = EventAccumulator(str(finished.folder), size_guidance={"scalars": 0, "tensors": 0})
    return accumulator.Reload()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("train/loss", STEPS),
        ("train/learning_rate", STEPS),
        ("train/gradient_norm", STEPS),
        ("train/tokens_per_second", STEPS),
        ("train/padding_fraction", STEPS),
        ("train/accuracy", EPOCHS),
        ("val/accuracy", EPOCHS),
        ("val/loss", EPOCHS),
        ("val/f1", EPOCHS),
        ("val/auroc", EPOCHS),
        ("test/accuracy", 1),
    ],
)
def test_curve_has_the_expected_points(events: EventAccumulator, name: str, count: int) -> None:
    points = events.Scalars(name)
    assert len({point.step for point in points}) == count
    assert all(point.value >= 0 for point in points)


def test_learning_rate_rises_and_falls(events: EventAccumulator) -> None:
    rates = [point.value for point in events.Scalars("train/learning_rate")]
    assert rates[0] < max(rates) > rates[-1]


def test_gradient_norm_is_never_zero(events: EventAccumulator) -> None:
    assert min(point.value for point in events.Scalars("train/gradient_norm")) > 0


def test_best_val_accuracy_matches_results(events: EventAccumulator, finished: Finished) -> None:
    accuracies = [point.value for point in events.Scalars("val/accuracy")]
    assert max(accuracies) == pytest.approx(finished.results["val/accuracy"])


def test_pr_curve_and_misclassified_texts_are_logged(events: EventAccumulator) -> None:
    assert len(events.Tensors("val/pos")) == EPOCHS
    (text,) = events.Tensors("val/most wrong/text_summary")[-1].tensor_proto.string_val
    page, wrong = text.decode(), round(6 * (1 - events.Scalars("val/accuracy")[-1].value))
    assert page.count(" classified as ") == wrong, "of the six validation reviews"


def test_hparams_are_logged_with_final_metrics(events: EventAccumulator, finished: Finished) -> None:
    metadata = {tag: HParamsPluginData.FromString(content) for tag, content in hparams_of(events).items()}
    (session,) = [data.session_start_info for data in metadata.values() if data.HasField("session_start_info")]
    assert session.hparams["5 model.hidden_size"].number_value == 4
    assert session.hparams["3 seed"].number_value == 1
    assert session.hparams["7 embedding.kind"].string_value == "learned"
    assert (session.hparams["1 task"].string_value, session.hparams["2 model"].string_value) == ("imdb", "lstm")
    assert not [name for name in session.hparams if name.startswith(("checkpoint", "task.monitor", "optimizer._"))]
    assert not any(data.HasField("experiment") for data in metadata.values()), "or the first run would decide for all"
    assert any(data.HasField("session_end_info") for data in metadata.values())
    for tag in ("test/accuracy", "best/val/accuracy"):
        assert events.Scalars(tag)[-1].value == pytest.approx(final(finished, tag)), tag


def hparams_of(events: EventAccumulator) -> dict[str, bytes]:
    """Contents of the hparams plugin by tag."""
    contents: dict[str, bytes] = events.PluginTagToContent("hparams")
    return contents


def final(finished: Finished, tag: str) -> float:
    """The final value of a metric shown by the hparams plugin."""
    (value,) = [value for name, value in finished.results.items() if tag.endswith(name)]
    return float(value)
