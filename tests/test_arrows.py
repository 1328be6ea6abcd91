"""The house keeps its plan (DESIGN.md): which module imports which, and how long they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import certbot_tcs_lyon1

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "certbot_tcs_lyon1"
FOLDER = Path(certbot_tcs_lyon1.__file__).parent

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

#: Which rooms a room may import, beside `department.settings` and the leaves: the arrows of the
#: plan. Those with `department`, the whole wing, read files by its reader. A leaf imports leaves
#: alone, and nothing imports the porch.
ARROWS: dict[str, tuple[str, ...]] = {
    "": (),
    "plugin": ("preparation", "installer"),
    "preparation": ("authenticator", "installer", "ca", "dns01", "department"),
    "authenticator": ("dns01",),
    "installer": ("install", "replacement"),
    "replacement": ("watch", "ca"),
    "status": ("ca", "dns01", "install", "watch", "department"),
    "ca": (),
    "ca.firstrun": ("department",),
    "dns01": (),
    "install": (),
    "watch": ("install",),
    "department": (),
    **dict.fromkeys(LEAVES, ()),
}

#: The rooms that know certbot. The others can be used, and tested, without it.
WITH_CERTBOT = (
    *("plugin", "preparation", "authenticator", "installer", "replacement", "ca", "compat"),
    "status.config_dir",  # its version
)

#: Signs of what is Lyon 1's own.
OWN = ("univ-lyon1", "university claude", "sectigo.com", "harica.gr", "settings, ")

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 45


def modules() -> list[str]:
    """Every module of the package, as `ca.order`; the package itself is ""."""
    return [
        ".".join(path.relative_to(FOLDER).with_suffix("").parts).replace("__init__", "")
        for path in sorted(FOLDER.rglob("*.py"))
    ]


def rooms() -> set[str]:
    return {module.split(".")[0] for module in modules()}


def source(module: str) -> Path:
    path = FOLDER / module.rstrip(".").replace(".", "/")
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


def is_of(module: str, rooms: Iterable[str]) -> bool:
    return any(f"{module}.".startswith(f"{room}.") for room in rooms)


def arrows_of(module: str) -> set[str]:
    """The rooms, `department.settings` among them, that a module may import."""
    room = module.split(".")[0]
    onto = {room, *LEAVES, *ARROWS[room], *ARROWS.get(module, ())}
    if room not in LEAVES:
        onto.add("department.settings")
    return onto if is_of(module, WITH_CERTBOT) else onto - {"compat"}


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_along_the_arrows(module):
    for name in imports(module):
        inside = name.partition(f"{PACKAGE}.")[2]
        if inside and inside.split(".")[0] in rooms():
            assert is_of(inside, arrows_of(module)), (
                f"{module} imports {name}: DESIGN.md has no such arrow"
            )
        if module != "compat":
            assert not name.startswith("certbot._internal"), (
                f"{module} imports {name}: compat alone knows certbot's private modules"
            )


def test_every_room_is_on_the_plan():
    assert rooms() == {*ARROWS} - {"ca.firstrun"}


@pytest.mark.parametrize("module", [m for m in modules() if not is_of(m, WITH_CERTBOT)])
def test_a_module_can_be_used_without_certbot(module):
    found = [name for name in imports(module) if name.split(".")[0] in ("certbot", "acme")]
    assert not found, f"{module}: certbot is for {', '.join(WITH_CERTBOT)}"


#: Methods that change the object they are called on.
CHANGE = {
    *("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "put", "remove"),
    *("reverse", "set", "setdefault", "sort", "update"),
}


def changed(function: ast.AST) -> Iterator[str]:
    """The names whose objects a function changes, or which it binds anew beyond itself."""
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            yield from node.names
        if not isinstance(node, (ast.Attribute, ast.Subscript)):
            continue
        writes = not isinstance(node.ctx, ast.Load)
        if isinstance(node.value, ast.Name) and (writes or getattr(node, "attr", "") in CHANGE):
            yield node.value.id


@pytest.mark.parametrize("module", modules())
def test_what_a_process_learns_lives_in_an_object(module):
    """Not in a module, where tests would have to reset it, and where it outlives a lineage."""
    tree = ast.parse(source(module).read_text("utf-8"))
    bound = {
        target.id
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for function in (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))):
        own = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and is_stored(n)}
        own |= {argument.arg for argument in ast.walk(function) if isinstance(argument, ast.arg)}
        outer = {n for g in ast.walk(function) if isinstance(g, ast.Global) for n in g.names}
        kept = {name for name in changed(function) if name in bound and name not in own - outer}
        assert not kept, f"{module}: {', '.join(sorted(kept))} is changed: make an object of it"


def is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


@pytest.mark.parametrize("module", [m for m in modules() if not m.startswith("status")])
def test_what_the_user_is_told_goes_through_the_report(module):
    calls = [n for n in ast.walk(ast.parse(source(module).read_text("utf-8"))) if is_print(n)]
    assert not calls, f"{module}: only the command prints; the plugin has report and its errors"


def is_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write")


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
