"""Where the stack's processes print: prefixed lines on our own output, or a log file each."""

import subprocess
import sys
from pathlib import Path
from typing import IO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
#: An unfinished line is printed once it is as long.
_LONGEST_LINE = 32_768


class Relay:
    """Quiet: to logs/NAME.log, emptied at the start. Otherwise: `name | line`, coloured on a terminal."""

    def __init__(self, logs: Path, *, quiet: bool) -> None:
        self._logs = logs
        self._quiet = quiet
        self._files: dict[str, IO[bytes]] = {}
        self._rests: dict[str, bytes] = {}
        self._colour = sys.stdout.isatty()

    def output_for(self, name: str) -> IO[bytes] | int:
        """What a process is given as its output."""
        if not self._quiet:
            return subprocess.PIPE
        if name not in self._files:
            self._log(name).write_bytes(b"")
            self._files[name] = self._log(name).open("ab")
        return self._files[name]

    def feed(self, name: str, data: bytes) -> None:
        """Take what a process wrote; its whole lines are printed, the rest is kept until it ends."""
        *lines, rest = (self._rests.pop(name, b"") + data).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        self._rests[name] = rest
        for line in lines:
            self._print(name, line.decode(errors="replace").rstrip("\r"))

    def say(self, message: str) -> None:
        """A line of the supervisor's own."""
        if self._quiet:
            self.show(message)
        else:
            self._print("stack", message)

    def show(self, text: str) -> None:
        """Text as it stands. An output that nobody reads any more is no reason to stop."""
        try:
            print(text, flush=True)
        except OSError:
            sys.stdout = open("/dev/null", "w")

    def died(self, name: str, how: str, pause_seconds: float) -> None:
        """Tell that a process ended by itself, with the last thing it said when that is in a file."""
        if rest := self._rests.pop(name, b""):
            self._print(name, rest.decode(errors="replace"))
        self.say(f"{name} ended ({how}); starts again in {pause_seconds:.1f} s")
        if self._quiet and (line := self._last_line(name)):
            self.show(f"  {self._log(name)}: {line}")

    def _print(self, name: str, line: str) -> None:
        prefix = f"{name:<10} |"
        if self._colour:
            prefix = f"\x1b[{_COLOURS[sum(name.encode()) % len(_COLOURS)]}m{prefix}\x1b[0m"
        self.show(f"{prefix} {line}")

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _last_line(self, name: str) -> str:
        with self._log(name).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 2000))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""
