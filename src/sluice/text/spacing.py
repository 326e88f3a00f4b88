"""Spaces between words and punctuation marks, by the rules of languages other than English."""

import re
import unicodedata
from collections.abc import Sequence

Attached = tuple[bool, bool]
"""Whether a token has no space before it, and none after it."""
LEFT, RIGHT, BOTH, NEITHER = (True, False), (False, True), (True, True), (False, False)

UNSPACED_LANGUAGES = ("zh", "ja", "th", "lo", "km", "my")
"""Languages that are written without spaces between words."""
_WIDE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff65\U00020000-\U0003ffff]"
)
"""Scripts without spaces: Thai, Lao, Burmese, Khmer, Chinese and Japanese, with their punctuation."""
_OPENS = re.compile(r"[(\[{¿¡（「『【《〈]+")
_CLOSES = re.compile(r"[,.?!:;%…)\]}、。，！？：；％）」』】》〉²³™®।॥۔،؟؛]+")
_SPACED_IN_FRENCH = re.compile(r"[?!:;%]")
_CLOSING_QUOTES = {
    **{'"': '"', "``": "''", "'": "'", "„": '“”"', "“": "”", "”": "”"},
    **{"‚": "‘’", "‘": "’", "«": "»", "»": "«", "‹": "›", "›": "‹"},
}
"""Closing quotation marks of each opening one."""
_QUOTES = {*_CLOSING_QUOTES, "''"}
_ELIDED = re.compile("[bcdjlmnost]|(?:jusqu|lors?qu|puisqu|quoiqu|quelqu|presqu|qu)|aujourd", re.IGNORECASE)
"""Words that lose their final vowel before an apostrophe: "l'", "qu'"."""
_CUT = {"it": {"be", "ca", "da", "di", "fa", "mo", "po", "sta", "to", "va"}}
"""Words cut off by an apostrophe: "un po' di"."""
_CLITICS = {"de": {"s"}, "nl": {"s"}}
"""Words joined to the previous one by an apostrophe: "geht's"."""
_LEADING = {
    "de": {"n", "ne", "nem", "nen", "ner", "ran", "raus", "rein", "rum"},
    "it": {"sta", "sti", "sto"},
    "nl": {"k", "m", "n", "r", "t"},
}
"""Words that begin with an apostrophe: "'nen"."""
_CASE_ENDINGS = {
    "fi": re.compile("n|a|ä|t|ta|tä|na|nä|ssa|ssä|sta|stä|lla|llä|lle|lta|ltä|ksi|een|hun|iin|hin|aan|ään"),
    "sv": re.compile("s|t|e|a|n|en|et|er|ar|na|arna"),
}
"""Endings of abbreviations and numbers, after a colon: "EU:n"."""


def base_language(code: str) -> str:
    """Returns the language of a code without its region: "fr" for "fr-CA"."""
    return re.split("[-_]", code.lower())[0]


def join_tokens(tokens: Sequence[str], language: str) -> str:
    """Joins words and punctuation marks, as separated by Moses's tokenizer, to a text.

    Args:
        tokens: the tokens.
        language: language code, such as "fr".

    Example:
        >>> join_tokens(["L'", "oncle", "dit", ":", "«", "Non", "!", "»"], "fr")
        "L'oncle dit : « Non ! »"
        >>> join_tokens(["dell'", "arte", "(", "«", "No", "!", "»", ")"], "it")
        "dell'arte («No!»)"
    """
    text, opened, glued = "", list[str](), True
    for index, token in enumerate(tokens):
        left, right = _attached(tokens, index, language, opened)
        wide = language != "ko" and _is_wide(text[-1:], language) and _is_wide(token[:1], language)
        text += token if glued or left or wide else f" {token}"
        glued = right
    return text


def _is_wide(character: str, language: str) -> bool:
    return bool(_WIDE.match(character)) or (language in ("zh", "ja") and character in {*"“”‘’…—"})


