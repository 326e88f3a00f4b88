"""Sequence to sequence: sentences in, sentences out."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback

from sluice.callbacks.translations import Translations
from sluice.config.common import Model
from sluice.config.schema import Config
from sluice.config.tasks.translation import Decoding, Parallel
from sluice.data.multi30k import resolve_multi30k
from sluice.data.pairs import ParallelCorpus
from sluice.data.parallel import PairSettings
from sluice.data.parallel_files import PairPaths, ParallelFiles
from sluice.data.split_hashes import SplitHashes, hashes_of
from sluice.data.translation import TranslationData
from sluice.decoding.search import DecodingSettings
from sluice.errors import UserError
from sluice.inference.translator import Translator
from sluice.layers.attention import make_attention
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.decoder import Decoder, decoder_input_size
from sluice.models.seq2seq import Ids, Seq2Seq
from sluice.modules.translation import TranslationTask
from sluice.recipes.base import OWN_FILES, Family, batch_size_per_rank, check_monitors, may_use_sample
from sluice.recipes.build import build_embedding, build_stack, give_vectors
from sluice.text.coder import BEGIN_ID, END_ID, SentenceCoder
from sluice.text.vocab import PADDING_ID

log = logging.getLogger(__name__)


class TranslationFamily(Family):
    """Multi30k and one's own sentence pairs."""

    tasks: tuple[str, ...] = ("multi30k", "parallel")
    deed = "translates"
    evaluated_with = ("decoding.", "test_beam", *OWN_FILES)
    use = 'sluice translate {run} "your sentence"'

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> ParallelCorpus:
        data = config.task.data
        languages = {"source_language": data.source_language, "target_language": data.target_language}
        if isinstance(config.task, Parallel):
            return ParallelFiles(
                train=_paths(data.path, data.target_path),
                val=_paths(data.validation_path, data.validation_target_path) if data.validation_path else None,
                test=_paths(data.test_path, data.test_target_path) if data.test_path else None,
                **languages,
            )
        return resolve_multi30k(
            source=data.source,
            data_dir=Path(config.paths.data_dir),
            sample_size=data.sample_size,
            may_fall_back=may_use_sample(config, may_fall_back),
            **languages,
        )

    def build_data(self, config: Config, corpus: ParallelCorpus) -> TranslationData:
        return TranslationData(
            **shared_of_data(config, corpus),
            settings=self.pair_settings(config),
            max_tokens=config.task.data.max_tokens,
        )

    def pair_settings(self, config: Config) -> PairSettings:
        """How the task's sentences become ids."""
        data = config.task.data
        return PairSettings(
            **vars(config.task.text),
            max_length=data.max_length,
            max_ratio=data.max_ratio,
            validation_share=getattr(data, "validation_share", 0.0),
            test_share=getattr(data, "test_share", 0.0),
        )

    def build_network(self, config: Config, parts: dict[str, Any]) -> Seq2Seq:
        source = build_embedding(config, len(parts["source"]["vocab"]))
        encoder = build_stack(config.model, input_size=source.output_size, one_hot=source.one_hot)
        return Seq2Seq(
            source_embedding=source,
            encoder=encoder,
            decoder=_build_decoder(config, encoder.output_size, len(parts["target"]["vocab"])),
            ids=Ids(BEGIN_ID, END_ID, never=(PADDING_ID, BEGIN_ID)),
            bridge=config.task.bridge,
            tie=config.task.tie,
            input_dropout=config.model.input_dropout,
            memory_dropout=config.task.memory_dropout,
        )

    def words_read(self, network: Seq2Seq, parts: dict[str, Any]) -> tuple[Any, list[str]]:
        return network.source_embedding, parts["source"]["vocab"]

    def read_vectors(self, config: Config, network: Seq2Seq, parts: dict[str, Any]) -> None:
        """As ever for the sources; what has been written has a file of its own."""
        own = config.task.decoder.embedding_path
        if own is not None and config.task.tie == "all":
            raise UserError(
                f"task.decoder.embedding_path={own} cannot be used: task.tie=all has one embedding for both, "
                "which embedding.path begins"
            )
        super().read_vectors(config, network, parts)
        if own is not None:
            give_vectors(network.decoder.embedding, own, parts["target"]["vocab"], config.seed)

    def saved_parts(self, data: TranslationData) -> dict[str, Any]:
        prepared = data.prepared
        return {"source": prepared.source.saved(), "target": prepared.target.saved()}

    def build_task(self, config: Config, data: TranslationData) -> TranslationTask:
        settings = config.task
        if config.embedding.adversarial or config.embedding.start != "random":
            raise UserError("embedding.adversarial and embedding.start are for tasks that classify: leave them out")
        network: Any = self.network_for(config, data)
        translator = Translator(
            network=network,
            source=data.prepared.source,
            target=data.prepared.target,
            replaces_unknown=settings.replace_unknown,
        )
        try:
            for beam in settings.more_beams:
                decoding_settings(settings.decoding, beam=beam).check()
            task = self.make_task(
                config,
                translator,
                label_smoothing=settings.label_smoothing,
                sampling=settings.scheduled_sampling,
                sampling_steps=settings.scheduled_sampling_steps,
                decoding={
                    "val": decoding_settings(settings.decoding),
                    "test": replace(decoding_settings(settings.decoding), beam=settings.test_beam),
                },
                **self.shared_of_task(config, data),
            )
        except ValueError as error:
            raise UserError(str(error)) from error
        check_monitors(config, task.validation_metrics)
        return task

    def make_task(self, config: Config, translator: Translator, **options: Any) -> TranslationTask:
        """The LightningModule around a translator, which says what is measured.

        Args:
            config: the configuration.
            translator: with the network.
            options: what else TranslationTask takes.
        """
        return TranslationTask(translator=translator, **options)

    def source_of(self, coder: SentenceCoder, text: str) -> str:
        """The source that somebody means by a text.

        Args:
            coder: of the sources.
            text: as it was typed.

        Raises:
            UserError: if it can't be one.
        """
        return text

    def callbacks(self, config: Config, data: TranslationData) -> list[Callback]:
        return [Translations(size=len(data.prepared.splits["val"]))]

    def more_figures(self, config: Config, data: TranslationData, task: TranslationTask) -> dict[str, float]:
        """The test's scores with the other beams of task.more_beams."""
        found: dict[str, float] = {}
        for beam in config.task.more_beams:
            scores = task.scores_of(data.loader("test"), decoding_settings(config.task.decoding, beam=beam))
            found |= {f"test/{name}_beam_{beam}": score for name, score in scores.items()}
        return found

    def keep(self, task: TranslationTask, folder: Path) -> None:
        """translations.tsv: what the test wrote beside source and reference; scores.json: how it was scored.

        Line breaks inside a text stand as backslash n.
        """
        rows = ["\t".join(map(_one_line, row)) for row in task.written()]
        table = "\n".join(["source\treference\ttranslation", *rows, ""])
        (folder / "translations.tsv").write_text(table, encoding="utf-8")
        if told := task.scoring.signatures():
            (folder / "scores.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    def show(self, task: TranslationTask) -> None:
        """How the scores were computed."""
        for name, signature in task.scoring.signatures().items():
            log.info("%s: %s", name, signature)

    def describe(self, data: TranslationData) -> list[str]:
        prepared, lines = data.prepared, []
        for name, split in prepared.splits.items():
            sizes = f"{split.source.lengths.sum():>11,} and {split.target.lengths.sum():>11,} tokens"
            lines.append(f"{name:<6}{len(split):>9,} pairs  {sizes}")
        for coder in (prepared.source, prepared.target):
            lines.append(f"{len(coder.vocab):,} entries in the vocabulary of {coder.language or 'the language'}")
        return [*lines, *prepared.notes, *_repeated_sources(data)]


TRANSLATION = TranslationFamily()


def _repeated_sources(data: TranslationData) -> list[str]:
    """How many pairs of validation and test have a source that is also trained on, in words."""
    lines = {name: split.source_lines for name, split in data.prepared.splits.items()}
    hashes = SplitHashes({name: hashes_of((own[i],) for i in range(len(own))) for name, own in lines.items()})
    counts = hashes.repeated()
    return [
        f"{count:,} sources of {split} are also in train, and stay there" for split, count in counts.items() if count
    ]


def shared_of_data(config: Config, corpus: ParallelCorpus) -> dict[str, Any]:
    """The arguments that every DataModule of pairs takes, but for how they become ids."""
    return {
        "corpus": corpus,
        "cache_dir": Path(config.paths.cache_dir),
        "batch_size": batch_size_per_rank(config),
        "num_workers": config.task.data.num_workers,
        "seed": config.seed,
    }


def decoding_settings(decoding: Decoding, **changed: Any) -> DecodingSettings:
    """How translations are searched for."""
    return DecodingSettings(**{**vars(decoding), **changed})


def translator_of(config: Config, network: Seq2Seq, parts: dict[str, Any]) -> Translator:
    """The way into a saved network and out of it."""
    coders = {side: SentenceCoder.from_saved(parts[side]) for side in ("source", "target")}
    return Translator(network=network, replaces_unknown=config.task.replace_unknown, **coders)


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def _paths(source: str, target: str | None) -> PairPaths:
    return Path(source) if target is None else (Path(source), Path(target))


def _build_decoder(config: Config, memory_size: int, vocab_size: int) -> Decoder:
    task, own = config.task, config.task.decoder
    embedding = LearnedEmbedding(
        vocab_size=vocab_size,
        size=config.embedding.size,
        padding_id=PADDING_ID,
        word_dropout=config.embedding.word_dropout,
        initial_std=config.embedding.initial_std,
    )
    attention = make_attention(
        task.attention, query_size=own.hidden_size, memory_size=memory_size, size=own.attention_size
    )
    output_size = own.output_size or embedding.output_size
    input_size = decoder_input_size(
        embedding_size=embedding.output_size,
        output_size=output_size,
        memory_size=memory_size,
        attention=attention is not None,
        input_feeding=own.input_feeding,
    )
    return Decoder(
        embedding=embedding,
        stack=build_stack(_decoder_model(config.model, own), input_size=input_size),
        attention=attention,
        memory_size=memory_size,
        output_size=output_size,
        input_feeding=own.input_feeding,
        input_dropout=config.model.input_dropout,
        hidden_dropout=own.hidden_dropout,
        output_dropout=task.output_dropout,
    )


def _decoder_model(model: Model, own: Any) -> Model:
    """The core's settings with the decoder's own sizes."""
    return replace(
        model,
        cell=own.cell,
        hidden_size=own.hidden_size,
        budget=None,
        num_layers=own.num_layers,
        bidirectional=own.bidirectional,
        residual=model.residual and own.num_layers > 1,
        dropout=model.dropout if own.num_layers > 1 else 0.0,
    )
