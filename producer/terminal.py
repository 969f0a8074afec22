"""Text from elsewhere, made fit for a terminal: what is told never moves the cursor or turns the line around. Pure."""

import json
import unicodedata
from typing import Any, Final

from shared.batches.json_lines import safe_text

#: Control and format characters, halves of a pair, and separators of lines that no program expects.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Format characters that only join or part letters; Persian, Hindi and many an emoji are not written without them.
_WRITING: Final = frozenset("\u200c\u200d")
_LAYOUT: Final = frozenset("\n\t")


def printable(text: str) -> str:
    """The text with `?` for whatever a terminal would obey rather than show; its lines and tabs stay."""
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def one_line(text: str) -> str:
    """The same for a part of a line: a space for a line's end or a tab."""
    return printable(text.translate({ord(one): " " for one in _LAYOUT}))


def as_json(value: Any, *, on_terminal: bool, indent: int | None = None) -> str:
    """JSON of a value, safe for readers of lines; for a terminal in ASCII alone: what it would obey is spelt out."""
    text = json.dumps(value, indent=indent, ensure_ascii=on_terminal)
    return text.replace("\x7f", "\\u007f") if on_terminal else safe_text(text)


def _shown(one: str) -> str:
    kept = one in _LAYOUT or one in _WRITING or unicodedata.category(one) not in _UNPRINTABLE
    return one if kept else "?"
