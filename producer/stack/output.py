"""The output of the stack's processes: prefixed lines on our own output, and in any case a log file each."""

import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from producer.stack.log_files import LogFile
from producer.terminal import one_line

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green",
            "bright_magenta", "bright_blue")  # fmt: skip
#: A line that has no end yet is printed at this length, in bytes.
_LONGEST_LINE = 32_768


class ProcessOutput:
    """Writes lines to logs/NAME.log, and unless `quiet` prints them as `name | line`, coloured on a terminal."""

    def __init__(self, logs: Path, *, quiet: bool) -> None:
        self._logs = logs
        self._quiet = quiet
        self._files: dict[str, LogFile] = {}
        self._rests: dict[str, bytes] = {}
        self._prefixes: dict[str, str] = {}

    def began(self, name: str, pid: int) -> None:
        """Note in its file alone that a process was started."""
        self._log(name).write(f"started, process {pid}")

    def feed(self, name: str, data: bytes) -> None:
        """Take what a process wrote: whole lines are passed on, the rest is kept until its end."""
        *lines, rest = (self._rests.pop(name, b"") + data).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        self._rests[name] = rest
        for line in lines:
            self._take_line(name, line)

    def announce(self, message: str) -> None:
        """Print a line of the supervisor's own."""
        message = one_line(message)
        self._log("stack").write(message)
        if self._quiet:
            self.show(message)
        else:
            self._print("stack", message)

    def show(self, text: str) -> None:
        """Print text as it stands. An output whose reader has gone is no reason to stop."""
        try:
            print(text, flush=True)
        except OSError:
            sys.stdout = open("/dev/null", "w")

    def died(self, name: str, how: str, pause_seconds: float) -> None:
        """Announce that a process ended by itself, with its last line when that is only in a file."""
        if rest := self._rests.pop(name, b""):
            self._take_line(name, rest)
        self.announce(f"{name} ended ({how}); starts again in {pause_seconds:.1f} s")
        if self._quiet and (line := self._log(name).last):
            self.show(f"  {self._path(name)}: {line[:300]}")

    def close(self) -> None:
        """After the last line."""
        for file in self._files.values():
            file.close()

    def _take_line(self, name: str, line: bytes) -> None:
        text = one_line(line.decode(errors="replace").rstrip("\r"))
        self._log(name).write(text)
        if not self._quiet:
            self._print(name, text)

    def _print(self, name: str, line: str) -> None:
        if name not in self._prefixes:
            self._prefixes[name] = _prefix(name)
        self.show(f"{self._prefixes[name]} {line}")

    def _log(self, name: str) -> LogFile:
        if name not in self._files:
            self._files[name] = LogFile(self._path(name))
        return self._files[name]

    def _path(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _prefix(name: str) -> str:
    """`name       |`, coloured as the terminal, NO_COLOR and FORCE_COLOR ask for."""
    console = Console(highlight=False)
    with console.capture() as printed:
        console.print(Text(f"{name:<10} |", _COLOURS[sum(name.encode()) % len(_COLOURS)]), end="", soft_wrap=True)
    return printed.get()
