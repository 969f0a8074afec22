"""Every regular expression of our packages, and texts on which an ambiguous one takes for ever.

`python -m tests.patterns` reads patterns from stdin, a JSON list of [place, pattern, flags, methods, is bytes], and
tries each on its texts; one that takes more than BUDGET_SECONDS of the processor's time for one text (not of the
clock: a busy machine changes nothing) ends the process by SIGVTALRM, and the last line it wrote says which.
"""

import ast
import gc
import importlib
import json
import pkgutil
import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

#: What one text may take. A linear expression needs a quarter of a millisecond or so for one of LENGTH characters, a
#: quadratic one several times as long as it may: as with a text four times as long and a sixteenfold budget.
BUDGET_SECONDS = 1 / 16
LENGTH = 20_000
#: Of the samples of a pattern's parts, how many are tried.
PIECES = 24
#: What `re` has that takes a pattern and a text, and what a compiled one has that takes a text.
METHODS = ("match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer")


@dataclass(slots=True)
class Found:
    """An expression, where it stands, and how it is asked; `pattern` None: it is made while the program runs."""

    place: str
    pattern: str | bytes | None
    flags: int = 0
    methods: set[str] = field(default_factory=set)


def collect(packages: Iterable[str]) -> list[Found]:
    """Those written in calls of `re`, and those compiled while modules are imported, whatever holds them."""
    found: list[Found] = []
    asked: dict[str, set[str]] = {}
    compiled: dict[int, tuple[str, re.Pattern[Any]]] = {}
    for module in modules(packages):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        for name, methods in _asked(tree).items():
            asked.setdefault(name, set()).update(methods)
            asked.setdefault(f"{module.__name__}.", set()).update(methods)
        found += _written(module.__name__, tree)
        for name, value in vars(module).items():
            for pattern in _held(value):
                compiled.setdefault(id(pattern), (f"{module.__name__}.{name}", pattern))
    for place, pattern in compiled.values():
        module_name, _, name = place.rpartition(".")
        methods = asked.get(name) or asked.get(f"{module_name}.") or set(METHODS)
        found.append(Found(place, pattern.pattern, pattern.flags & re.IGNORECASE, methods))
    return found


def modules(packages: Iterable[str]) -> Iterator[ModuleType]:
    """Every module of the packages, imported, but those that run when they are."""
    for package in map(importlib.import_module, packages):
        yield package
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not info.name.endswith("__main__") and ".migrations." not in info.name:
                yield importlib.import_module(info.name)


def _held(value: Any, depth: int = 4) -> Iterator["re.Pattern[Any]"]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, dict | list | tuple | set | frozenset):
        for inner in gc.get_referents(value):
            yield from _held(inner, depth - 1)


def _asked(tree: ast.AST) -> dict[str, set[str]]:
    """By what methods a name, or an attribute of that name, is asked."""
    asked: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            name = getattr(node.value, "id", None) or getattr(node.value, "attr", None)
            if name and name != "re":
                asked.setdefault(name, set()).add(node.attr)
    return asked


