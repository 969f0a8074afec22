"""The arguments of one tool call as a provider sends them, piece by piece or whole: what may be passed on, and JSON.

Put right: an object or a list instead of its text; nothing, null or blanks (`{}`); JSON text within a JSON text; a `{}`
that stands before the real ones; each piece with all that went before it, and the whole repeated at the end.
"""

import re
from typing import Any

import orjson

from workers.answers.shape import wrong

#: A beginning that may still be an empty object which only stands for what will come.
_UNDECIDED = re.compile(r"\s*+\{\s*+(?:\}\s*+)?\Z")
_EMPTY_BEFORE = re.compile(r"\s*+\{\s*+\}\s*+(?=\{)")
#: A text in JSON, with its closing quote if it has one.
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+("?)', re.DOTALL)
#: JSON text within JSON text, so often at most.
_MOST_WRAPPED = 2
#: Characters that are read again to see whether a piece goes on with what came before; beyond them it does.
_MOST_LOOKED = 2 * 1024 * 1024


class Arguments:
    """What has come of them."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        #: Where in the text the arguments begin; None: not known yet.
        self._start: int | None = None
        #: They are no object or list, so nothing can be passed on before their end.
        self._odd = False
        #: How many of their characters have been passed on, and which pieces have.
        self._sent = 0
        self._passed = 0
        #: How many pieces have been looked at for where the arguments begin; characters looked at again.
        self._judged = 0
        self._looked = 0
        #: The whole as the last piece has it, when that repeated all that was before it.
        self._repeated: str | None = None

    @property
    def begun(self) -> bool:
        """Something has come."""
        return self._length > 0

    @property
    def text(self) -> str:
        """All that has come."""
        return "".join(self._pieces)

    def take(self, given: Any, path: str) -> None:
        """Take a piece."""
        piece = written(given, path)
        if not piece:
            return
        if self._repeated is not None:
            self._repeated = piece if piece.startswith(self._repeated) else None
        elif self._begins_anew(piece):
            self._repeated = piece
        self._pieces.append(piece)
        self._length += len(piece)

    def _begins_anew(self, piece: str) -> bool:
        if not self._length or len(piece) < self._length or not piece.lstrip().startswith("{"):
            return False
        return piece.startswith(self.text)

    def take_new(self) -> str:
        """What may be passed on now: text that will stand in the whole whatever comes."""
        if self._start is None:
            self._decide()
        if self._start is None or self._odd or self._repeated is not None:
            return ""
        fresh = "".join(self._pieces[self._passed :])
        if not self._passed:
            fresh = fresh[self._start :]
        self._passed = len(self._pieces)
        self._sent += len(fresh)
        return fresh

    def _decide(self) -> None:
        fresh, self._judged = self._pieces[self._judged :], len(self._pieces)
        if self._odd or not any(piece.strip() for piece in fresh):  # blanks decide nothing, however many there are
            return
        text = self.text
        bare = text.lstrip()
        if bare and bare[0] not in "{[":
            self._odd = True
        elif bare and not _UNDECIDED.match(text):
            before = _EMPTY_BEFORE.match(text)
            self._start = before.end() if before else 0

    def close(self, path: str, *, cut: bool) -> str:
        """What is left to pass on of them, now that they are whole; `cut`: they may be broken off."""
        text = self._whole(path, cut)
        left = text[self._sent :]
        self._pieces, self._length, self._start, self._repeated = [text], len(text), 0, None
        self._sent, self._passed = len(text), 1
        return left

    def _whole(self, path: str, cut: bool) -> str:
        text = self.text[self._start or 0 :]
        if self._repeated is not None and not is_json(text):
            text = self._repeated[self._start or 0 :]
        if self._start is None and (found := _unwrapped(text)) is not None and not (cut and not text):
            return found
        if not cut and not is_json(text):
            raise wrong(path, "is not JSON")
        return text

    def are_whole(self) -> bool:
        """They are JSON as they stand, so that nothing can follow them."""
        last = self._pieces[-1].rstrip()[-1:] if self._pieces else ""
        return last in ("}", "]") and self._look_again() and is_json(self._repeated or self.text)

    def may_hold(self) -> bool:
        """Whether a value can stand where they end: after a colon, a comma, a bracket, or within a text."""
        if not self._look_again():
            return True
        bare = _QUOTED.sub(lambda quoted: "0" if quoted[1] else '"', self.text).rstrip()
        return bare.endswith(('"', ":", ",", "["))

    def _look_again(self) -> bool:
        """Whether all that has come may be read once more: so often only that it costs little in all."""
        self._looked += self._length
        return self._looked <= _MOST_LOOKED


def written(given: Any, path: str) -> str:
    """Arguments, or a piece of them, as text."""
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, dict | list):
        return orjson.dumps(given).decode()
    raise wrong(path, "is neither a text nor an object")


def is_json(text: str) -> bool:
    """Whether it is what any client's parser takes."""
    return _parsed(text) is not _NO_JSON


_NO_JSON = object()


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _NO_JSON


def _unwrapped(text: str) -> str | None:
    """Text that is no object: what is in it, when it is JSON in a text, or nothing at all; None: as it stands."""
    for _ in range(_MOST_WRAPPED):
        if not text.strip():
            return "{}"
        value = _parsed(text)
        if value is None:
            return "{}"
        if not isinstance(value, str) or (value.strip() and _parsed(value) is _NO_JSON):
            break
        text = value
    return text if is_json(text) else None
