"""The house keeps its plan (DESIGN.md): which module imports which, and how long they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "certbot_tcs_lyon1"
WINGS = ("ca", "dns01", "install", "watch", "status", "department")

#: Rooms that import nothing of the house but each other.
LEAVES = (
    "compat",
    "disk",
    "download",
    "errors",
    "folders",
    "lineage",
    "lyon1",
    "process",
    "report",
    "waiting",
)

#: What a room must not import, and why. `department` alone is the whole wing but for `settings`.
FORBIDDEN = {
    "dns01": (
        ("ca", "install", "watch", "status", "compat"),
        "dns01 knows nothing of certbot, of the CA or of installing",
    ),
    "install": (("ca", "dns01", "watch", "status"), "install stands alone; watch may call it"),
    "ca": (("install", "watch", "status"), "ca fills certbot's config, and nothing else"),
    "watch": (("ca", "dns01", "status"), "watch may call install alone"),
    "department": (
        ("ca", "dns01", "install", "watch", "status", "compat"),
        "the department config is read without knowing who uses it",
    ),
    **dict.fromkeys(LEAVES, (WINGS, "a leaf imports no wing")),
}

#: The rooms that read files through the reader of the department config.
READERS = ("preparation", "ca.firstrun", "status", "department")

#: Signs of what is Lyon 1's own.
OWN = ("univ-lyon1", "university claude", "sectigo.com", "harica.gr", "settings, ")

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 45


def modules() -> list[str]:
    """Every module of the package, as `ca.order`; the package itself is ""."""
    return [
        ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts).replace("__init__", "")
        for path in sorted((ROOT / PACKAGE).rglob("*.py"))
    ]


def source(module: str) -> Path:
    path = ROOT / PACKAGE / module.rstrip(".").replace(".", "/")
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def imports(module: str) -> Iterator[str]:
    """What a module imports, in full: also within functions, not what only a type checker sees."""
    waiting: list[ast.AST] = [ast.parse(source(module).read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def is_in(name: str, room: str) -> bool:
    return f"{name}.".startswith(f"{PACKAGE}.{room}.")


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_along_the_arrows(module):
    room = module.split(".")[0]
    rooms, why = FORBIDDEN.get(room, ((), ""))
    for name in imports(module):
        against = [f for f in rooms if is_in(name, f) and not is_in(name, "department.settings")]
        assert not against, f"{module} imports {name}: {why}"
        if module != "plugin":
            assert not is_in(name, "plugin"), f"{module} imports {name}: nothing imports the porch"
        if module != "compat":
            assert not name.startswith("certbot._internal"), (
                f"{module} imports {name}: compat alone knows certbot's private modules"
            )
        if not any(f"{module}.".startswith(f"{reader}.") for reader in READERS):
            assert not is_in(name, "department.reader"), (
                f"{module} imports {name}: only {', '.join(READERS)} read files through it"
            )


def strings(node: ast.AST) -> Iterator[str]:
    """Every string but for docstrings."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        for child in ast.iter_child_nodes(node):
            yield from strings(child)


@pytest.mark.parametrize("module", [m for m in modules() if m not in ("", "lyon1")])
def test_what_is_lyon_1s_own_stands_in_lyon1(module):
    found = list(strings(ast.parse(source(module).read_text("utf-8"))))
    own = [text for text in found for sign in OWN if sign in text.lower()]
    assert not own, f"{module}: another university changes lyon1 and nothing else"


@pytest.mark.parametrize("module", modules())
def test_a_module_has_350_lines_at_most_and_a_function_45(module):
    text = source(module).read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES, f"{module}: make two rooms of it"
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if node.end_lineno is not None
        if node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    assert not long, f"{module}: part these functions"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.name)
def test_what_tests_share_is_in_no_test_module(path):
    nodes = [
        n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.ImportFrom)
    ]
    names = [f"{node.module}.{alias.name}" for node in nodes for alias in node.names]
    assert not [name for name in names if re.match(r"tests\.(\w+\.)*test_\w+(\.|$)", name)]
