"""Base recipes of sequence-to-sequence learning."""

from __future__ import annotations

import json
import logging
from abc import abstractmethod
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from torch import nn
from torch.utils.data import DataLoader

from sluice.config.schema import Config
from sluice.config.tasks.translation import Decoding, SentenceTranslation, Translating
from sluice.data.collate import ParallelBatch, ParallelCollator
from sluice.data.corpus import ParallelCorpus
from sluice.data.embedding_vectors import load_vectors
from sluice.data.identity import SplitHashes, hashes_of
from sluice.data.parallel import ParallelSettings, assign_parallel, encode_parallel, read_parallel_texts
from sluice.data.ragged import ParallelSplit
from sluice.decoding.search import DecodingSettings
from sluice.errors import UserError
from sluice.inference.translator import Translator
from sluice.memory import require_memory
from sluice.metrics.translation_scores import Scoring, translation_scoring
from sluice.models.seq2seq import Seq2Seq, SpecialIds
from sluice.plain import Plain
from sluice.recipes.build import build_decoder, build_embedding, build_stack
from sluice.recipes.task import OWN_FILES, TaskRecipe, batch_size_per_rank, refuse_embedding_options
from sluice.runs.data_checks import repeated_texts, rows_of_split
from sluice.runs.evaluation import TEST_MONITOR, EvaluatedSplit, Evaluation, Request, bucketed_loader, run_test
from sluice.runs.monitors import check_monitors
from sluice.runs.saved_model import SavedModel
from sluice.text.coder import BOS_ID, EOS_ID, MARKS, SentenceCoder
from sluice.text.vocab import PADDING_ID, SPECIALS

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from sluice.data.translation import TranslationData
    from sluice.modules.translation import TranslationModule

log = logging.getLogger(__name__)

Settings = TypeVar("Settings", bound=Translating)
SentenceSettings = TypeVar("SentenceSettings", bound=SentenceTranslation)


class CoderParts(TypedDict):
    """Checkpoint contents of a translator besides the weights: `SentenceCoder.saved` of both languages."""

    source: Plain
    target: Plain


