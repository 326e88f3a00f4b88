"""The JSON file next to an exported network: its inputs and outputs, vocabulary, labels and tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sluice.config.common import TaskSettings
from sluice.config.tasks.classification import Classification
from sluice.config.tasks.language import LanguageModelling
from sluice.config.tasks.pairs import Pairs
from sluice.config.tasks.sequences import Tagging
from sluice.config.tasks.translation import Translating
from sluice.export.programs import Program, Value
from sluice.plain import Plain, PlainMapping
from sluice.recipes.language import LanguageModelRecipe
from sluice.recipes.registry import recipe_of
from sluice.runs.saved_model import SavedModel
from sluice.text.coder import BOS_ID, EOS_ID, MARKS
from sluice.text.tokenization import LINE_BREAK
from sluice.text.tokenizers import END_OF_LINE, word_pattern
from sluice.text.truncation import kept_head_length
from sluice.text.vocab import PADDING, PADDING_ID, UNKNOWN_ID
from sluice.version import __version__

PATTERNS = {"words": word_pattern().pattern, "whitespace": r"\S+", "basic_english": r"\S+", "chars": r"(?s)."}
"""Regular expression of a token, by tokenizer."""
BASIC_ENGLISH = (
    *(("'", " '  "), ('"', ""), (r"\.", " . "), (r"<br \/>", " "), (",", " , "), (r"\(", " ( "), (r"\)", " ) ")),
    *((r"\!", " ! "), (r"\?", " ? "), (";", " "), (":", " ")),
)
"""Replacements of torchtext's basic_english, in order, after lower-casing."""
DTYPES = {torch.int64: "int64", torch.float32: "float32", torch.bool: "bool"}


@dataclass(frozen=True)
class Rules:
    """How a text is split into tokens."""

    name: str
    """Name of the tokenizer, or the unit "subwords"."""
    unit: str = "words"
    lowercase: bool = False
    normalize: bool = False
    language: str = "en"
    subwords: bytes | None = None

    def fields(self, model_file: str) -> Plain:
        """Returns the fields of the JSON file.

        Args:
            model_file: name of the file with the sentencepiece model, if the unit is subwords.
        """
        name = {"chars": "chars", "subwords": "sentencepiece"}.get(self.unit, self.name)
        basic = name == "basic_english"
        library = {"moses": "sacremoses", "sentencepiece": "sentencepiece"}.get(name)
        lowers_text = basic or (self.lowercase and self.unit == "subwords")
        return {
            "name": name,
            "unit": self.unit,
            "clean": [["(?i)" + LINE_BREAK.pattern, " "]] if self.normalize else [],
            "unicode": "NFC" if self.normalize else None,
            "lowercase": "text" if lowers_text else "tokens" if self.lowercase else None,
            "replace": [list(pair) for pair in BASIC_ENGLISH] if basic else [],
            "pattern": PATTERNS.get(name),
            "library": library,
            "language": self.language,
            "model": model_file if self.unit == "subwords" else None,
        }


def describe(model: SavedModel, programs: Sequence[Program], files: Sequence[str], *, form: str, stem: str) -> Plain:
    """Returns the content of the JSON file.

    Args:
        model: the trained model.
        programs: the exported programs; none for weights alone.
        files: names of their files, in the same order.
        form: the format: "onnx", "torch" or "safetensors".
        stem: common beginning of the names of all files.
    """
    task, parts = model.config.task, model.parts
    return {
        "sluice": __version__,
        "format": form,
        "task": task.name,
        "kind": type(model.network).__name__,
        "programs": [
            {"file": file, "name": program.name, "inputs": _values(program.inputs), "outputs": _values(program.outputs)}
            for program, file in zip(programs, files, strict=True)
        ],
        "labels": list(parts.get("labels") or parts.get("tags") or []) or None,
        "scheme": parts.get("scheme"),
        **_text_fields(model, task, stem),
    }


def subword_models(model: SavedModel) -> dict[str, bytes]:
    """Returns the sentencepiece models of a trained model by the key of their text in the JSON file."""
    return {key: rules.subwords for key, rules in _rules(model).items() if rules.subwords is not None}


def _values(values: Sequence[Value]) -> list[Plain]:
    found = []
    for value in values:
        entry: Plain = {"name": value.name, "shape": list(value.shape), "dtype": DTYPES[value.dtype]}
        if value.start is not None:
            entry["start"] = value.start.tolist() if value.start.any() else 0.0
        found.append({**entry, "description": value.description})
    return found


def _rules(model: SavedModel) -> dict[str, Rules]:
    """Returns how the texts of a model are split, by their key: "text", or "source" and "target"."""
    task, parts = model.config.task, model.parts
    if isinstance(task, Classification | Pairs):
        text = task.text
        rules = Rules(text.tokenizer, text.unit, text.lowercase, text.normalize)
        return {"text": replace(rules, subwords=parts.get("subword_model"))}
    if isinstance(task, LanguageModelling):
        recipe = recipe_of(model.config)
        assert isinstance(recipe, LanguageModelRecipe)
        return {"text": Rules(recipe.text_settings(task).tokenizer, task.text.unit)}
    if isinstance(task, Tagging):
        return {"text": Rules("whitespace")}
    found = {}
    for side in ("source", "target"):
        saved = parts.get(side)
        if saved is not None:
            rules = Rules(saved["tokenizer"], saved["unit"], saved["lowercase"], language=saved["language"])
            found[side] = replace(rules, subwords=saved["subwords"])
    return found


def _text_fields(model: SavedModel, task: TaskSettings, stem: str) -> Plain:
    parts, rules = model.parts, _rules(model)
    texts = {key: {"tokenizer": rule.fields(f"{stem}.{key}.model")} for key, rule in rules.items()}
    if "source" in texts:
        sides = {key: {**fields, **_sentences(parts[key])} for key, fields in texts.items()}
        assert isinstance(task, Translating)
        limits = {name: getattr(task.decoding, name) for name in ("max_length_factor", "max_length_offset")}
        return {**sides, **limits}
    found: Plain = {"vocabulary": list(parts.get("vocab") or []) or None, **texts.get("text", {})}
    if found["vocabulary"]:
        found |= {"unknown_id": UNKNOWN_ID, "padding_id": PADDING_ID, "reserved": [PADDING]}
    if isinstance(task, Classification | Pairs):
        data = task.data
        head = kept_head_length(data.truncation, data.max_length)
        found |= {"max_length": data.max_length, "head": head, "padding": getattr(task, "padding", "right")}
    if isinstance(task, Pairs):
        found |= {"ngrams": {"max_n": task.text.max_ngram, "buckets": task.text.buckets}}
    if isinstance(task, LanguageModelling):
        found |= {"begin": END_OF_LINE, "lowercase_unknown": True}
    return found


def _sentences(saved: PlainMapping) -> Plain:
    """Vocabulary of one language of a translator."""
    return {
        "vocabulary": list(saved["vocab"]),
        "unknown_id": UNKNOWN_ID,
        "padding_id": PADDING_ID,
        "begin_id": BOS_ID,
        "end_id": EOS_ID,
        "reserved": [PADDING, *MARKS],
        "join": " " if saved["unit"] == "words" else "",
    }
