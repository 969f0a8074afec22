"""Edits an operator's catalogue file as text, so that its comments stay; nothing is written that would not load."""

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.submissions import catalogue
from shared.submissions.catalogue_files import CatalogueError, header_of, is_whole, joined, line_of, parsed, shipped

_BARE = re.compile(r"[A-Za-z0-9_-]+")
Edit = Callable[[str], str]


class OwnFileError(Exception):
    """The file cannot be changed; the message says why."""


def edit(path: Path, change: Edit) -> None:
    """Apply a change to the text of the file (empty if there is none); write the result if it loads as a catalogue."""
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        text = change(before)
        catalogue.checked(joined(parsed(str(path), text)))
        _write(path, text)
    except CatalogueError as error:
        raise OwnFileError(f"the catalogue {path} would not load: {catalogue.why(error)}") from None
    except OSError as error:
        raise OwnFileError(f"cannot write the catalogue {path}: {error.strerror}") from None


def with_row(name: str, row: Mapping[str, Any], comment: str = "") -> Edit:
    """Add a model's row, or put it in the place of the one that the file has."""

    def change(text: str) -> str:
        rest = _without_table(text, ("models", name)).rstrip("\n")
        rest = _without_removal(rest, name)
        lines = [f"[models.{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in row.items())]
        block = "\n".join([*([f"# {comment}"] if comment else []), *lines])
        return f"{rest}\n\n{block}\n".lstrip("\n")

    return change


def with_keys(name: str, keys: Mapping[str, Any]) -> Edit:
    """Set keys of a row that is in the file; the rest of the text stays as it is."""

    def change(text: str) -> str:
        lines = text.splitlines()
        for key, value in keys.items():
            written = f"{_key(key)} = {_value(value)}"
            start = line_of("\n".join(lines), ("models", name, key), exact=True)
            if start:
                end = _statement_end(lines, start - 1)
                comment = _comment(lines[start - 1]) if end == start else ""
                lines[start - 1 : end] = [written + comment]
            else:
                lines.insert(line_of("\n".join(lines), ("models", name), exact=True), written)
        return "\n".join(lines) + "\n"

    return change


def without(name: str) -> Edit:
    """Take a model out: its row in the file, and what ships under its name."""

    def change(text: str) -> str:
        own = parsed("catalogue", text)
        ships = not is_whole(own) and any(name in source.data.get("models", {}) for source in shipped())
        if name not in own.data.get("models", {}) and not ships:
            raise OwnFileError(f"no model {name!r} in the catalogue")
        text = _without_table(text, ("models", name))
        return _with_removals(text, [*own.data.get("remove", []), name]) if ships else text

    return change


def rows_of(path: Path) -> Mapping[str, Any]:
    """The models' rows that stand in the file itself."""
    with suppress(FileNotFoundError):
        found: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("models", {})
        return found
    return {}


def _without_table(text: str, path: tuple[str, ...]) -> str:
    """The text without a table and the tables in it; the comment above the next one is that one's."""
    kept: list[str] = []
    waiting: list[str] = []
    inside = False
    for line in text.splitlines():
        if (head := header_of(line)) is not None:
            inside = head[: len(path)] == path
            if not inside:
                kept += waiting
            waiting = []
        if not inside:
            kept.append(line)
        elif not line.strip() or line.lstrip().startswith("#"):
            waiting.append(line)
        else:
            waiting = []
    return "\n".join(kept) + "\n" if kept else ""


def _without_removal(text: str, name: str) -> str:
    names = parsed("catalogue", text).data.get("remove", [])
    return _with_removals(text, [one for one in names if one != name]) if name in names else text


def _with_removals(text: str, names: Sequence[str]) -> str:
    lines = text.splitlines()
    written = [f"remove = {_value(list(dict.fromkeys(names)))}"] if names else []
    start = line_of(text, ("remove",), exact=True)
    if start:
        lines[start - 1 : _statement_end(lines, start - 1)] = written
    else:
        lines = [*written, *lines]
    return "\n".join(lines) + "\n"


def _statement_end(lines: Sequence[str], start: int) -> int:
    """One past the last line of the statement that begins on a line: an array may go over several."""
    for end in range(start + 1, len(lines) + 1):
        with suppress(tomllib.TOMLDecodeError):
            tomllib.loads("\n".join(lines[start:end]))
            return end
    return start + 1


def _comment(line: str) -> str:
    """What stands behind a statement of one line, from its `#` on."""
    for at, letter in enumerate(line):
        if letter == "#":
            with suppress(tomllib.TOMLDecodeError):
                tomllib.loads(line[:at])
                return f"  {line[at:]}"
    return ""


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:_}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, Sequence) and value and all(isinstance(one, Mapping) for one in value):
        return "[\n" + "".join(f"    {_value(one)},\n" for one in value) + "]"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value)


def _write(path: Path, text: str) -> None:
    """Replace the file in one step: a reader sees the old one or the new one."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
