"""Reads a provider's export from a file, row by row: JSON (a page, a list of pages, or a page a line) or CSV."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from producer.reconcile import csv_exports, json_exports
from producer.reconcile.exported import ExportError, ExportRow

#: Bytes of one JSON document, which is read whole. More than that is to be a page a line.
MOST_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
_BOM: Final = "\ufeff"
_BLANK: Final = _BOM.encode() + b" \t\r\n"


def rows(path: Path, provider: str | None = None) -> Iterator[ExportRow]:
    """The rows of a file; ExportError says where one is wrong. OSError.

    `provider`: whose report it is, if that is not OpenAI or Anthropic themselves; of a table of several, whose rows.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            begin = file.read(4096).lstrip(_BOM + " \t\r\n")
        except UnicodeDecodeError:
            raise ExportError(path.name, "is not UTF-8") from None
        file.seek(0)
        if not begin:
            raise ExportError(path.name, "is empty")
        if begin[0] in "{[":
            for where, page in _pages(path):
                whose = provider or json_exports.provider_of(page)
                yield from (replace(row, provider=whose) for row in json_exports.rows(page, where))
        else:
            found = csv_exports.rows(file, path.name)
            yield from (row for row in found if provider is None or row.provider in (None, provider))


def _pages(path: Path) -> Iterator[tuple[str, Any]]:
    """Each page with its place. A page a line is read line by line, anything else whole."""
    with path.open("rb") as file:
        first = next((line for line in iter(file.readline, b"") if line.strip(_BLANK)), b"")
    if isinstance(_page(first), dict):
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if text := line.strip(_BLANK):
                    yield f"{path.name}: line {number}", _parsed(text, f"{path.name}: line {number}")
        return
    if path.stat().st_size > MOST_DOCUMENT_BYTES:
        raise ExportError(path.name, f"is one document of more than {MOST_DOCUMENT_BYTES:,} bytes: write a page a line")
    whole = _parsed(path.read_bytes().strip(_BLANK), path.name)
    if not isinstance(whole, list):
        yield path.name, whole
        return
    for number, page in enumerate(whole):
        yield f"{path.name}: [{number}]", page


def _page(line: bytes) -> Any:
    try:
        return orjson.loads(line.strip(_BLANK))
    except ValueError:
        return None


def _parsed(text: bytes, where: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise ExportError(where, f"is no JSON ({error})") from None
