"""Labelled spans of tags.

Tags are read as by conlleval (Tjong Kim Sang & De Meulder 2003) and by the default mode of seqeval, which accept any
sequence of tags: a span begins at B or S, and wherever I or E does not continue a span of its type.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

OUTSIDE = "O"
ROLES = (OUTSIDE, "B", "I", "E", "S")
_, BEGIN, INSIDE, END, _ = range(len(ROLES))
"""Indices into ROLES."""
SCHEMES: dict[str, dict[str, str]] = {
    "iob1": {"B": "B", "I": "I"},
    "iob2": {"B": "B", "I": "I"},
    "bioes": {"B": "B", "I": "I", "M": "I", "E": "E", "S": "S"},
    "bilou": {"B": "B", "I": "I", "L": "E", "U": "S"},
}
"""Prefixes of the tags of each scheme, with their meaning: B begins a span, I continues it, E is its last word, and S
is a span of one word.

- iob1 (Ramshaw & Marcus 1995): spans begin with I, or with B if they follow a span of the same type directly.
- iob2 (Tjong Kim Sang & Veenstra 1999): every span begins with B. Also called BIO.
- bioes: spans end with E, and S is a span of one word. Also called IOBES, and BMES with M instead of I.
- bilou: the same with L and U.
"""


class Span(NamedTuple):
    """Words `start` to `end` (exclusive) with a label."""

    kind: str
    start: int
    end: int


def parse_tag(tag: str, scheme: str) -> tuple[str, str]:
    """Returns the meaning of a tag's prefix and the type of its span; ("O", "") for a tag outside of spans.

    Example:
        >>> parse_tag("U-geo-loc", "bilou"), parse_tag("B", "iob2"), parse_tag("S-loc", "iob2")
        (('S', 'geo-loc'), ('B', ''), ('O', ''))
    """
    prefix, _, kind = tag.partition("-")
    role = SCHEMES[scheme].get(prefix)
    return (OUTSIDE, "") if role is None else (role, kind)


def spans_of(tags: Sequence[str], scheme: str = "iob2") -> set[Span]:
    """Returns the spans of a sentence.

    Args:
        tags: tags of the words, such as "B-PER", or "B" for spans without a type. Others are outside of spans.
        scheme: one of `SCHEMES`.

    Example:
        >>> sorted(spans_of(["B-x", "E-x", "O", "S-y", "I-y"], "bioes"))
        [Span(kind='x', start=0, end=2), Span(kind='y', start=3, end=4), Span(kind='y', start=4, end=5)]
    """
    found: set[Span] = set()
    start, before, kind = 0, OUTSIDE, ""
    for index, tag in enumerate([*tags, OUTSIDE]):
        role, own = parse_tag(tag, scheme)
        if not (before in "BI" and role in "IE" and own == kind):
            if before != OUTSIDE:
                found.add(Span(kind, start, index))
            start = index
        before, kind = role, own
    return found


def detect_scheme(pairs: Collection[tuple[str, str]]) -> str | None:
    """Determines the scheme of tags from all pairs of consecutive tags.

    Every tag other than O must be a prefix, "-" and a type, or a prefix alone; if all are alone, B must be one of them.
    The prefixes decide:

    - E, M or S, but not L or U, with B or S: bioes;
    - L or U, but not E, M or S, with B or U: bilou;
    - only B and I: iob1 if I begins a span somewhere, and B only follows words of a span of its type; otherwise iob2.
      The spans are the same for both.

    Args:
        pairs: pairs of consecutive tags, the first tag of a sentence preceded by "O".

    Returns:
        One of `SCHEMES`; None if there are no spans, or the tags have no common scheme.
    """
    split = {tag: tag.partition("-") for pair in pairs for tag in pair if tag != OUTSIDE}
    prefixes = {prefix for prefix, _, _ in split.values()}
    typed = any(dash for _, dash, _ in split.values())
    if not prefixes or any(dash and not kind for _, dash, kind in split.values()) or not (typed or "B" in prefixes):
        return None
    if prefixes <= {"B", "I"}:
        begins = {tag[0] for before, tag in pairs if tag != OUTSIDE and not _continues(before, tag)}
        return "iob1" if begins == {"I"} else "iob2"
    for scheme, single in (("bioes", "S"), ("bilou", "U")):
        if prefixes <= SCHEMES[scheme].keys() and prefixes & {"B", single}:
            return scheme
    return None


def _continues(before: str, tag: str) -> bool:
    """Returns whether a word has the same type as the word before, both within spans."""
    return before != OUTSIDE and before.partition("-")[2] == tag.partition("-")[2]
