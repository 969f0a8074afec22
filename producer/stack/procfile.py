"""Reads a Procfile: `name: command` lines, run without a shell. Pure but for `find`."""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class ProcfileError(Exception):
    """The Procfile cannot be read; the message names the line and what is wrong with it."""


def find() -> Path:
    """The Procfile of the working directory, or else the one beside the installed packages."""
    here = Path("Procfile")
    return here if here.exists() else Path(__file__).resolve().parents[2] / "Procfile"


def parse(source: str) -> dict[str, str]:
    """Commands by name, in the file's order; empty lines and `#` lines are skipped."""
    commands: dict[str, str] = {}
    for number, line in enumerate(source.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ProcfileError(f"line {number}: expected `name: command`, found {line.strip()[:80]!r}")
        name, command = match.groups()
        if name in commands:
            raise ProcfileError(f"line {number}: {name!r} is defined twice")
        commands[name] = command
    return commands


def expand(command: str, env: Mapping[str, str]) -> list[str]:
    """The command as an argument list: `$NAME` from `env` (one word each), `python` is ours."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in env:
            raise ProcfileError(f"${name} is not set; it is used by: {command}")
        return env[name]

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ProcfileError(f"{error}: {command}") from error
    argv = [_VARIABLE.sub(value, word) for word in words]
    return [sys.executable if argv[0] in ("python", "python3") else argv[0], *argv[1:]]


def copies(commands: Mapping[str, str], workers: int) -> dict[str, str]:
    """The same commands with `worker` there `workers` times, as worker.1, worker.2 …; one is plain."""
    if workers == 1 or "worker" not in commands:
        return dict(commands)
    named: dict[str, str] = {}
    for name, command in commands.items():
        names = [f"worker.{n}" for n in range(1, workers + 1)] if name == "worker" else [name]
        named.update(dict.fromkeys(names, command))
    return named
