"""Scoring of files and continuing of prompts."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sluice.data.corpora.text_files import TextFiles
from sluice.data.corpora.wikitext import find_wikitext2
from sluice.data.corpus import RunningText
from sluice.data.language_modeling import LanguageData
from sluice.data.running_text import StreamSettings
from sluice.errors import UserError
from sluice.inference.language_model import LanguageModel
from sluice.layers.embedding import make_embedding
from sluice.layers.heads import make_head
from sluice.models.language import LanguageModel as LanguageModelNetwork
from sluice.modules.language import LanguageModelModule
from sluice.recurrent import RecurrentStack
from sluice.runs.evaluation import TEST_MONITOR, run_test
from sluice.text.vocab import SPECIALS, Vocab

torch.set_num_threads(1)  # these tensors are tiny: threads only wait for each other

TRAIN = "Mr. Ōe 's film , the <unk> of St. Louis , was 1 @,@ 000 feet long .\n\n It isn't \"end.\"\n" * 3
TEST = "\n  Mr. St. Louis isn't the <unk> film .  \n\nThe 1 @,@ 000 end. <eos> <pad> ,\tlong.<br /> \n\n it "
"""Blank lines, spaces around lines, unknown words, special tokens, and no final line break."""

CUTOFFS = (500, 3_000, 9_000)


def make_generator(vocab: Vocab, tokenizer: str, chunk_length: int = 7) -> LanguageModel:
    torch.manual_seed(1)
    head = "full" if len(vocab) <= CUTOFFS[-1] else "adaptive"
    network = LanguageModelNetwork(
        embedding=make_embedding("learned", vocab_size=len(vocab), size=4, padding_id=1, word_dropout=0.0),
        recurrent=RecurrentStack(cell="lstm", input_size=4, hidden_size=4),
        head=make_head(head, input_size=4, vocab_size=len(vocab), cutoffs=CUTOFFS),
    ).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape))
    return LanguageModel(network=network, vocab=vocab, tokenizer=tokenizer, chunk_length=chunk_length)


def make_data(corpus: RunningText, tokenizer: str, cache: Path) -> LanguageData:
    return LanguageData(
        corpus=corpus, settings=StreamSettings(tokenizer), cache_dir=cache, batch_size=2, chunk_length=7
    )


def perplexity_of_test(generator: LanguageModel, data: LanguageData) -> float:
    module = LanguageModelModule(network=generator.network, chunk_length=14, monitor=TEST_MONITOR)
    return run_test(module, data.test_dataloader())["perplexity"]


@pytest.mark.parametrize("form", ["lf", "crlf", "ends", "gz"])
@pytest.mark.parametrize("tokenizer", ["words", "whitespace", "basic_english", "chars"])
def test_score_is_the_test_perplexity(tmp_path: Path, tokenizer: str, form: str) -> None:
    train, test = tmp_path / "train.txt", tmp_path / ("test.txt.gz" if form == "gz" else "test.txt")
    train.write_text(TRAIN, encoding="utf-8")
    text = {"crlf": TEST.replace("\n", "\r\n"), "ends": TEST + "\n"}.get(form, TEST).encode()
    test.write_bytes(gzip.compress(text) if form == "gz" else text)
    data = make_data(TextFiles(train, validation_fraction=0.3, test_path=test), tokenizer, tmp_path / "cache")
    generator = make_generator(data.prepared.vocab, tokenizer)
    scores = generator.score_file(test)
    assert np.array_equal(data.prepared.vocab.encode(scores.tokens), data.prepared.splits["test"])
    if form == "lf":
        assert scores.perplexity == pytest.approx(perplexity_of_test(generator, data), rel=1e-6)


@pytest.mark.data
@pytest.mark.skipif("SLUICE_DATA" not in os.environ, reason="SLUICE_DATA names no folder with WikiText-2")
def test_score_of_wikitext2_is_the_test_perplexity(tmp_path: Path) -> None:
    corpus = find_wikitext2(Path(os.environ["SLUICE_DATA"]))
    assert corpus is not None
    data = make_data(corpus, "whitespace", tmp_path / "cache")
    data.chunk_length = 50
    generator = make_generator(data.prepared.vocab, "whitespace", chunk_length=50)
    lines = (line.text for line in corpus.lines() if line.split == "test")
    file = tmp_path / "wiki.test.tokens"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    scores = generator.score_file(file)
    assert len(scores.tokens) == 245_569
    assert scores.perplexity == pytest.approx(perplexity_of_test(generator, data), rel=1e-6)


VOCAB = Vocab([*SPECIALS, "<eos>", "the", "film", ",", ".", "st.", "st", "louis", "@,@", "1", '"'])


@pytest.mark.parametrize("word", ["St.", "Louis", "mr.,"])
def test_no_word_changes_how_a_text_is_split(tmp_path: Path, word: str) -> None:
    file = tmp_path / "text.txt"
    file.write_text(f"the <unk> of {word} was 1 @,@ 000 .\n", encoding="utf-8")
    generator = make_generator(VOCAB, "whitespace")
    assert len(generator.score_file(file).tokens) == len(generator.score_file(file, tokenized=True).tokens) == 10
    raw = generator.score_file(file, tokenized=False).tokens
    assert [raw[position] for position in (0, 1, -4, -2, -1)] == ["the", "<unk>", "@,@", ".", "<eos>"]
    assert len(make_generator(VOCAB, "words").score_file(file, tokenized=True).tokens) == 10


def test_tokenised_text_is_refused_by_a_model_of_characters(tmp_path: Path) -> None:
    generator = make_generator(Vocab([*SPECIALS, "<eos>", *"abc"]), "chars")
    for call in (
        lambda: generator.score_file(tmp_path / "none.txt", tokenized=True),
        lambda: generator.generate("a", tokens=1, tokenized=True),
        lambda: generator.suggest("", 1, tokenized=True),
    ):
        with pytest.raises(UserError, match="a model of characters reads text as it is"):
            call()


def test_suggestions_are_tokens_that_can_be_generated() -> None:
    generator = make_generator(VOCAB, "words")
    for top in (5, len(VOCAB) - 1, len(VOCAB), 1000):
        suggested = generator.suggest("the", top)
        assert len(suggested) == min(top, len(VOCAB) - 1)
        assert all(word != "<pad>" and probability > 0 for word, probability in suggested)


@pytest.mark.parametrize("tokenizer", ["words", "whitespace", "basic_english", "chars"])
@pytest.mark.parametrize("beam", [None, 2])
def test_prompt_is_kept_as_given(tokenizer: str, beam: int | None) -> None:
    generator = make_generator(Vocab([*VOCAB.tokens, *"TaeI "]), tokenizer)
    seed = 1 if beam is None else None
    long = "word " * 10_000
    for prompt in ("Zyx qwv", "THE film ", "the\nfilm\n", "a\r\nb", "🙂 <pad>", '(the "', " \t", "1 @,@", long):
        texts = [generated.text for generated in generator.generate(prompt, tokens=4, beam=beam, seed=seed, number=2)]
        assert all(text.startswith(prompt) and len(text) > len(prompt) for text in texts)
