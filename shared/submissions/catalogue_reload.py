"""A value read from a file, and read again when the file changes; the old value stays while the new one has faults."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from shared import clock

log = logging.getLogger(__name__)

#: How often the file is looked at, in seconds.
LOOK_SECONDS: Final = 2.0
#: A file that was written so long ago is whole, in seconds; a newer one is read once it is the same at two looks.
SETTLED_SECONDS: Final = 5.0

T = TypeVar("T")


class Reloaded(Generic[T]):
    """Holds the value. It is replaced, never changed: a caller that has the old one may go on with it."""

    def __init__(
        self,
        name: Callable[[], str],
        make: Callable[[str], T],
        first: Callable[[str], T],
        follow: Callable[[T, T], tuple[T, list[str]]],
    ) -> None:
        """`first` reads the file the first time, `make` after a change; both are given `name()`.

        `follow(before, now)` returns what this process can use of the new value, and a message for each part that it
        cannot use before it is restarted.
        """
        self._name, self._make, self._first, self._follow = name, make, first, follow
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Read the file again when next asked, as a process that starts does."""
        self._value: T | None = None
        #: Of the file as it was read last, and as it was seen last.
        self._stamp: tuple[int, ...] | None = None
        self._seen: tuple[int, ...] | None = None
        self._look_at = 0.0

    def get(self) -> T:
        """The value as it is now."""
        value = self._value
        if value is not None and clock.monotonic() < self._look_at:
            return value
        with self._lock:
            if self._value is None:
                self._stamp = self._stamp_of(self._name())
                self._value = self._first(self._name())
            elif clock.monotonic() >= self._look_at:
                self._look(self._value)
            self._look_at = clock.monotonic() + LOOK_SECONDS
            return self._value

    def _look(self, value: T) -> None:
        name = self._name()
        if not name or (stamp := self._stamp_of(name)) == self._stamp or not self._settled(stamp):
            return
        self._stamp = stamp
        try:
            found, later = self._follow(value, self._make(name))
        except Exception as error:
            said = "; ".join(str(error).splitlines()) if isinstance(error, (OSError, ValueError)) else repr(error)
            log.error("the catalogue %s cannot be loaded, the one before it stays: %s", name, said)
            return
        if self._stamp_of(name) != stamp:
            self._stamp = None  # written while it was read: it is read again
            return
        self._value = found
        log.info("the catalogue %s was loaded anew", name)
        for one in later:
            log.warning("the catalogue %s: %s", name, one)

    def _settled(self, stamp: tuple[int, ...] | None) -> bool:
        """Whether a changed file seems to be whole: a file that is being written may end in the middle of a price.

        It was last written to a while ago, by this host's own clock, which set that time, or is as it was at the look
        before.
        """
        before, self._seen = self._seen, stamp
        if stamp is None or stamp == before:
            return True
        written_seconds = stamp[0] / 1_000_000_000
        return clock.wall_micros() / clock.MICROS - written_seconds > SETTLED_SECONDS

    def _stamp_of(self, name: str) -> tuple[int, ...] | None:
        try:
            found = os.stat(name) if name else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None
