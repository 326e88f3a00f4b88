"""The generated reviews: sizes, seeds, and labels that depend on word order only."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import nn

from fingerprints import fingerprint
from sluice.data.corpus import Document, LabelledCorpus
from sluice.data.synthetic.reviews import BAD, GOOD, SLOTS, VERDICTS, SampleReviews
from sluice.errors import UserError

NEGATORS = {"not", "deny", "claim", "anything", "but", "far", "from"}
"""Words in which the two templates of a pair may differ."""


@pytest.fixture(scope="module")
def reviews() -> list[Document]:
    return list(SampleReviews(size=2000, seed=0).documents())


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def frame_pattern(frame: str) -> re.Pattern[str]:
    """Returns a pattern of all sentences of a verdict's template."""
    pattern = re.escape(frame).replace(r"\{", "{").replace(r"\}", "}")
    for name in ("meant", "against"):
        pattern = pattern.replace(f"{{{name}}}", f"(?P<{name}>{'|'.join(GOOD + BAD)})")
    for name, fillings in SLOTS.items():
        pattern = re.sub(rf"{{{name}2?}}", f"(?:{'|'.join(fillings)})", pattern)
    return re.compile(pattern)


PATTERNS = [frame_pattern(frame) for frame in {frame for frames in VERDICTS for frame in frames}]


def verdicts(text: str) -> Iterator[int]:
    """Yields the label of every sentence with a verdict."""
    for sentence in re.findall(r"[^.]+\.", text):
        for pattern in PATTERNS:
            if match := pattern.fullmatch(sentence.strip()):
                found = match.groupdict()
                yield int(found["meant"] in GOOD if "meant" in found else found["against"] in BAD)


