"""The guide's tables quote messages word for word: those of this package are found in its strings,
and each of its messages in the tables.

A quoted message is cut at `…`, and where messages are put together: after a place and its colon,
and between cause and remedy.
"""

from __future__ import annotations

import ast
import errno
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.ca import rows
from certbot_tcs_lyon1.department.settings import ALGORITHMS
from certbot_tcs_lyon1.dns01 import kerberos
from certbot_tcs_lyon1.dns01.propagation import State

ROOT = Path(__file__).resolve().parents[2]
TABLES = (ROOT / "docs" / "guide-drao.rst").read_text("utf-8").partition(".. _messages:")[2]

#: The words of certbot, of the CA and of Python.
OTHERS = {
    "identifiers are not all linked to the same preauthorized Subject organization name/address",
    "A requested identifier has not been delegated",
    "The server requires external account binding",
    'must include a value for the "externalAccountBinding" field',
    "an account that does not exist",
    "Certification Authority Authorization (CAA) records forbid",
    "will not issue",
    "The CSR is unacceptable",
    "The request message was malformed",
    "The server experienced an internal error",
    "too many requests",
    "Read timed out",
    "AttributeError: can't set attribute",
    "'Namespace' object has no attribute 'tcs_lyon1_department'",
    "The requested tcs-lyon1 plugin does not appear to be installed",
}

#: What the tables show in the place of something that changes.
SHOWN = (
    *ALGORITHMS,
    *(state.value for state in State),
    *(os.strerror(code) for code in (errno.EACCES, errno.ENOENT, errno.EISDIR)),
    *(os.strerror(code).lower() for code in (errno.EACCES, errno.EISDIR, errno.ECONNREFUSED)),
    *("SERVFAIL", "NOTIMP", "FORMERR"),
    *("dns", "tcs-lyon1", "pkcs12", "pkcs12_password_file"),
    *("is not UTF-8", "has a NUL byte", "quote", "comment"),
    *("no single department may", "may not", "ahead of"),
    *("test", "reload", "120", "SIG"),
)
_SHOWN = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, sorted(SHOWN, key=len)[::-1]))})(?!\w)")


def family(of: type[errors.Error] = errors.Error) -> Iterator[str]:
    """The names of the errors that the package raises, once all its modules are imported."""
    for one in of.__subclasses__():
        yield one.__name__
        yield from family(one)


#: Calls of `inifile.Source`, whose third argument is one.
NOTED = ("fault", "warn")

#: What points to another message, or to the question before it at the terminal.
POINTERS = ("see the error below", "it is empty; type")

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


def quoted() -> list[str]:
    """The messages in the first column of the tables, each once."""
    cells = re.findall(r"^   \* - (.*?)\n     - ", TABLES, re.MULTILINE | re.DOTALL)
    return list(dict.fromkeys(re.findall(r"``(.+?)``", " ".join(cells))))


def pieces(message: str) -> list[str]:
    return [piece for piece in (p.strip() for p in re.split("…|: |; ", message)) if piece]


def pattern(piece: str) -> str:
    return "".join(
        f"(?:{re.escape(part)}|{HOLE})" if _SHOWN.fullmatch(part) else re.escape(part)
        for part in _SHOWN.split(piece)
    )


@pytest.fixture(scope="module")
def package() -> str:
    return "\n".join(text for module, tree in modules() for text in strings(tree, module))


@pytest.mark.parametrize("message", quoted())
def test_a_message_of_the_guide_is_the_packages_or_known_to_be_anothers(package, message):
    if message in OTHERS:
        return
    for piece in pieces(message):
        assert re.search(pattern(piece), package), piece


def test_those_of_others_are_all_in_the_guide():
    assert set(quoted()) >= OTHERS


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
            position = 2 if name in NOTED else 0
            if (name in NOTED or name in raised) and len(call.args) > position:
                message = call.args[position]
                yield message
                if isinstance(message, ast.Name):
                    yield from named.get(message.id, ())


def test_every_message_of_the_package_is_in_the_guide():
    """A cause of three words or more has a quoted piece in it that is no mere word."""
    patterns = [pattern(p) for message in quoted() for p in pieces(message) if len(p) > 6]
    missing = [
        text
        for module, tree in modules()
        for message in messages(tree)
        for text in strings(message, module)
        if len(text.split()) > 2 and not text.startswith(POINTERS)
        if not any(re.search(known, text) for known in patterns)
    ]
    assert missing == []


def test_every_fault_of_kerberos_is_in_the_guide():
    patterns = [pattern(p) for message in quoted() for p in pieces(message) if len(p) > 6]
    causes = [cause.format(account=HOLE, realm=HOLE) for cause, _ in kerberos.ROWS.values()]
    missing = [cause for cause in causes if not any(re.search(p, cause) for p in patterns)]
    assert missing == []


def test_every_error_of_the_ca_that_is_explained_is_in_the_guide():
    cells = "\n".join(quoted()).lower()
    missing = [words for row in rows.ROWS for words in row.words if words.lower() not in cells]
    assert missing == []