class Seq2SeqRecipe(TaskRecipe[Settings, ParallelCorpus, "TranslationData", "TranslationModule", CoderParts]):
    """Sequence-to-sequence learning."""

    description = "translates sentences"
    usage = 'sluice translate {run} "your sentence"'
    evaluation_settings = (
        *("bleu_tokenizer", "decoding.length_penalty", "decoding.alpha", "decoding.max_length", "test_beam"),
        *OWN_FILES,
    )

    @abstractmethod
    def pair_settings(self, settings: Settings) -> ParallelSettings:
        """Returns the settings of tokenisation, vocabulary and filtering."""

    def build_data(self, config: Config, corpus: ParallelCorpus) -> TranslationData:
        from sluice.data.translation import TranslationData

        return TranslationData(
            **self.data_arguments(config, corpus), settings=self.pair_settings(self.settings(config))
        )

    def data_arguments(self, config: Config, corpus: ParallelCorpus) -> Plain:
        """Returns the arguments of the DataModule, except the settings of tokenisation."""
        data = self.settings(config).data
        return {
            "corpus": corpus,
            "cache_dir": Path(config.paths.cache_dir),
            "batch_size": batch_size_per_rank(config, data.batch_size, data.global_batch_size),
            "num_workers": data.num_workers,
            "seed": config.seed,
        }

    def saved_parts(self, data: TranslationData) -> CoderParts:
        prepared = data.prepared
        return {"source": prepared.source.saved(), "target": prepared.target.saved()}

    def example_parts(self, config: Config) -> CoderParts:
        words = [*SPECIALS, *MARKS, "a"]
        joint = self.pair_settings(self.settings(config)).joint
        return {"source": {"vocab": words}, "target": {"vocab": words if joint else [*words, "b"]}}

    def check(self, config: Config) -> None:
        settings = self.settings(config)
        self.pair_settings(settings).check()
        refuse_embedding_options(config)
        if settings.decoder.embedding_path is not None and settings.tie_weights == "all":
            raise UserError(
                f"task.decoder.embedding_path={settings.decoder.embedding_path} cannot be used: task.tie_weights=all "
                "uses one embedding for both languages; set embedding.path instead"
            )
        super().check(config)

    def build_network(self, config: Config, parts: CoderParts) -> Seq2Seq:
        settings = self.settings(config)
        source = build_embedding(config, len(parts["source"]["vocab"]))
        encoder = build_stack(config.model, input_size=source.output_size, one_hot=source.one_hot)
        decoder = build_decoder(
            config, settings, memory_size=encoder.output_size, vocab_size=len(parts["target"]["vocab"])
        )
        return Seq2Seq(
            source_embedding=source,
            encoder=encoder,
            decoder=decoder,
            ids=SpecialIds(BOS_ID, EOS_ID, forbidden=(PADDING_ID, BOS_ID)),
            bridge=settings.bridge,
            tie_weights=settings.tie_weights,
            input_dropout=config.model.input_dropout,
            memory_dropout=settings.memory_dropout,
        )

    def embedded_words(self, network: nn.Module, parts: CoderParts) -> tuple[object, list[str]]:
        """Returns the source embedding and its words; `task.decoder.embedding_path` is for the target."""
        assert isinstance(network, Seq2Seq)
        return network.source_embedding, parts["source"]["vocab"]

    def load_vectors(self, config: Config, network: nn.Module, parts: CoderParts) -> None:
        assert isinstance(network, Seq2Seq)
        own = self.settings(config).decoder.embedding_path
        super().load_vectors(config, network, parts)
        if own is not None:
            words, folder = parts["target"]["vocab"], Path(config.paths.data_dir)
            load_vectors(network.decoder.embedding, own, words, data_dir=folder, seed=config.seed)

    def build_module(self, config: Config, data: TranslationData) -> TranslationModule:
        settings = self.settings(config)
        translator = Translator(
            network=cast(Seq2Seq, self.new_network(config, data)),
            source=data.prepared.source,
            target=data.prepared.target,
            replace_unknown=settings.replace_unknown,
        )
        _check_beams(settings, len(data.prepared.target.vocab), settings.data.batch_size)
        try:
            return self.translation_module(
                config,
                translator,
                label_smoothing=settings.label_smoothing,
                r_drop=settings.r_drop,
                sampling=settings.scheduled_sampling,
                sampling_steps=settings.scheduled_sampling_steps,
                decoding={
                    "val": decoding_settings(settings.decoding),
                    "test": replace(decoding_settings(settings.decoding), beam=settings.test_beam),
                },
                **self.module_arguments(config, data),
            )
        except ValueError as error:
            raise UserError(str(error)) from error

    def translation_module(self, config: Config, translator: Translator, **options: Any) -> TranslationModule:
        """Builds the LightningModule of a translator; tasks differ in the scores they compute.

        Args:
            config: the configuration.
            translator: the network with its vocabularies.
            options: further arguments of TranslationModule.
        """
        from sluice.modules.translation import TranslationModule

        return TranslationModule(translator=translator, **options)

    def module_for_test(self, model: SavedModel) -> TranslationModule:
        data = self.settings(model.config).data
        _check_beams(self.settings(model.config), len(model.parts["target"]["vocab"]), data.batch_size)
        decoding = {"test": self._test_decoding(model)}
        return self.translation_module(model.config, self.inference(model), decoding=decoding, monitor=TEST_MONITOR)

    def source_of(self, coder: SentenceCoder, text: str) -> str:
        """Converts user input to a source sentence.

        Args:
            coder: source vocabulary and tokenizer.
            text: the input.

        Raises:
            UserError: for invalid input.
        """
        return text

    def callbacks(self, config: Config, data: TranslationData) -> list[Callback]:
        from sluice.callbacks.translations import Translations

        return [Translations(size=len(data.prepared.splits["val"]))]

    def extra_metrics(self, config: Config, data: TranslationData, module: TranslationModule) -> dict[str, float]:
        """Computes the test scores with the beam sizes of task.extra_beams."""
        settings, found = self.settings(config), dict[str, float]()
        for beam in settings.extra_beams:
            batches = _batches_of(data.prepared.splits["test"], settings)  # those of the DataModule are of one rank
            scores = module.decode_and_score(batches, decoding_settings(settings.decoding, beam=beam))
            found |= {f"test/{name}_beam_{beam}": score for name, score in scores.items()}
        return found

    def write_artifacts(self, module: TranslationModule, folder: Path) -> None:
        """Writes translations.tsv (source, reference, translation) and scores.json (signatures of the scores)."""
        from sluice.runs.results import write_tsv

        write_tsv(folder / "translations.tsv", ("source", "reference", "translation"), module.translated_sentences())
        if signatures := module.scoring.signatures():
            (folder / "scores.json").write_text(json.dumps(signatures, indent=2) + "\n", encoding="utf-8")

    def print_summary(self, module: TranslationModule) -> None:
        """Prints the signatures of the scores."""
        for name, signature in module.scoring.signatures().items():
            log.info("%s: %s", name, signature)

    def data_counts(self, data: TranslationData) -> dict[str, dict[str, int]]:
        return {
            name: {
                "pairs": len(split),
                "source tokens": int(split.source.lengths.sum()),
                "target tokens": int(split.target.lengths.sum()),
            }
            for name, split in data.prepared.splits.items()
        }

    def data_summary(self, data: TranslationData) -> list[str]:
        prepared, lines = data.prepared, []
        for coder in (prepared.source, prepared.target):
            lines.append(f"{len(coder.vocab):,} entries in the vocabulary of {coder.language or 'the language'}")
        return [*lines, *prepared.notes, *_repeated_sources(data)]

    def inference(self, model: SavedModel) -> Translator:
        coders = {side: SentenceCoder.from_saved(model.parts[side]) for side in ("source", "target")}
        coders["source"] = coders["source"].for_given(model.tokenized)
        settings = self.settings(model.config)
        return Translator(
            network=model.network,
            replace_unknown=settings.replace_unknown,
            max_length=self.pair_settings(settings).max_length,
            preprocess=partial(self.source_of, coders["source"]),
            decoding=decoding_settings(settings.decoding),
            **coders,
        )

    def evaluate(self, model: SavedModel, request: Request) -> Evaluation:
        """Evaluates on a split of the task's sentence pairs."""
        module = self.module_for_test(model)
        pairs = self._pairs_of_split(model, module.translator, request.split)
        metrics = run_test(module, pairs.loader)
        signatures, beam = module.scoring.signatures(), self._test_decoding(model).beam
        details = {"checkpoint": str(model.path), "from": pairs.source, "split": request.split, "beam": beam}
        return Evaluation(
            f"{model.path} on the {request.split} split, beam {beam}, from {pairs.source}",
            metrics,
            {**details, "left_out": pairs.left_out, "signatures": signatures},
            notes=tuple(f"{name}: {signature}" for name, signature in signatures.items()),
        )

    def _test_decoding(self, model: SavedModel) -> DecodingSettings:
        settings = self.settings(model.config)
        return decoding_settings(settings.decoding, beam=settings.test_beam)

    def _pairs_of_split(self, model: SavedModel, translator: Translator, split: str) -> EvaluatedSplit:
        corpus = self.find_corpus(model.config, may_fall_back=False)
        own = self.settings(model.config)
        settings = self.pair_settings(own)
        texts, given, _ = read_parallel_texts(corpus)
        rows, left_out = rows_of_split(
            model, split, given, texts.hashes(), lambda: assign_parallel(texts, given, settings, legacy=True)
        )
        encoded = encode_parallel(
            texts.select(rows), translator.source, translator.target, settings, filtered=split == "train"
        )
        return EvaluatedSplit(_batches_of(encoded, own), len(encoded), corpus.description, left_out)


