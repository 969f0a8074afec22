"""Makes foreign text safe to print: control and direction characters are replaced. Pure."""

import json
import unicodedata
from typing import Any, Final

from shared.batches.json_lines import safe_text

#: Control and format characters, surrogates, and separators of lines and paragraphs.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Format characters that join or separate letters: Persian, Hindi and emoji need them.
_WRITING: Final = frozenset("\u200c\u200d")
_LAYOUT: Final = frozenset("\n\t")


def printable(text: str) -> str:
    """The text with `?` for each control character; line ends and tabs stay."""
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def one_line(text: str) -> str:
    """The same for a part of a line: line ends and tabs become spaces."""
    return printable(text.translate({ord(one): " " for one in _LAYOUT}))


def as_json(value: Any, *, on_terminal: bool, indent: int | None = None) -> str:
    """JSON of a value, safe to read line by line; for a terminal in ASCII only, control characters escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=on_terminal)
    return text.replace("\x7f", "\\u007f") if on_terminal else safe_text(text)


def _shown(one: str) -> str:
    kept = one in _LAYOUT or one in _WRITING or unicodedata.category(one) not in _UNPRINTABLE
    return one if kept else "?"
