"""Finds private phrases and identifiers in code, comments, docstrings, messages, YAML files and test names.

    python tests/vocabulary.py [PATH ...]

prints one line for each, `file:line: what was found -> what to write`, and exits with 1 if there is any.
`tests/test_vocabulary.py` runs it over the repository.
"""

import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "conf", "tests", "cluster", "train.py")
SUFFIXES = (".py", ".yaml", ".c", ".h", ".sbatch")
MAX_TEST_NAME = 60

PHRASES = {
    r"as it comes|as they come\b": "with default settings, unchanged",
    r"\bgoes on\b|\bgo on\b|\bgoing on\b|\bwent on\b|\bgone on\b": "resumes, continues",
    r"\b(goes|go|went|gone) over (from|to|into)\b": "is carried over between",
    r"\b(is|are|was|were|be|been) told\b|\btold (of|that|apart|about|by)\b|\bas told\b": "is reported, logged, passed",
    r"\b(is|are|was|were|be) said\b|\bsaid (of|above|so)\b|\bsays so\b|\bsay so\b": "is reported, printed, logged",
    r"\bsays? (what|which|how|whether|why|nothing) ": "names, states, describes",
    r"\btells? (which|what|how|whether|where|why|each|that|of)\b": "shows, states, predicts",
    r"\bfor people\b|\bone sees\b": "human-readable",
    r"\bbeside\b": "next to, in addition to, besides",
    r"\bone's own\b": "your, custom, user-supplied",
    r"\bkeeping gate\b|\bkeep gate\b": "forget gate, update gate",
    r"\bonce and for all\b": "once",
    r"\blooked at most\b": "attends to, reads",
    r"\bby heart\b": "memorises, overfits",
    r"\b(has|have|had) like\b|\bof like\b": "similar",
    r"\bwhat a word becomes\b": "token representation",
    r"\b(be|is|are|was) had\b|\bto be had\b": "is available, be found",
    r"\bdealt out\b|\bdeals? out\b": "distributed, split",
    r"\bdeeds?\b|\binsides\b|\bvitals\b|\breadings\b|\bkeepsake\b": "description, activations, training monitor",
    r"\bputs? (it |them )?back\b|\bput back\b": "restore",
    r"\bgreat(er|est)? (number|length)\b": "larger, longest",
    r"\bthe moment\b": "the training state",
    r"\bstands? in for\b": "replaces",
    r"\bso many\b": "this many, the number of",
    r"\bas many as\b.*\bas\b as": "",
    r"\bno matter\b|\bwhatever\b": "for any, regardless of",
    r"\bletter by letter\b|\bby letters\b|\bletters\b": "characters",
}
"""Patterns in running text, whatever the case, and what to write instead."""

IDENTIFIERS = {
    "told": "reported, printed",
    "heard": "catch_signals",
    "forced": "force_backend",
    "WAYS": "BACKENDS",
    "Place": "RunLocation",
    "keeping_gate": "forget_gate",
    "keeping_bias": "forget_gate_bias",
    "keep": "update (the GRU's gate)",
    "shares": "fractions",
    "share": "fraction, probability, weight",
    "sparing": "coalesced",
    "alive": "active",
    "idle": "padding",
    "politely": "user_errors_as_sentences",
    "can_go_on": "can_resume",
    "carry_on": "load_recurrent_state",
    "climbing": "curriculum_stages",
    "mistakes": "misclassified",
    "insides": "hidden_states",
    "vitals": "training_monitor",
    "readings": "activations",
    "letters": "characters, char_ngrams",
    "deed": "description",
    "strips": "heatmaps",
}
"""Whole identifiers, and what to write instead."""

ALLOWED: tuple[tuple[str, str], ...] = (
    ("tests/vocabulary.py", ""),
    ("tests/test_vocabulary.py", ""),
    ("src/sluice/config/renamed.py", ""),
    ("tests/unit/config/test_renamed.py", ""),
    ("src/sluice/callbacks/training_monitor.py", '"Vitals"'),  # key in checkpoints
    ("tests/unit/callbacks/test_monitor.py", '"Vitals"'),
    ("src/sluice/data/synthetic/reviews.py", "whatever the {critics} said"),  # generated text
    ("tests/unit/data/synthetic/test_sample_reviews.py", "whatever the critics said"),
)
"""File and text of the line (a part of each suffices) that may hold what is found."""


def sources(paths: list[str]) -> list[Path]:
    """The tracked and new files to search, those of `paths` only where there are any."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *(paths or FOLDERS)]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return [ROOT / name for name in listed if name.endswith(SUFFIXES) and (ROOT / name).exists()]


def findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, what was found, and what to write instead."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if path.suffix == ".py":
        yield from _in_python(path)
    else:
        for number, line in enumerate(lines, 1):
            yield from ((number, found, instead) for found, instead in _phrases(line))


def _in_python(path: Path) -> Iterator[tuple[int, str, str]]:
    previous = ""
    prose = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.COMMENT))
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in prose:
                for offset, line in enumerate(token.string.splitlines()):
                    yield from ((token.start[0] + offset, found, instead) for found, instead in _phrases(line))
            elif token.type == tokenize.NAME:
                if token.string in IDENTIFIERS:
                    yield token.start[0], token.string, IDENTIFIERS[token.string]
                if previous == "def" and token.string.startswith("test_") and len(token.string) > MAX_TEST_NAME:
                    yield token.start[0], token.string, f"a test name of at most {MAX_TEST_NAME} characters"
            previous = token.string


def _phrases(line: str) -> Iterator[tuple[str, str]]:
    for pattern, instead in PHRASES.items():
        found = re.search(pattern, line, re.IGNORECASE)
        if found:
            yield found[0], instead


def report(paths: list[str]) -> list[str]:
    """One line for each finding that is not allowed."""
    lines = []
    for path in sources(paths):
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text(encoding="utf-8").splitlines()
        for number, found, instead in findings(path):
            if not any(file in name and part in text[number - 1] for file, part in ALLOWED):
                lines.append(f"{name}:{number}: {found!r} -> {instead}")
    return lines


if __name__ == "__main__":
    found = report(sys.argv[1:])
    print("\n".join(found))
    sys.exit(1 if found else 0)
