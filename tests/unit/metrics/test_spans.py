"""Spans of tags in every scheme, detection of the scheme, and F1, precision and recall."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sluice.metrics.spans import SpanF1, SpanPrecision, SpanRecall
from sluice.text.tag_spans import SCHEMES, Span, detect_scheme, spans_of

SEQEVAL = [
    ("iob2", "O O", []),
    ("iob2", "B-x I-x O", [("x", 0, 2)]),
    ("iob2", "B-x B-x", [("x", 0, 1), ("x", 1, 2)]),
    ("iob2", "B-x I-y", [("x", 0, 1), ("y", 1, 2)]),
    ("iob2", "O I-x I-x", [("x", 1, 3)]),
    ("iob2", "B-x O I-x", [("x", 0, 1), ("x", 2, 3)]),
    ("iob2", "B-x I-x B-y I-y I-y", [("x", 0, 2), ("y", 2, 5)]),
    ("iob2", "B-geo-loc I-geo-loc I-geo", [("geo-loc", 0, 2), ("geo", 2, 3)]),
    ("iob1", "I-x I-x B-x I-x O I-y", [("x", 0, 2), ("x", 2, 4), ("y", 5, 6)]),
    ("bioes", "B-x I-x E-x S-x", [("x", 0, 3), ("x", 3, 4)]),
    ("bioes", "S-x I-x E-x E-x", [("x", 0, 1), ("x", 1, 3), ("x", 3, 4)]),
    ("bioes", "B-x E-y O E-x I-x", [("x", 0, 1), ("y", 1, 2), ("x", 3, 4), ("x", 4, 5)]),
    ("bioes", "E-x I-x B-x S-x B-x", [("x", 0, 1), ("x", 1, 2), ("x", 2, 3), ("x", 3, 4), ("x", 4, 5)]),
]
"""Values of seqeval.metrics.sequence_labeling.get_entities, version 1.2.2, with exclusive ends."""
TAGS = {scheme: ("O", *(f"{prefix}-{kind}" for prefix in SCHEMES[scheme] for kind in ("x", "y"))) for scheme in SCHEMES}
PADDED = 6


@pytest.mark.parametrize(("scheme", "tags", "spans"), SEQEVAL)
def test_spans_are_those_of_seqeval(scheme: str, tags: str, spans: list[tuple[str, int, int]]) -> None:
    assert spans_of(tags.split(), scheme) == {Span(*span) for span in spans}
    if scheme == "bioes":
        renamed = tags.replace("E-", "L-").replace("S-", "U-")
        assert spans_of(renamed.split(), "bilou") == {Span(*span) for span in spans}
        assert spans_of(tags.replace("I-", "M-").split(), "bioes") == {Span(*span) for span in spans}


def tagged(scheme: str, drawn: list[tuple[str, int]]) -> tuple[list[str], set[Span]]:
    """Writes spans of the types "x" and "y", and words outside of them (""), as tags."""
    tags, expected = list[str](), set[Span]()
    for kind, length in drawn:
        start = len(tags)
        if not kind:
            tags += ["O"] * length
            continue
        expected.add(Span(kind, start, start + length))
        follows = start > 0 and tags[-1].endswith(f"-{kind}")
        first = "B" if scheme != "iob1" or follows else "I"
        single, last = {"bioes": ("S", "E"), "bilou": ("U", "L")}.get(scheme, (first, "I"))
        prefixes = [single] if length == 1 else [first, *["I"] * (length - 2), last]
        tags += [f"{prefix}-{kind}" for prefix in prefixes]
    return tags, expected


@given(
    st.sampled_from(list(SCHEMES)),
    st.lists(st.tuples(st.sampled_from(["x", "y", ""]), st.integers(1, 3)), max_size=6),
)
def test_written_spans_are_found(scheme: str, drawn: list[tuple[str, int]]) -> None:
    tags, expected = tagged(scheme, drawn)
    assert spans_of(tags, scheme) == expected


def pairs_of(*sentences: str) -> set[tuple[str, str]]:
    """All pairs of consecutive tags of sentences."""
    return {pair for tags in sentences for pair in zip(["O", *tags.split()], tags.split(), strict=False)}


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (["B-x I-x O", "B-y"], "iob2"),
        (["B-x B-x"], "iob2"),
        (["O B", "O"], "iob2"),
        (["I-x I-x B-x O", "I-y"], "iob1"),
        (["I-x O"], "iob1"),
        (["I-x O B-x"], "iob2"),
        (["B-geo-loc E-geo-loc S-per O"], "bioes"),
        (["S-x O"], "bioes"),
        (["B-x M-x E-x"], "bioes"),
        (["B M E S"], "bioes"),
        (["B-x I-x L-x U-x O"], "bilou"),
        (["U-x O"], "bilou"),
        (["B-x E-x L-x"], None),
        (["I-x E-x O"], None),
        (["NOUN VERB O"], None),
        (["B-x I-x O X"], None),
        (["B- O"], None),
        (["O O"], None),
        (["S I"], None),
    ],
)
def test_scheme_is_detected(sentences: list[str], scheme: str | None) -> None:
    assert detect_scheme(pairs_of(*sentences)) == scheme


@given(st.sampled_from(list(SCHEMES)), st.data())
def test_scores_are_computed_over_all_sentences(scheme: str, data: st.DataObject) -> None:
    """In batches of one or all sentences, equal to counting the sets of `spans_of`."""
    tags, size = TAGS[scheme], data.draw(st.integers(1, 5))
    rows = st.lists(st.integers(0, len(tags) - 1), min_size=PADDED, max_size=PADDED)
    guess, truth = (data.draw(st.lists(rows, min_size=size, max_size=size)) for _ in range(2))
    lengths = data.draw(st.lists(st.integers(1, PADDED), min_size=size, max_size=size))
    scores = {metric: metric(tags, scheme) for metric in (SpanF1, SpanPrecision, SpanRecall)}
    for metric in scores.values():
        for batch in torch.arange(size).split(data.draw(st.sampled_from([1, size]))):
            metric.update(*(torch.tensor(part)[batch] for part in (guess, truth, lengths)))
    named = [
        [spans_of([tags[tag] for tag in ids[row][: lengths[row]]], scheme) for row in range(size)]
        for ids in (guess, truth)
    ]
    right = sum(len(ours & theirs) for ours, theirs in zip(*named, strict=True))
    found, there = (sum(map(len, side)) for side in named)
    assert scores[SpanF1].compute().item() == pytest.approx(2 * right / max(found + there, 1))
    assert scores[SpanPrecision].compute().item() == pytest.approx(right / max(found, 1))
    assert scores[SpanRecall].compute().item() == pytest.approx(right / max(there, 1))


def test_scores_move_to_the_device_and_are_not_saved() -> None:
    metric = SpanF1(TAGS["iob2"], "iob2")
    assert not metric.state_dict()
    assert metric.to("meta").roles.device.type == "meta"
