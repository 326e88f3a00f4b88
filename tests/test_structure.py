"""The source has no import cycles, short functions, and small packages."""

import ast
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "sluice"
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(SOURCE.rglob("*.py"))}
MODULES = {
    ".".join(("sluice", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in TREES
}
LARGE = ("data", "recurrent")
"""Packages that may exceed the limit."""


def imported(file: Path) -> set[str]:
    """Sluice modules imported by a file at import time."""
    top = [node for node in ast.walk(TREES[file]) if isinstance(node, ast.ImportFrom) and node.module]
    inside = {
        inner
        for node in ast.walk(TREES[file])
        if isinstance(node, ast.FunctionDef) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    found = set()
    for node in top:
        if node not in inside:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found & set(MODULES)


def test_no_import_cycles() -> None:
    waiting = {module: imported(file) - {module} for module, file in MODULES.items()}
    while ready := [module for module, needed in waiting.items() if not needed & set(waiting)]:
        for module in ready:
            del waiting[module]
    assert not waiting, f"in a cycle or above one: {', '.join(waiting)}"


def test_functions_are_short() -> None:
    functions = [
        (node.end_lineno - node.lineno + 1, file.name, node.name)  # type: ignore[operator]
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    assert [function for function in functions if function[0] > 45] == []


def test_public_functions_document_their_arguments() -> None:
    """Of three or more, in the docstring or by a reference; commands document theirs as options."""
    missing = []
    for file, tree in TREES.items():
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.Module)):
            if file.parent.name == "cli" or (isinstance(node, ast.ClassDef) and node.name.startswith("_")):
                continue
            for function in (child for child in node.body if isinstance(child, ast.FunctionDef)):
                text, names = ast.get_docstring(function) or "", [*function.args.args, *function.args.kwonlyargs]
                count = sum(name.arg not in ("self", "cls") for name in names)
                documented = "Args:" in text or "rguments" in text or function.name.startswith("_")
                overrides = isinstance(node, ast.ClassDef) and (node.bases or not text)
                overrides = overrides or "overload" in map(ast.unparse, function.decorator_list)
                if count >= 3 and not documented and not overrides:
                    missing.append((file.name, function.name))
    assert missing == []


def test_docstrings_begin_with_a_summary() -> None:
    sections = ("Args:", "Raises:", "Returns:", "Yields:")
    functions = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    texts = [(node.name, ast.get_docstring(node) or "") for node in functions if node.name != "__init__"]
    assert [name for name, text in texts if text.startswith(sections)] == []


def test_packages_are_small() -> None:
    lines: Counter[str] = Counter()
    for file in (file for file in TREES if file.name != "__init__.py"):
        lines[file.relative_to(SOURCE).parts[0]] += len(file.read_text(encoding="utf-8").splitlines())
    assert {package: count for package, count in lines.items() if count > 3200 and package not in LARGE} == {}


def test_use_of_any_is_limited() -> None:
    uses = sum(isinstance(node, ast.Name) and node.id == "Any" for tree in TREES.values() for node in ast.walk(tree))
    assert uses <= 150


def test_every_module_has_a_docstring() -> None:
    assert [
        str(file) for file, tree in TREES.items() if file.name != "__init__.py" and not ast.get_docstring(tree)
    ] == []
