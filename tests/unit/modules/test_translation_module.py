"""TranslationModule: metrics of an epoch, training loss; and Translator."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from sacrebleu import corpus_bleu, corpus_chrf
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from sluice.cli.translate import _print_translations
from sluice.data.collate import ParallelBatch
from sluice.decoding.search import DecodingSettings
from sluice.inference.translator import Translation, Translator
from sluice.layers.attention import make_attention
from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.decoder import Decoder, decoder_input_size
from sluice.models.seq2seq import Seq2Seq, SpecialIds
from sluice.modules.base import Monitor
from sluice.modules.translation import TranslationModule
from sluice.recurrent import RecurrentStack
from sluice.text.coder import BOS_ID, EOS_ID, MARKS, SentenceCoder, SentenceVocab
from sluice.text.vocab import PADDING_ID, SPECIALS

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")  # Lightning's own

SOURCES = ["ein Hund", "zwei Hunde rennen", "ein Mann", "Katzen", "ein Hund rennt schnell", "Männer rennen", "ein Tier"]
TARGETS = ["A dog .", "Two dogs run .", "A man .", "Cats !", "A dog runs fast .", "Men run .", "An animal ."]
UNEVEN = [[4, 2, 1], [5, 2], [7]]
QUIET: dict[str, Any] = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "accelerator": "cpu",
}


def make_coder(texts: list[str]) -> SentenceCoder:
    words = sorted({word for text in texts for word in text.split()})
    vocab = SentenceVocab([*SPECIALS, *MARKS, *words])
    return SentenceCoder(vocab=vocab, unit="words", language="en", tokenizer="whitespace")


SOURCE, TARGET = make_coder(SOURCES), make_coder(TARGETS)


def make_task(attention: str = "general", **options: Any) -> TranslationModule:
    torch.manual_seed(3)
    embeddings = [LearnedEmbedding(vocab_size=len(c.vocab), size=8, padding_id=PADDING_ID) for c in (SOURCE, TARGET)]
    attention_layer = make_attention(attention, query_size=8, memory_size=8)
    sizes = {"embedding_size": 8, "output_size": 8, "memory_size": 8}
    inputs = decoder_input_size(**sizes, attention=attention_layer is not None, input_feeding=False)
    stack = RecurrentStack(cell="gru", input_size=inputs, hidden_size=8)
    decoder = Decoder(embedding=embeddings[1], stack=stack, attention=attention_layer, memory_size=8, output_size=8)
    encoder = RecurrentStack(cell="gru", input_size=8, hidden_size=4, bidirectional=True)
    ids = SpecialIds(BOS_ID, EOS_ID, (PADDING_ID, BOS_ID))
    network = Seq2Seq(source_embedding=embeddings[0], encoder=encoder, decoder=decoder, ids=ids)
    nn.init.normal_(network.output.weight)
    translator = Translator(network=network, source=SOURCE, target=TARGET)
    return TranslationModule(translator=translator, monitor=Monitor("val/bleu", "max"), **options)


def batch_of(indices: list[int]) -> ParallelBatch:
    def padded(rows: list[list[int]]) -> torch.Tensor:
        return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, PADDING_ID)

    sources = [SOURCE.source_ids(SOURCES[index]) for index in indices]
    targets = [[BOS_ID, *TARGET.encode(TARGETS[index]), EOS_ID] for index in indices]
    lengths = [torch.tensor([len(row) for row in rows]) for rows in (sources, targets)]
    texts = ([SOURCES[index] for index in indices], [TARGETS[index] for index in indices])
    return ParallelBatch(padded(sources), lengths[0], padded(targets), lengths[1] - 1, torch.tensor(indices), *texts)


def compute_metrics(task: TranslationModule, sizes: list[int], stage: str = "validate") -> dict[str, float]:
    batches = [batch_of(index.tolist()) for index in torch.tensor([3, 1, 6, 0, 2, 5, 4]).split(sizes)]
    loader: Any = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    (metrics,) = getattr(pl.Trainer(**QUIET), stage)(task, loader, verbose=False)
    return {name.split("/")[1]: value for name, value in metrics.items()}


def expected_metrics(task: TranslationModule) -> dict[str, float]:
    """The expected metrics, computed one sentence at a time."""
    total, right, tokens, texts = 0.0, 0, 0, []
    network = task.network
    with torch.no_grad():
        for index in range(len(SOURCES)):
            one = batch_of([index])
            features = network(one.source, one.source_lengths, one.inputs, one.target_lengths).features
            gains, labels = network.log_probabilities(features)[0], one.labels[0]
            total += F.nll_loss(gains, labels, reduction="sum").item()
            right += int((gains.argmax(-1) == labels).sum())
            tokens += len(labels)
            texts.append(task.translator.decode([SOURCES[index]], task.decoding["val"])[0][0].text)
    mean = total / tokens
    scores = {
        "bleu": corpus_bleu(texts, [TARGETS]).score,
        "bleu_lowercase": corpus_bleu(texts, [TARGETS], lowercase=True).score,
        "chrf": corpus_chrf(texts, [TARGETS]).score,
    }
    return {"loss": mean, "perplexity": float(torch.tensor(mean).exp()), "accuracy": right / tokens, **scores}


@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("sizes", UNEVEN, ids=str)
def test_metrics_are_computed_over_all_tokens_and_sentences(sizes: list[int], stage: str) -> None:
    task = make_task()
    assert compute_metrics(task, sizes, stage) == pytest.approx(expected_metrics(task), rel=1e-5)


def test_metrics_are_reset_after_an_epoch() -> None:
    task = make_task()
    first = compute_metrics(task, [7])
    assert compute_metrics(task, [7]) == first
    nn.init.zeros_(task.network.output.weight)
    second = compute_metrics(task, [7])
    assert second["loss"] == pytest.approx(torch.tensor(float(len(TARGET.vocab) - 2)).log().item())
    assert second["loss"] != pytest.approx(first["loss"])


def test_validation_metrics_are_those_logged() -> None:
    task = make_task()
    assert {f"val/{name}" for name in compute_metrics(task, [7])} == set(task.validation_metrics)


def test_labels_are_smoothed_in_training_only() -> None:
    task, batch = make_task(label_smoothing=0.2), batch_of([0, 1, 4])
    features = task.network(batch.source, batch.source_lengths, batch.inputs, batch.target_lengths).features
    inside = batch.labels != PADDING_ID
    logits, labels = task.network.output(features)[inside], batch.labels[inside]
    predictable = [index for index in range(len(TARGET.vocab)) if index not in (PADDING_ID, BOS_ID)]
    logits, labels = logits[:, predictable], torch.tensor([predictable.index(label) for label in labels.tolist()])
    smoothed = F.cross_entropy(logits, labels, label_smoothing=0.2).item()
    plain = F.cross_entropy(logits, labels).item()
    assert smoothed != pytest.approx(plain)
    assert task.model_step(batch, "train").item() == pytest.approx(smoothed, rel=1e-5)
    assert task.model_step(batch, "val").item() == pytest.approx(plain, rel=1e-5)
    assert task.sums["train_loss"].compute().item() == pytest.approx(plain, rel=1e-5)


def test_r_drop_adds_the_divergence_of_two_predictions() -> None:
    task, batch = make_task(r_drop=5.0), batch_of([0, 1, 4])
    task.network.decoder.output_dropout = VariationalDropout(0.5)
    torch.manual_seed(8)
    loss = task.model_step(batch, "train")
    torch.manual_seed(8)
    source, inputs, labels = (torch.cat([part] * 2) for part in (batch.source, batch.inputs, batch.labels))
    lengths = (torch.cat([part] * 2) for part in (batch.source_lengths, batch.target_lengths))
    features = task.network(source, next(lengths), inputs, next(lengths)).features
    gains = task.network.log_probabilities(features)[labels != PADDING_ID]
    labels = labels[labels != PADDING_ID]
    cross_entropy = F.nll_loss(gains, labels).item()
    first, second = gains[:, gains[0] > -torch.inf].chunk(2)
    both = ((first.exp() - second.exp()) * (first - second)).sum().item() / batch.tokens
    assert both > 0.01
    assert loss.item() == pytest.approx(cross_entropy + 5 / 4 * both, rel=1e-5)
    found = {name: task.sums[f"train_{name}"].compute().item() for name in ("divergence", "loss", "accuracy")}
    accuracy = (gains.argmax(-1) == labels).double().mean().item()
    assert found == pytest.approx({"divergence": both, "loss": cross_entropy, "accuracy": accuracy}, rel=1e-5)


def test_r_drop_without_dropout_is_the_plain_loss() -> None:
    batch, losses = batch_of([0, 1, 4]), {}
    for r_drop in (0.0, 5.0):
        task = make_task(r_drop=r_drop, label_smoothing=0.1)
        losses[r_drop] = task.model_step(batch, "train").item()
    assert losses[5.0] == pytest.approx(losses[0.0], rel=1e-5)


@pytest.mark.parametrize("options", [{"r_drop": -1.0}, {"r_drop": 5.0, "sampling": 0.5}], ids=str)
def test_invalid_r_drop(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="r_drop must be at least 0"):
        make_task(**options)


def test_sampling_probability_increases_linearly() -> None:
    task = make_task(sampling=0.4, sampling_steps=10)
    probabilities = []
    for step in (0, 5, 10, 50):
        task.trainer = type("Trainer", (), {"global_step": step})()  # type: ignore[assignment]
        probabilities.append(task.sampling_probability)
    assert probabilities == pytest.approx([0, 0.2, 0.4, 0.4])
    assert make_task().sampling_probability == 0


def test_overfits_seven_sentences() -> None:
    task = make_task(optimizer=lambda parameters: torch.optim.Adam(parameters, 0.02), sampling=0.1)
    loader: Any = DataLoader([batch_of([0, 1, 2, 3]), batch_of([4, 5, 6])], batch_size=None)  # type: ignore[arg-type]
    pl.Trainer(max_epochs=60, **QUIET).fit(task, loader)
    metrics = compute_metrics(task, [7])
    assert metrics["accuracy"] == 1
    assert metrics["bleu"] == pytest.approx(100)
    assert [found[0].text for found in task.translator.decode(SOURCES, DecodingSettings())] == TARGETS


def test_validation_and_test_have_their_own_decoding_settings() -> None:
    task = make_task(decoding={"test": DecodingSettings(beam=3)})
    outputs = task._evaluate(batch_of([4]), "test")
    beam = task.translator.decode([SOURCES[4]], DecodingSettings(beam=3))[0][0]
    assert outputs["translations"][0].translation.text == beam.text
    assert task.decoding["val"].beam == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": 1.5}, "sampling must be in"),
        ({"sampling_steps": 0}, "sampling_steps at least 1"),
        ({"decoding": {"val": DecodingSettings(beam=0)}}, "beam must be at least 1, got 0"),
    ],
)
def test_invalid_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_task(**options)


class TestTranslator:
    def test_translations_are_in_the_order_of_the_sentences(self) -> None:
        translator = make_task().translator
        together = translator.decode(SOURCES, DecodingSettings(beam=2, n_best=2), batch_size=3)
        for text, found in zip(SOURCES, together, strict=True):
            (alone,) = translator.decode([text], DecodingSettings(beam=2, n_best=2))
            assert [translation.text for translation in found] == [translation.text for translation in alone]
            assert found[0].source_words == text.split()

    def test_attention_weights_have_a_row_per_word(self) -> None:
        for (found,) in make_task().translator.decode(SOURCES, DecodingSettings()):
            assert found.attention is not None
            assert found.attention.shape == (len(found.words) + 1, len(found.source_words) + 1)
            assert found.attention.sum(1) == pytest.approx(1, abs=1e-5)

    def test_batches_of_one_call_are_sampled_independently(self) -> None:
        translator, sampling = make_task().translator, DecodingSettings(seed=1)

        def drawn(count: int, settings: DecodingSettings) -> list[list[str]]:
            return [best.words for (best,) in translator.decode(["ein Hund"] * count, settings, batch_size=8)]

        both = drawn(16, sampling)
        assert both[:8] == drawn(8, sampling) != both[8:]
        assert both == drawn(16, sampling)
        shared = DecodingSettings(seed=torch.Generator().manual_seed(1))
        assert drawn(8, shared) + drawn(8, shared) == both

    def test_unk_is_replaced_by_the_source_word(self) -> None:
        task = make_task()
        with torch.no_grad():
            task.network.output.bias[0] = 100.0
        for replaces in (True, False):
            translator = Translator(network=task.network, source=SOURCE, target=TARGET, replace_unknown=replaces)
            ((found,),) = translator.decode(["Fräulein Smilla"], DecodingSettings())
            assert set(found.words) <= ({"Fräulein", "Smilla"} if replaces else {"<unk>"})
            assert len(found.words) > 0

    def test_long_sentences_are_truncated(self) -> None:
        translator = make_task().translator
        ((cut,),) = translator.decode([SOURCES[4]], DecodingSettings(), max_length=2)
        ((short,),) = translator.decode(["ein Hund"], DecodingSettings())
        assert (cut.text, cut.source_words) == (short.text, ["ein", "Hund"])

    def test_model_without_attention_gives_no_weights(self) -> None:
        ((found,),) = make_task("none").translator.decode(["ein Hund"], DecodingSettings(beam=2))
        assert found.attention is None


def test_texts_without_tokens_have_empty_translations() -> None:
    translator, settings = make_task().translator, DecodingSettings(beam=2, n_best=2)
    found = translator.decode(["ein Hund", "", " ", "Katzen"], settings)
    assert found[1] == found[2] == [("", [], [], None, 0.0, ())] * 2
    alone = [translator.decode([text], settings)[0] for text in ("ein Hund", "Katzen")]
    assert [[one.words for one in best] for best in (found[0], found[3])] == [[one.words for one in x] for x in alone]


@pytest.mark.parametrize(("as_json", "expected"), [(False, "a b c\n"), (True, '"a\\nb\u2028c"')])
def test_printed_translations_are_one_line(capsys: pytest.CaptureFixture[str], as_json: bool, expected: str) -> None:
    _print_translations("x", [Translation("a\nb\u2028c", ["a"], ["x"], None, 0.0)], as_json)
    printed = capsys.readouterr().out
    assert expected in printed
    assert printed.count("\n") == 1