def bag_of_words(documents: Iterable[Document], vocabulary: dict[str, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts the words of each document: (documents, vocabulary) float32, and the labels (documents,) float32."""
    documents = list(documents)
    counts = torch.zeros(len(documents), len(vocabulary))
    for row, document in zip(counts, documents, strict=True):
        for word, count in Counter(words(document.text)).items():
            if word in vocabulary:
                row[vocabulary[word]] = count
    return counts, torch.tensor([float(document.label) for document in documents])


def fit_logistic_regression(counts: torch.Tensor, labels: torch.Tensor) -> nn.Linear:
    """Trains to convergence, with a small weight decay."""
    classifier = nn.Linear(counts.shape[1], 1)
    nn.init.zeros_(classifier.weight)
    optimizer = torch.optim.LBFGS(classifier.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(classifier(counts).squeeze(1), labels)
        loss = loss + 1e-4 * classifier.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return classifier


def bag_accuracy(documents: list[Document]) -> float:
    """Test accuracy of a logistic regression on word counts."""
    train = [document for document in documents if document.split == "train"]
    test = [document for document in documents if document.split == "test"]
    seen = sorted({word for document in train for word in words(document.text)})
    vocabulary = {word: index for index, word in enumerate(seen)}
    classifier = fit_logistic_regression(*bag_of_words(train, vocabulary))
    counts, labels = bag_of_words(test, vocabulary)
    with torch.no_grad():
        return ((classifier(counts).squeeze(1) > 0) == labels.bool()).float().mean().item()


def test_sample_is_a_labelled_corpus():
    corpus: LabelledCorpus = SampleReviews()
    assert corpus.name == "sample"
    assert corpus.labels == ("neg", "pos")
    assert "2,000 training and 500 test" in corpus.description


@pytest.mark.parametrize(
    ("size", "test_size"), [(20, 200), (21, 200), (803, 200), (1000, 250), (1006, 252), (2000, 500)]
)
def test_splits_have_expected_sizes(size: int, test_size: int):
    splits = Counter(document.split for document in SampleReviews(size=size).documents())
    assert splits == {"train": size, "test": test_size}


@pytest.mark.parametrize("size", [20, 21, 2000])
def test_classes_are_balanced(size: int):
    counts = Counter((document.split, document.label) for document in SampleReviews(size=size).documents())
    assert counts["train", 0] - counts["train", 1] == size % 2
    assert counts["test", 0] == counts["test", 1]


def test_texts_are_distinct(reviews: list[Document]):
    assert len({document.text for document in reviews}) == len(reviews) == 2500


def test_same_seed_gives_the_same_texts(reviews: list[Document]):
    corpus = SampleReviews(size=2000, seed=0)
    assert list(corpus.documents()) == reviews
    assert list(corpus.documents()) == reviews


def test_another_seed_gives_other_texts(reviews: list[Document]):
    other = {document.text for document in SampleReviews(size=2000, seed=1).documents()}
    assert len(other & {document.text for document in reviews}) < 50


def test_fingerprint_depends_on_size_and_seed():
    corpora = [SampleReviews(size=size, seed=seed) for size in (20, 200) for seed in (0, 1)]
    assert len({fingerprint(corpus) for corpus in corpora}) == 4
    assert fingerprint(SampleReviews(size=20)) == fingerprint(SampleReviews(size=20))


def test_reviews_have_10_to_80_words_and_no_open_slots(reviews: list[Document]):
    lengths = [len(document.text.split()) for document in reviews]
    assert min(lengths) >= 10
    assert max(lengths) <= 80
    assert len(set(lengths)) > 40
    assert not any(re.search(r"[{}_]", document.text) for document in reviews)


@pytest.mark.parametrize(
    ("sentence", "label"),
    [
        ("The critics called it dull; I found it gripping.", 1),
        ("The critics called it gripping; I found it dull.", 0),
        ("I found it gripping, whatever the critics said about it being dull.", 1),
        ("Although the music was lovely, the film itself was tedious.", 0),
        ("The film as a whole is charming, although the dialogue is clumsy.", 1),
        ("The film as a whole is clumsy, although the dialogue is charming.", 0),
        ("Far from a triumph, the movie is a mess.", 0),
        ("It is a treat, and anything but a chore.", 1),
        ("It was not only witty, it was also never silly.", 1),
        ("I had expected it to be thrilling, and it was boring.", 0),
        ("The trailer made it look awful, yet what I saw was superb.", 1),
        ("I cannot say that it was not delightful.", 1),
        ("I cannot say that it was not dreadful.", 0),
        ("I cannot say that it was dreadful.", 1),
        ("Nobody can claim that it is moving.", 0),
        ("From start to finish it is anything but boring.", 1),
    ],
)
def test_label_depends_on_word_order(sentence: str, label: int):
    assert list(verdicts(sentence)) == [label]


def test_verdicts_of_a_review_agree_with_its_label(reviews: list[Document]):
    for document in reviews:
        assert set(verdicts(document.text)) == {document.label}, document


def test_pairs_have_the_same_words_except_negations(reviews: list[Document]):
    for negative, positive in zip(reviews[::2], reviews[1::2], strict=True):
        assert (negative.label, positive.label) == (0, 1)
        ours, theirs = Counter(words(negative.text)), Counter(words(positive.text))
        assert set((ours - theirs) + (theirs - ours)) <= NEGATORS


def test_opinion_words_are_equally_frequent_in_both_classes(reviews: list[Document]):
    counts = [Counter(words(" ".join(d.text for d in reviews if d.label == label))) for label in (0, 1)]
    for word in {word for phrase in GOOD + BAD for word in words(phrase)}:
        assert counts[0][word] == counts[1][word] > 0


def test_bag_of_words_does_not_solve_the_task(reviews: list[Document]):
    assert bag_accuracy(reviews) < 0.65


def test_bag_of_words_finds_an_informative_word(reviews: list[Document]):
    marked = [document._replace(text=document.text + (" splendidly" if document.label else "")) for document in reviews]
    assert bag_accuracy(marked) > 0.99


def test_generation_is_fast():
    start = time.perf_counter()
    assert sum(1 for _ in SampleReviews(size=2000).documents()) == 2500
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize("size", [19, 0, -1])
def test_size_below_the_minimum_is_refused(size: int):
    with pytest.raises(UserError, match=f"size={size} is too small for the sample corpus: choose 20 documents or more"):
        SampleReviews(size=size)
