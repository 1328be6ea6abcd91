"""The guide's tables quote messages word for word: those of this package are found in its strings,
and the cause of each of its errors and warnings in the tables.

A quoted message is cut at `…`, and where messages are put together: after a place and its colon,
and between cause and remedy.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.ca import rows
from certbot_tcs_lyon1.dns01 import kerberos, meaning

ROOT = Path(__file__).resolve().parents[2]
TABLES = (ROOT / "docs" / "guide-drao.rst").read_text("utf-8").partition(".. _messages:")[2]


def family(of: type[errors.Error] = errors.Error) -> Iterator[str]:
    """The names of the errors that the package raises, once all its modules are imported."""
    for one in of.__subclasses__():
        yield one.__name__
        yield from family(one)


#: Calls of `inifile.Section`, whose second argument is one.
NOTED = ("fault",)

#: Stands in a string of the package for what changes.
HOLE = "\0"


def modules() -> Iterator[tuple[ModuleType, ast.AST]]:
    """Every module of the package, and its source taken apart."""
    for path in sorted((ROOT / "certbot_tcs_lyon1").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        module = importlib.import_module(name.replace(".__init__", ""))
        yield module, ast.parse(path.read_text("utf-8"))


def strings(node: ast.AST, module: ModuleType) -> Iterator[str]:
    """Every string of a module but for docstrings, f-strings as one, with holes."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(_part(part, module) for part in node.values)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from strings(part.value, module)
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value.replace("%s", HOLE)
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        for child in ast.iter_child_nodes(node):
            yield from strings(child, module)


def _part(part: ast.expr, module: ModuleType) -> str:
    """A part of an f-string; a constant of a module is filled in."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    found: object = module
    for name in ast.unparse(part.value).split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, str) else HOLE


def quoted(mark: str = "`+") -> list[str]:
    """The messages in the first column of the tables, each once.

    Between two marks they are the package's; those of certbot, the CA or Python have the role
    `others` and one.
    """
    cells = re.findall(r"^   \* - (.*?)\n     - ", TABLES, re.MULTILINE | re.DOTALL)
    return list(dict.fromkeys(re.findall(rf"(?<!`){mark}([^`]+){mark}(?!`)", " ".join(cells))))


def pieces(message: str) -> list[str]:
    return [piece for piece in (p.strip() for p in re.split("…|: |; ", message)) if piece]


def fits(piece: str, text: str) -> bool:
    """Whether a piece is a part of a string whose holes take anything; half of it must be words."""
    found = dict.fromkeys(range(len(text)), 0)  # from each place on: how many letters are the same
    for letter in piece:
        further: dict[int, int] = {}
        for at, same in sorted(found.items()):
            while text[at : at + 1] == HOLE:
                further[at] = max(same, further.get(at, 0))
                at += 1
            if text[at : at + 1] == letter:
                further[at + 1] = max(same + 1, further.get(at + 1, 0))
        found = further
    return max(found.values(), default=0) * 2 >= len(piece)


@pytest.fixture(scope="module")
def package() -> list[str]:
    return [text for module, tree in modules() for text in strings(tree, module)]


@pytest.mark.parametrize("message", quoted("``"))
def test_a_message_of_the_guide_is_the_packages(package, message):
    for piece in pieces(message):
        assert any(fits(piece, text) for text in package), piece


def messages(tree: ast.AST) -> Iterator[ast.expr]:
    """The causes that are raised, noted or warned of, with what their names stand for.

    Of an error and of `warning` that is the first argument; the remedy, the second one, says itself
    what to do.
    """
    raised = {*family(), "warning"}
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        named: dict[str, list[ast.expr]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                named.setdefault(node.targets[0].id, []).append(node.value)
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
            name = ast.unparse(call.func).rpartition(".")[2]
            position = 1 if name in NOTED else 0
            if (name in NOTED or name in raised) and len(call.args) > position:
                message = call.args[position]
                yield message
                if isinstance(message, ast.Name):
                    yield from named.get(message.id, ())


def test_every_message_of_the_package_is_in_the_guide():
    """A cause of three words or more has a quoted piece in it that is no mere word."""
    known = [p for message in quoted() for p in pieces(message) if len(p) > 6]
    missing = [
        text
        for module, tree in modules()
        for message in messages(tree)
        for text in strings(message, module)
        if len(text.split()) > 2 and not any(fits(piece, text) for piece in known)
    ]
    assert missing == []


def test_every_fault_of_kerberos_is_in_the_guide():
    known = [p for message in quoted() for p in pieces(message) if len(p) > 6]
    causes = [cause.format(account=HOLE, realm=HOLE) for cause, _ in kerberos.ROWS.values()]
    missing = [cause for cause in causes if not any(fits(piece, cause) for piece in known)]
    assert missing == []


def test_every_error_of_an_update_is_in_the_guide():
    """But for the mere code, which the administrator finds in the server's log."""
    known = [p for message in quoted() for p in pieces(message) if len(p) > 5]
    causes = [row.cause for rows in meaning.ROWS.values() for row in rows.values()]
    texts = [re.sub(r"{\w+}", HOLE, cause) for cause in causes if cause != "{code}"]
    missing = [text for text in texts if not any(fits(piece, text) for piece in known)]
    assert missing == []


def test_every_error_of_the_ca_that_is_explained_is_in_the_guide():
    cells = "\n".join(quoted()).lower()
    missing = [words for row in rows.ROWS for words in row.words if words.lower() not in cells]
    assert missing == []
