"""Uses of the Python API whose inferred types mypy checks, see test_python_api.py; never executed."""

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

import sluice
from sluice.inference import ClassPrediction, GeneratedText, Neighbour, Suggestion, TextScore, Translation

classifier = sluice.load("run", sluice.Classifier, device="cpu", modules=["cell.py"], tokenized=True)
assert_type(classifier, sluice.Classifier)
assert_type(classifier.to("cuda"), sluice.Classifier)
assert_type(classifier.predict(["a"]), list[ClassPrediction])
assert_type(classifier.predict_proba(text for text in ("a", "b")), NDArray[np.float32])
assert_type(classifier.predict(["a"])[0].label, str)
assert_type(classifier.trace("a").states["hidden"], NDArray[np.float32])
assert_type(classifier.neighbours("a"), list[Neighbour])
assert_type(sluice.load("run", sluice.LanguageModel).generate("a", seed=1), list[GeneratedText])
assert_type(sluice.load("run", sluice.LanguageModel).suggest("a"), list[Suggestion])
assert_type(sluice.load("run", sluice.LanguageModel).score(["a"])[0], TextScore)
assert_type(sluice.load("run", sluice.Translator).translate(["a"], beam=2), list[Translation])
assert_type(sluice.load("run", sluice.Tagger).predict_proba(["a", ["b"]]), list[NDArray[np.float32]])
assert_type(sluice.load("run", sluice.PairClassifier).predict_proba([("a", "b")]), NDArray[np.float32])
assert_type(sluice.load_embeddings("run"), sluice.Embeddings)

model = sluice.load("run")
if isinstance(model, sluice.Classifier):
    assert_type(model.predict(["a"]), list[ClassPrediction])
model.predict(["a"])  # type: ignore[union-attr, list-item]
classifier.generate("a")  # type: ignore[attr-defined]
classifier.predict(["a"], batchsize=3)  # type: ignore[call-arg]
classifier.predict([1])  # type: ignore[list-item]