class SentencePairRecipe(Seq2SeqRecipe[SentenceSettings]):
    """Translation of sentences."""

    kind = "translation"

    def check(self, config: Config) -> None:
        check_monitors(config, self._scoring(config).validation_metrics)
        super().check(config)

    def translation_module(self, config: Config, translator: Translator, **options: Any) -> TranslationModule:
        from sluice.modules.translation import TranslationModule

        return TranslationModule(translator=translator, scoring=self._scoring(config), **options)

    def _scoring(self, config: Config) -> Scoring:
        return translation_scoring(self.settings(config).bleu_tokenizer, self.settings(config).data.target_language)

    def build_data(self, config: Config, corpus: ParallelCorpus) -> TranslationData:
        from sluice.data.translation import TranslationData

        settings = self.settings(config)
        return TranslationData(
            **self.data_arguments(config, corpus),
            settings=self.pair_settings(settings),
            max_tokens=settings.data.max_tokens,
        )

    def pair_settings(self, settings: SentenceSettings) -> ParallelSettings:
        data = settings.data
        return ParallelSettings(
            **vars(settings.text),
            max_length=data.max_length,
            max_ratio=data.max_ratio,
            validation_fraction=0.0,
            test_fraction=0.0,
        )


def _batches_of(split: ParallelSplit, settings: Translating) -> DataLoader[ParallelBatch]:
    """Returns the batches of all pairs of a split, with their texts."""
    keys, scale = split.sort_keys()
    most: int | None = getattr(settings.data, "max_tokens", None)
    collate, max_tokens = ParallelCollator(split, with_texts=True), None if most is None else most * scale
    size = settings.data.batch_size
    loader = bucketed_loader(keys, collate, size, max_tokens=max_tokens, scale=scale, factor=1)
    return cast(DataLoader[ParallelBatch], loader)


def decoding_settings(decoding: Decoding, **changed: Any) -> DecodingSettings:
    """Returns the settings of beam search, with some of them changed."""
    return DecodingSettings(**{**vars(decoding), **changed})


def _check_beams(settings: Translating, vocab_size: int, batch_size: int) -> None:
    """Checks the beam sizes against the target vocabulary and the memory.

    Raises:
        UserError: for a beam size above the size of the vocabulary, or one that does not fit into memory.
    """
    beams = {"decoding.beam": settings.decoding.beam, "test_beam": settings.test_beam}
    for key, beam in [*beams.items(), *(("extra_beams", beam) for beam in settings.extra_beams)]:
        if beam > vocab_size:
            raise UserError(
                f"task.{key}={beam} cannot be used: it must be at most {vocab_size}, the size of the target vocabulary"
            )
        needed = 4 * beam * batch_size * vocab_size
        require_memory(needed, f"task.{key}={beam} with {batch_size} sentences per batch", "choose a smaller beam")


def _repeated_sources(data: TranslationData) -> list[str]:
    """Lines reporting sources of the validation and test splits that also occur in the training split."""
    lines = {name: split.source_lines for name, split in data.prepared.splits.items()}
    hashes = SplitHashes({name: hashes_of((own[i],) for i in range(len(own))) for name, own in lines.items()})
    return repeated_texts(hashes, "sources")
