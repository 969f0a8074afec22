"""The files of the catalogue: what ships, what an operator's own adds to it, and on which line each key stands."""

import difflib
import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

#: Keys of a file, beside those of its rows.
TOP: Final = ("version", "overheads", "providers", "models", "remove", "replace")
_AT_LINE: Final = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")

#: The provider that no catalogue is without.
_NEEDED: Final = "providers.sandbox"
#: Of a key: the names of its tables and its own; after the name of an array of tables, the number of the table in it.
Path_ = tuple[str | int, ...]


class CatalogueError(ValueError):
    """Why a catalogue cannot be used: every fault, each with its file, line and key."""

    def __init__(self, faults: Collection[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Source:
    """One file: its name, as it is shown, and its text."""

    name: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def fault(self, path: Path_, said: str) -> str:
        """`mine.toml:12: models.x.input: must be …`."""
        line = line_of(self.text, path)
        place = f"{self.name}:{line}" if line else self.name
        return f"{place}: {shown(path)}: {said}" if path else f"{place}: {said}"


@dataclass(frozen=True)
class SourcedRow:
    """One row, and the file that it stands in."""

    source: Source
    data: Any


@dataclass
class Rows:
    """The rows of all files together."""

    version: str = ""
    overheads: SourcedRow | None = None
    providers: dict[str, SourcedRow] = field(default_factory=dict)
    models: dict[str, SourcedRow] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def parsed(name: str, text: str) -> Source:
    """A file's text as a source; CatalogueError when it is no TOML."""
    try:
        return Source(name, text, tomllib.loads(text))
    except RecursionError:
        raise CatalogueError([f"{name}: is nested too deeply"]) from None
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        found = _AT_LINE.search(said)
        line = found[1] if found and found[1] else str(len(text.splitlines()) or 1)
        raise CatalogueError([f"{name}:{line}: {_AT_LINE.sub('', said)}"]) from None


@lru_cache(maxsize=1)
def shipped() -> tuple[Source, ...]:
    """The files that ship, read once: an upgrade under a running process changes nothing in it."""
    here = Path(__file__).parent
    paths = [here / "catalogue.toml", *sorted((here / "models").glob("*.toml"))]
    return tuple(parsed(path.name, path.read_text(encoding="utf-8")) for path in paths)


def joined(own: Source | None) -> Rows:
    """The rows that ship, changed by the operator's file; the file's alone if it is a whole catalogue."""
    rows = Rows()
    if own is None or not is_whole(own):
        for source in shipped():
            _add(rows, source)
    if own is not None:
        _add_own(rows, own)
    return rows


def is_whole(own: Source) -> bool:
    """Whether an operator's file is the whole catalogue: `replace = true`, or [overheads], as in earlier releases."""
    return bool(own.data.get("replace", "overheads" in own.data))


def _add_own(rows: Rows, own: Source) -> None:
    for key in own.data:
        if key not in TOP:
            rows.faults.append(own.fault((key,), f"unknown key{meant(key, TOP)}"))
    if not isinstance(own.data.get("replace", False), bool):
        rows.faults.append(own.fault(("replace",), "must be true or false"))
    before = rows.version
    _remove(rows, own)
    _add(rows, own)
    _drop_conducted(rows, own)
    if before:
        mark = own.data.get("version") or hashlib.sha256(own.text.encode()).hexdigest()[:8]
        rows.version = f"{before}+{mark}"
    elif rows.overheads is None:
        _add_overheads(rows)


def _drop_conducted(rows: Rows, own: Source) -> None:
    """Take out what ships of several models, if the operator's file has taken out one of those that serve it."""
    for id, row in list(rows.models.items()):
        roles = row.data.get("conductor", {}).get("roles", {}) if row.source is not own else {}
        if roles and (row.data["provider"] not in rows.providers or not rows.models.keys() >= set(roles.values())):
            del rows.models[id]


def _add_overheads(rows: Rows) -> None:
    """Add the overheads that ship to a whole catalogue that has none of its own."""
    for source in shipped():
        if "overheads" in source.data:
            rows.overheads = SourcedRow(source, source.data["overheads"])


def _add(rows: Rows, source: Source) -> None:
    if "version" in source.data:
        if isinstance(source.data["version"], str) and source.data["version"]:
            rows.version = source.data["version"]
        else:
            rows.faults.append(source.fault(("version",), "must be a string"))
    if "overheads" in source.data:
        rows.overheads = SourcedRow(source, source.data["overheads"])
    for kind, into in (("providers", rows.providers), ("models", rows.models)):
        found = source.data.get(kind, {})
        if not isinstance(found, dict):
            rows.faults.append(source.fault((kind,), "must be a table"))
            continue
        into.update({name: SourcedRow(source, data) for name, data in found.items()})


def _remove(rows: Rows, own: Source) -> None:
    names = own.data.get("remove", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        rows.faults.append(own.fault(("remove",), "must be a list of names"))
        return
    for name in names:
        kind, _, rest = name.partition(".")
        if name == _NEEDED:
            rows.faults.append(own.fault(("remove",), f"{name} serves test keys and cannot be removed"))
        elif kind == "providers" and rest in rows.providers:
            del rows.providers[rest]
        elif name in rows.models:
            del rows.models[name]
        else:
            rows.faults.append(own.fault(("remove",), f"no model {name!r}{meant(name, rows.models)}"))


def meant(name: str, known: Collection[str]) -> str:
    """`; did you mean …?`, where a known name is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(path: Path_) -> str:
    """A path as people write it: `models.m.price_changes[0].input`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def line_of(text: str, path: Path_, *, exact: bool = False) -> int:
    """The line on which a key stands, or (not `exact`) the table or inline table that it is in; 0: it cannot be told.

    >>> line_of('[models.m]\\ninput = 1\\n', ("models", "m", "input"))
    2
    """
    lines = _lines(text)
    if exact:
        return lines.get(path, 0)
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 0)


@lru_cache(maxsize=2)
def _lines(text: str) -> Mapping[Path_, int]:
    """The line of every key and table, by its path: a file may have as many faults as lines."""
    table: Path_ = ()
    lines: dict[Path_, int] = {}
    tables: Counter[Path_] = Counter()
    for number, written in enumerate(text.splitlines(), 1):
        if (head := header_of(written)) is not None:
            table = found = _numbered(head, written, tables)
        else:
            found = (*table, *key) if (key := _key_of(written)) else ()
        if found:
            lines.setdefault(found, number)
    return lines


def _numbered(head: Path_, line: str, tables: Counter[Path_]) -> Path_:
    """The path of a table's head with the numbers of the arrays of tables in it; `tables` counts those seen so far."""
    if line.lstrip().startswith("[["):
        tables[head] += 1
    path: Path_ = ()
    for at, key in enumerate(head, 1):
        path = (*path, key, tables[head[:at]] - 1) if tables[head[:at]] else (*path, key)
    return path


def header_of(line: str) -> Path_ | None:
    """The path of the table whose head a line is; None of any other line."""
    return _path(line) if line.lstrip().startswith("[") else None


def _key_of(line: str) -> Path_:
    key, equals, _ = line.strip().partition("=")
    return _path(f"{key}= 0") or () if equals and not key.startswith("#") else ()


def _path(toml: str) -> Path_ | None:
    try:
        found: Any = tomllib.loads(toml)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    path: list[str | int] = []
    while isinstance(found, dict) and found:
        ((key, found),) = found.items()
        path.append(key)
    return tuple(path)
