"""Finds what the lines of a batch's file are linked to, a chunk at a time and each entity once, before they are read.

So reading stays pure: who reads a chunk is given the entities that its lines name.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import orjson

from shared.batches.line_files import FaultError
from shared.batches.lines import Wanted
from shared.submissions import linked_context
from shared.submissions.linked_context import Entity, Key

Find: TypeAlias = Callable[[Collection[Key]], Mapping[Key, Entity]]

#: Lines that may name entities; JSON may write any letter of the field's name as an escape.
_MAY_LINK: Final = re.compile(rb"linked_context|\\u00[5-7]")
#: Entities that are looked up together.
TOGETHER: Final = 200
#: Bytes of entities that are kept while a file is read, and the most that the lines of one chunk may name.
MOST_KEPT_BYTES: Final = 64 * 1024**2
#: Bytes that the entities add to all lines of a file.
MOST_ADDED_BYTES: Final = 1024**3


@dataclass(slots=True)
class LinkedLines:
    """What is known for one batch; called with each chunk in order, it adds what the chunk names to what is wanted."""

    find: Find
    _known: dict[Key, Entity | None] = field(default_factory=dict)
    _bytes: int = 0
    _added: int = 0

    def __call__(self, chunk: Sequence[bytes], wanted: Wanted) -> Wanted:
        """Wanted with the chunk's entities; FaultError: they are too many."""
        if not wanted.may_link:
            return wanted
        named = list(_named(chunk))
        if not named:
            return wanted
        self._look_up(set(named))
        known = {key: entity for key in named if (entity := self._known[key]) is not None}
        self._added += sum(linked_context.size(known[key]) for key in named if key in known)
        if self._added > MOST_ADDED_BYTES:
            raise _too_much(f"the linked entities add more than {MOST_ADDED_BYTES // 1024**2:,} MB to the lines")
        return replace(wanted, entities=known)

    def _look_up(self, keys: set[Key]) -> None:
        """Know all of these."""
        if self._bytes > MOST_KEPT_BYTES:
            self._known, self._bytes = {}, 0
        missing, before = sorted(keys - self._known.keys()), self._bytes
        for first in range(0, len(missing), TOGETHER):
            part = missing[first : first + TOGETHER]
            found = self.find(part)
            self._known |= {key: found.get(key) for key in part}
            self._bytes += sum(map(linked_context.size, found.values()))
            if self._bytes - before > MOST_KEPT_BYTES:
                raise _too_much(f"lines that follow each other link more than {MOST_KEPT_BYTES // 1024**2} MB")


def _too_much(what: str) -> FaultError:
    return FaultError("linked_context_too_large", f"{what}; split the batch", linked_context.FIELD)


def _named(chunk: Sequence[bytes]) -> Iterator[Key]:
    """The entities that lines name; what is wrong with a line is told when it is read."""
    for raw in chunk:
        if _MAY_LINK.search(raw):
            yield from _keys(raw)


def _keys(raw: bytes) -> Iterator[Key]:
    try:
        named: Any = orjson.loads(raw)["body"][linked_context.FIELD]
    except (ValueError, TypeError, KeyError):
        return
    for one in named[: linked_context.MOST] if isinstance(named, list) else ():
        type, id = (one.get("type"), one.get("id")) if isinstance(one, dict) else (None, None)
        if isinstance(type, str) and isinstance(id, str) and linked_context.is_key(type, id):
            yield type, id
