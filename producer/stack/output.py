"""Where the stack's processes print: prefixed lines on our own output, and in any case a log file each."""

import sys
from pathlib import Path

from producer.stack.log_files import LogFile
from producer.terminal import one_line

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
#: An unfinished line is printed once it is as long.
_LONGEST_LINE = 32_768


class ProcessOutput:
    """To logs/NAME.log, and unless `quiet` as `name | line`, coloured on a terminal."""

    def __init__(self, logs: Path, *, quiet: bool) -> None:
        self._logs = logs
        self._quiet = quiet
        self._files: dict[str, LogFile] = {}
        self._rests: dict[str, bytes] = {}
        self._colour = sys.stdout.isatty()

    def began(self, name: str, pid: int) -> None:
        """Note in its file alone that a process was started."""
        self._log(name).write(f"started, process {pid}")

    def feed(self, name: str, data: bytes) -> None:
        """Take what a process wrote; its whole lines are told, the rest is kept until it ends."""
        *lines, rest = (self._rests.pop(name, b"") + data).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        self._rests[name] = rest
        for line in lines:
            self._tell(name, line)

    def say(self, message: str) -> None:
        """A line of the supervisor's own."""
        message = one_line(message)
        self._log("stack").write(message)
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
        """Tell that a process ended by itself, with the last thing it said when that is in a file alone."""
        if rest := self._rests.pop(name, b""):
            self._tell(name, rest)
        self.say(f"{name} ended ({how}); starts again in {pause_seconds:.1f} s")
        if self._quiet and (line := self._log(name).last):
            self.show(f"  {self._path(name)}: {line[:300]}")

    def close(self) -> None:
        """After the last line."""
        for file in self._files.values():
            file.close()

    def _tell(self, name: str, line: bytes) -> None:
        text = one_line(line.decode(errors="replace").rstrip("\r"))
        self._log(name).write(text)
        if not self._quiet:
            self._print(name, text)

    def _print(self, name: str, line: str) -> None:
        prefix = f"{name:<10} |"
        if self._colour:
            prefix = f"\x1b[{_COLOURS[sum(name.encode()) % len(_COLOURS)]}m{prefix}\x1b[0m"
        self.show(f"{prefix} {line}")

    def _log(self, name: str) -> LogFile:
        if name not in self._files:
            self._files[name] = LogFile(self._path(name))
        return self._files[name]

    def _path(self, name: str) -> Path:
        return self._logs / f"{name}.log"
