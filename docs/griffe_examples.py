"""Reads the section "Example:" of a docstring as examples, not as Markdown, in the pages of docs/reference/."""

from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Renames the section "Example:" to "Examples:", the name that the parser of Google's style expects."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
