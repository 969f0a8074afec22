"""What a data hub has answered, for a while: bounded in number and bytes, the least recently used leaves first."""

import threading
from collections import OrderedDict
from typing import Final, TypeAlias

from shared import clock
from shared.submissions import linked_context
from shared.submissions.linked_context import Entity

#: Whose, type, id.
Place: TypeAlias = tuple[str, str, str]

MOST_ENTITIES: Final = 5_000
MOST_BYTES: Final = 64 * 1024**2
#: What an answer takes beside its text, in bytes.
OVERHEAD_BYTES: Final = 500
#: For how long it is believed that there is no such entity, at most, in seconds.
ABSENT_SECONDS: Final = 30.0


class HubCache:
    """Answers by place, None: there is no such entity; used by many threads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[Place, tuple[Entity | None, float, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, place: Place) -> tuple[Entity | None] | None:
        """The answer, in a tuple; None: it is not known, or not any more."""
        with self._lock:
            if (kept := self._kept.get(place)) is None:
                return None
            if kept[1] <= clock.monotonic():
                self._drop(place)
                return None
            self._kept.move_to_end(place)
            return (kept[0],)

    def put(self, place: Place, answer: Entity | None) -> None:
        """Keep an answer."""
        seconds = self._seconds if answer else min(self._seconds, ABSENT_SECONDS)
        size = OVERHEAD_BYTES + sum(map(len, place)) + (linked_context.size(answer) if answer else 0)
        with self._lock:
            if place in self._kept:
                self._drop(place)
            self._kept[place] = answer, clock.monotonic() + seconds, size
            self._bytes += size
            while len(self._kept) > MOST_ENTITIES or self._bytes > MOST_BYTES:
                self._drop(next(iter(self._kept)))

    def _drop(self, place: Place) -> None:
        self._bytes -= self._kept.pop(place)[2]
