"""What all trained models in use have in common: batches, inputs, threads, devices, and explained errors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from sluice.errors import UserError
from sluice.inference import Classifier, LanguageModel, PairClassifier, Tagger, Translator, examples

WORDS = ("the", "film", "was", "good", "bad", "ein", "Hund", "schläft", "sea", "sleeps")


def texts_of(number: int, seed: int = 1, longest: int = 30) -> list[str]:
    draw = Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, longest))) for _ in range(number)]


def pairs_of(number: int) -> list[tuple[str, str]]:
    return list(zip(texts_of(number), texts_of(number, seed=2), strict=True))


CALLS: dict[str, tuple[Callable[[], Any], Callable[[Any, list[str]], Any]]] = {
    "predict": (examples.classifier, lambda model, texts: [one.probabilities for one in model.predict(texts)]),
    "tag": (examples.tagger, lambda model, texts: model.predict_proba(texts)),
    "pairs": (
        examples.pair_classifier,
        lambda model, texts: [one.probabilities for one in model.predict([(text, texts[0]) for text in texts])],
    ),
    "score": (examples.language_model, lambda model, texts: [one.log_probabilities for one in model.score(texts)]),
    "generate": (
        examples.language_model,
        lambda model, texts: [model.generate(text, tokens=5, seed=3)[0].text for text in texts],
    ),
    "translate": (
        examples.translator,
        lambda model, texts: [(one.words, one.attention) for one in model.translate(texts, beam=2)],
    ),
    "trace": (examples.classifier, lambda model, texts: [model.trace(text).states["cell"] for text in texts]),
    "neighbours": (examples.classifier, lambda model, texts: [model.neighbours("good", top=3) for _ in texts]),
}


def same(first: Any, second: Any) -> bool:
    """Compares nested results bit for bit."""
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


@pytest.mark.parametrize("name", CALLS)
def test_threads_get_the_results_of_one_thread(name: str) -> None:
    make, call = CALLS[name]
    model, parts = make(), [texts_of(3, seed, longest=5) for seed in range(4)]
    serial = [call(model, part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(lambda part: call(model, part), parts * 2), serial * 2, strict=True):
            assert same(found, expected)


@pytest.mark.parametrize("batch_size", [3, 64])
def test_results_do_not_depend_on_the_batches(batch_size: int) -> None:
    texts, pairs = [*texts_of(8, longest=12), "", "unseen"], pairs_of(5)
    np.testing.assert_allclose(
        examples.classifier().predict_proba(iter(texts), batch_size=batch_size),
        np.concatenate([examples.classifier().predict_proba([text]) for text in texts]),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        examples.pair_classifier().predict_proba(pairs, batch_size=batch_size),
        np.concatenate([examples.pair_classifier().predict_proba([pair]) for pair in pairs]),
        atol=1e-6,
    )
    tagger, alone = examples.tagger(), [examples.tagger().predict_proba([text])[0] for text in texts]
    for rows, expected in zip(tagger.predict_proba(texts, batch_size=batch_size), alone, strict=True):
        np.testing.assert_allclose(rows, expected, atol=1e-6)
    model = examples.language_model()
    for score, text in zip(model.score(texts[:8], batch_size=batch_size), texts, strict=False):
        assert score.log_probabilities == pytest.approx(model.score([text])[0].log_probabilities, abs=1e-5)
    translator = examples.translator()
    short = [*texts_of(4, longest=4), ""]
    together = translator.translate(short, beam=2, batch_size=batch_size)
    assert [one.words for one in together] == [translator.translate([text], beam=2)[0].words for text in short]
    np.testing.assert_allclose(translator.encode(texts[:5])[3:4], translator.encode(texts[3:4]), atol=1e-6)


def test_a_large_input_is_split_into_batches_of_similar_length() -> None:
    model, sizes = examples.classifier(), list[tuple[int, ...]]()
    model.network.register_forward_hook(lambda module, given, output: sizes.append(tuple(given[0].shape)))
    assert model.predict_proba(texts_of(500, longest=20), batch_size=50).shape == (500, 2)
    assert len(sizes) == 10
    assert {rows for rows, _ in sizes} == {50}
    assert [steps for _, steps in sizes] == sorted((steps for _, steps in sizes), reverse=True)
    assert sizes[-1][1] < 5


def test_predictions_agree_with_probabilities() -> None:
    model, texts = examples.classifier(), texts_of(30)
    found, expected = model.predict_proba(texts), model.predict(texts)
    assert [model.labels[index] for index in found.argmax(1)] == [one.label for one in expected]
    assert [one.text for one in expected] == texts
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert model.predict([]) == []
    assert model.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: examples.classifier().predict("good"),
        lambda: examples.classifier().predict_proba("good"),
        lambda: examples.tagger().predict("good"),
        lambda: examples.language_model().score("good"),
        lambda: examples.translator().translate("ein Hund"),
        lambda: examples.translator().encode("ein Hund"),
    ],
)
def test_a_single_string_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"expected a list of .*, got a single string: put it in a list, as in \['"):
        call()


@pytest.mark.parametrize("wrong", ["ab", [("a",)], ["ab"], [("a", 1)], [("a", "b", "c")]])
def test_anything_but_pairs_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a list of pairs of texts"):
        examples.pair_classifier().predict(wrong)


def test_items_that_are_no_strings_are_refused() -> None:
    for wrong, kind in ([1], "int"), ([None], "NoneType"), (["a", ["b"]], "list"):
        with pytest.raises(TypeError, match=f"expected strings as texts, got {kind}"):
            examples.classifier().predict(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: examples.classifier().predict(["a"], batch_size=0), "batch_size must be at least 1, got 0"),
        (lambda: examples.language_model().generate(number=0), "number must be at least 1, got 0"),
        (lambda: examples.language_model().generate(tokens=0), "tokens must be at least 1, got 0"),
        (lambda: examples.language_model().suggest("a", 0), "top must be at least 1, got 0"),
        (lambda: examples.language_model().score(["a", ""]), "a text is empty"),
        (lambda: examples.language_model().trace(""), "the text is empty"),
        (lambda: examples.language_model().trace("a", backward=True), "there is no backward direction"),
        (lambda: examples.tagger().trace("a", layer=2), "there is no layer 2: choose from 1 to 1"),
        (lambda: examples.translator().translate(["a"], beam=0), "beam must be at least 1"),
        (lambda: examples.translator().translate(["a"], beam=2, n_best=3), "n_best=3 must lie between 1 and the beam"),
        (lambda: examples.translator().translate(["a"], beam=100), "the beam must be at most 8"),
        (lambda: examples.translator().translate(["a"], beam=2, seed=1), "sampling with a seed needs beam=1"),
        (lambda: examples.translator().translate(["a"], seed=-1), "the seed must be at least 0"),
        (lambda: examples.translator().encode(["a", " "]), "a text has no tokens"),
        (lambda: examples.classifier().neighbours("fog"), "there is no word 'fog'"),
        (lambda: examples.pair_classifier().neighbours("fog"), "this model has no learned word vectors"),
        (lambda: examples.classifier().to("nonsense"), "device=nonsense cannot be used"),
    ],
)
def test_wrong_usage_is_explained(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_methods_of_other_models_are_explained() -> None:
    model: Any = examples.classifier()
    with pytest.raises(AttributeError, match=r"a model that classifies has no generate\(\): it has predict, "):
        model.generate("a")
    with pytest.raises(AttributeError, match="'Classifier' object has no attribute 'nothing'"):
        _ = model.nothing


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_gpu_is_a_user_error() -> None:
    with pytest.raises(UserError, match="device=cuda cannot be used"):
        examples.language_model().to("cuda")


def test_score_sums_the_probabilities_of_suggestions() -> None:
    model = examples.language_model()
    probabilities = dict(model.suggest("the sea", top=100))
    (score,) = model.score(["the sea sleeps"])
    assert score.tokens == ["the", "sea", "sleeps", "<eos>"]
    assert np.exp(score.log_probabilities[2]) == pytest.approx(probabilities["sleeps"], rel=1e-5)
    assert score.log_probability == pytest.approx(sum(score.log_probabilities))


def test_score_of_a_text_is_that_of_a_file(tmp_path: Any) -> None:
    model, text = examples.language_model(), "the sea\nthe fog sleeps\r\n\n" * 40
    file = tmp_path / "text.txt"
    file.write_bytes(text.encode())
    own, (other, short) = model.score_file(file), model.score([text, "sea"])
    assert own.tokens == other.tokens
    assert own.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-5)
    assert (own.unknown, short.tokens) == (40, ["sea", "<eos>"])


def test_attention_and_alternatives_of_translations() -> None:
    model = examples.translator()
    (best,) = model.translate(["ein Hund"], beam=4, n_best=3)
    assert len(best.alternatives) == 2
    assert best.score >= best.alternatives[0].score >= best.alternatives[1].score
    assert best.attention is not None
    assert best.attention.dtype == np.float32
    assert model.translate(["ein Hund"], attention=False)[0].attention is None
    assert model.translate(["ein Hund"], seed=2) is not None
    assert model.translate([]) == []


def test_classes_are_exported() -> None:
    import sluice

    assert (sluice.Classifier, sluice.LanguageModel, sluice.Translator) == (Classifier, LanguageModel, Translator)
    assert (sluice.Tagger, sluice.PairClassifier) == (Tagger, PairClassifier)
