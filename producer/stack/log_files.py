"""Log files of bounded size: a full one is renamed, and the oldest is deleted."""

from pathlib import Path
from typing import IO

from shared import clock

#: Bytes of a file, and how many full ones are kept beside it.
MOST_BYTES = 10 * 1024 * 1024
KEPT = 2


class LogFile:
    """Lines with the time (UTC) before each, in `path`; full ones are path.1, path.2."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self.last = ""

    def write(self, line: str) -> None:
        """Append a line. A disk that is full or gone is no reason to stop: the line is lost."""
        self.last = line.strip() or self.last
        at = clock.utc(clock.now_micros()).strftime("%Y-%m-%d %H:%M:%S")
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            if self._file.tell() >= MOST_BYTES:
                self._turn()
            self._file.write(f"{at} {line}\n".encode())
        except OSError:
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _turn(self) -> None:
        self.close()
        for number in range(KEPT, 0, -1):
            older = self._numbered(number - 1) if number > 1 else self._path
            if older.exists():
                older.replace(self._numbered(number))
        self._file = self._path.open("ab", buffering=0)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