def _written(module: str, tree: ast.Module) -> Iterator[Found]:
    """The patterns of calls inside functions; what stands outside is compiled at the import."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in {call for function in functions for call in ast.walk(function) if isinstance(call, ast.Call)}:
        called = node.func
        if not (isinstance(called, ast.Attribute) and getattr(called.value, "id", None) == "re"):
            continue
        if called.attr in (*METHODS, "compile"):
            first = node.args[0] if node.args else None
            pattern = first.value if isinstance(first, ast.Constant) else None
            place = f"{module}:{node.lineno}"
            yield Found(place, pattern, methods={called.attr} - {"compile"} or set(METHODS))  # type: ignore[arg-type]


def texts(pattern: str, flags: int = 0) -> Iterator[str]:
    """Long texts of the pattern's own parts: whatever repeats, many times, before something that fits nowhere."""
    tree, chance = parser.parse(pattern, flags), Random(0)
    heads = sorted({"", *_heads(tree, chance)})[:6]
    pieces = sorted(_pieces(tree, chance) - {""})
    chosen = chance.sample(pieces, min(len(pieces), PIECES))
    pairs = {"".join(two) for two in product(chance.sample(chosen, min(len(chosen), 4)), repeat=2)}
    for piece in sorted({*chosen, *pairs, "a", " ", "0"}):
        many = piece * (LENGTH // len(piece))
        for head in heads:
            yield head + many + "\x00!"
        yield many


def _heads(tree: Any, chance: Random) -> Iterator[str]:
    """What comes before each part of the sequence."""
    said = ""
    for kind, value in tree:
        yield said
        said += _sample(kind, value, chance)


def _pieces(tree: Any, chance: Random) -> set[str]:
    """Samples of every node there is."""
    found: set[str] = set()
    for kind, value in tree:
        found.update(_sample(kind, value, chance) for _ in range(4))
        for inner in _inner(kind, value):
            found.update(_sequence(inner, chance) for _ in range(8))
            found |= _pieces(inner, chance)
    return found


def _inner(kind: Any, value: Any) -> list[Any]:
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return [value[2]]
    if kind is op.SUBPATTERN:
        return [value[3]]
    if kind is op.BRANCH:
        return list(value[1])
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return [value[1]]
    return [value] if kind is op.ATOMIC_GROUP else []


def _sequence(tree: Any, chance: Random) -> str:
    """A text that the sequence matches."""
    return "".join(_sample(kind, value, chance) for kind, value in tree)


def _sample(kind: Any, value: Any, chance: Random) -> str:
    """A text that a node matches: a repeat as seldom as it may, or up to three times more."""
    if kind is op.LITERAL:
        return chr(value)
    if kind is op.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    if kind is op.IN:
        return _of_class(value)
    if kind is op.ANY:
        return "a"
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, inner = value
        return "".join(_sequence(inner, chance) for _ in range(min(least + chance.choice((0, 0, 1, 3)), most)))
    inner = _inner(kind, value)
    return _sequence(chance.choice(inner), chance) if inner and kind not in (op.ASSERT, op.ASSERT_NOT) else ""


def _of_class(members: Any) -> str:
    """A character that a class has."""
    negated = any(kind is op.NEGATE for kind, _ in members)
    shown = {op.CATEGORY_DIGIT: "0", op.CATEGORY_SPACE: "\t", op.CATEGORY_WORD: "a", op.CATEGORY_NOT_SPACE: "a"}
    if negated:
        pattern = re.compile("[^" + "".join(_shown(member) for member in members if member[0] is not op.NEGATE) + "]")
        return next((one for one in " \x0ba0-." + "".join(map(chr, range(33, 127))) if pattern.match(one)), "a")
    kind, value = members[0]
    if kind is op.RANGE:
        return chr(value[0])
    return chr(value) if kind is op.LITERAL else shown.get(value, "!")


def _shown(member: Any) -> str:
    kind, value = member
    classes = {
        op.CATEGORY_DIGIT: r"\d",
        op.CATEGORY_SPACE: r"\s",
        op.CATEGORY_WORD: r"\w",
        op.CATEGORY_NOT_SPACE: r"\S",
    }
    classes |= {op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_NOT_WORD: r"\W"}
    if kind is op.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return re.escape(chr(value)) if kind is op.LITERAL else classes[value]


def main() -> None:
    """Try what stdin says."""
    for place, pattern, flags, methods, in_bytes in json.load(sys.stdin):
        compiled: re.Pattern[Any] = re.compile(pattern.encode("latin-1") if in_bytes else pattern, flags)
        for number, text in enumerate(texts(pattern, flags)):
            for method in methods:
                print(place, ascii(pattern), method, number, ascii(text[:60]), flush=True)
                signal.setitimer(signal.ITIMER_VIRTUAL, BUDGET_SECONDS)
                _ask(compiled, method, text.encode("latin-1", "replace") if in_bytes else text)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    print("linear", flush=True)


def _ask(compiled: "re.Pattern[Any]", method: str, text: str | bytes) -> None:
    ask: Callable[..., Any] = getattr(compiled, method)
    if method in ("sub", "subn"):
        ask(text[:0], text)
    elif method == "finditer":
        for _ in ask(text):
            pass
    else:
        ask(text)


if __name__ == "__main__":
    main()
