"""Spans of B-/I- tags, and their F1."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sluice.metrics.spans import Span, SpanF1, spans_of

TAGS = ("O", "B-x", "I-x", "B-y", "I-y")
SENTENCES = st.lists(st.lists(st.sampled_from(range(5)), min_size=6, max_size=6), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-x I-x O", [("x", 0, 2)]),
        ("B-x B-x", [("x", 0, 1), ("x", 1, 2)]),
        ("B-x I-y", [("x", 0, 1), ("y", 1, 2)]),
        ("O I-x I-x", [("x", 1, 3)]),
        ("I-x B-x I-x", [("x", 0, 1), ("x", 1, 3)]),
        ("B-x O I-x", [("x", 0, 1), ("x", 2, 3)]),
        ("B-x I-x B-y I-y I-y", [("x", 0, 2), ("y", 2, 5)]),
    ],
)
def test_spans_of_matches_examples(tags: str, spans: list[tuple[str, int, int]]) -> None:
    assert spans_of(tags.split()) == {Span(*span) for span in spans}


@given(st.lists(st.tuples(st.sampled_from(["x", "y", ""]), st.integers(1, 3)), max_size=6))
def test_tagged_spans_are_found(drawn: list[tuple[str, int]]) -> None:
    tags: list[str] = []
    expected = set()
    for kind, length in drawn:
        if kind:
            expected.add(Span(kind, len(tags), len(tags) + length))
        tags += [f"B-{kind}", *[f"I-{kind}"] * (length - 1)] if kind else ["O"] * length
    assert spans_of(tags) == expected


@given(SENTENCES, st.data())
def test_f1_is_computed_over_all_sentences(truth: list[list[int]], data: st.DataObject) -> None:
    guess = data.draw(
        st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=len(truth), max_size=len(truth))
    )
    lengths = data.draw(st.lists(st.integers(1, 6), min_size=len(truth), max_size=len(truth)))
    metric = SpanF1(TAGS)
    for row in range(len(truth)):
        metric.update(torch.tensor([guess[row]]), torch.tensor([truth[row]]), torch.tensor([lengths[row]]))
    named = [
        [spans_of([TAGS[tag] for tag in tags[row][: lengths[row]]]) for row in range(len(truth))]
        for tags in (guess, truth)
    ]
    right = sum(len(ours & theirs) for ours, theirs in zip(*named, strict=True))
    total = sum(len(spans) for side in named for spans in side)
    assert metric.compute().item() == pytest.approx(2 * right / total if total else 0)