def _attached(tokens: Sequence[str], index: int, language: str, opened: list[str]) -> Attached:
    """Returns the spaces of a token; `opened` are the quotation marks that are not closed yet, updated in place."""
    token, before = tokens[index], tokens[index - 1] if index else ""
    after = tokens[index + 1] if index + 1 < len(tokens) else ""
    if _OPENS.fullmatch(token):
        return RIGHT
    if token == ":" and _is_joining_colon(before, after, language):
        return BOTH
    if _CLOSES.fullmatch(token):
        spaced = language == "fr" and _SPACED_IN_FRENCH.fullmatch(token) and before not in ("?", "!")
        return NEITHER if spaced else LEFT
    if token in ("'", "’") and (attached := _apostrophe(tokens, index, language, opened)):
        return attached
    if token in _QUOTES:
        attached = _quote(token, opened)
        return NEITHER if language == "fr" and token in "«»‹›" else attached
    if token[-1] in "'’" and language in ("fr", "it", "ca", "ga"):
        return (False, after[:1].isalnum())
    return _symbol(token, before, after, language)


def _is_joining_colon(before: str, after: str, language: str) -> bool:
    """Whether a colon stands within a time or score ("12:30"), an address ("http://"), or before a case ending."""
    if language in _CASE_ENDINGS and _CASE_ENDINGS[language].fullmatch(after):
        return before.isupper() or before.isdigit()
    return after == "/" or bool(re.fullmatch(r"\d\d?", before) and re.fullmatch(r"\d\d?", after))


def _quote(token: str, opened: list[str]) -> Attached:
    for position in reversed(range(len(opened))):
        if token in _CLOSING_QUOTES[opened[position]]:
            del opened[position:]
            return LEFT
    if token not in _CLOSING_QUOTES:
        return LEFT
    opened.append(token)
    return RIGHT


def _apostrophe(tokens: Sequence[str], index: int, language: str, opened: list[str]) -> Attached | None:
    """Returns the spaces of an apostrophe; None for a quotation mark."""
    mark, before = tokens[index], tokens[index - 1] if index else ""
    after, following = [*tokens[index + 1 : index + 3], "", ""][:2]
    between = before[-1:].isalpha() and after[:1].isalpha()
    if mark in opened and tokens[index - 2] == mark:
        return None  # a quoted word
    if language == "nl" and after == "s" and following.islower() and following.endswith("s"):
        return RIGHT  # "'s avonds"
    if after in _LEADING.get(language, ()) and before.lower() != "zo" and following != mark:
        return RIGHT
    if (between and after in _CLITICS.get(language, ("s",))) or (_ELIDED.fullmatch(before) and after):
        return BOTH
    if before.endswith("ll") and after[:1].isdigit():
        return BOTH  # "nell'800"
    if before.lower() in _CUT.get(language, ()):
        return LEFT
    remaining = tokens[index:].count(mark)
    if any(mark in _CLOSING_QUOTES[mark_open] for mark_open in opened) and (mark == "'" or remaining == 1):
        return None
    if re.fullmatch(r"\d\d", after):
        return RIGHT  # "'90"
    if mark == "'" and remaining % 2 == 0:
        return None
    return (bool(before), between and not (mark == "'" and before[-1] in "sxzß")) if before[-1:].isalpha() else RIGHT


def _symbol(token: str, before: str, after: str, language: str) -> Attached:
    category = unicodedata.category(token[0])
    if category in ("Mn", "Mc", "Me", "Sk"):  # viramas join consonants, except in languages where they end words
        return (True, unicodedata.combining(token[0]) == 9 and language not in ("ta", "ml"))
    if category == "Cf" or token in ("/", "‐", "‑", "·"):
        return BOTH
    if category == "Sc":
        return NEITHER if before[-1:].isdigit() or language == "nl" else RIGHT
    if token == "°":
        return RIGHT if after.rstrip(".") in ("C", "F") else LEFT
    if token == "–" and before.isdigit() and after.isdigit():
        return BOTH
    if token == "+" and not before.isdigit() and after[:1].isdigit():
        return RIGHT
    if token == "@":
        return BOTH if "." in after else RIGHT
    return RIGHT if token == "#" else NEITHER
