"""CPU that processes have used, as the kernel counts it in /proc: all threads of each."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Of a second, as the system counts CPU.
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """A process: its parent, what it has used itself, and what children have that ended and were waited for; ticks."""

    parent: int
    own: int
    of_ended: int

    @classmethod
    def of(cls, line: str) -> "Stat":
        """Of a line of /proc/PID/stat; the command's name, in parentheses, may have any character in it."""
        fields = line.rpartition(")")[2].split()
        own, of_ended = (int(fields[at]) + int(fields[at + 1]) for at in (11, 13))
        return cls(int(fields[1]), own, of_ended)


def seconds(pid: int) -> float:
    """What a process has used so far, without its children; 0 where the system does not say."""
    with suppress(OSError):
        return Stat.of(Path(f"/proc/{pid}/stat").read_text()).own / TICKS
    return 0.0


def families(roots: Mapping[str, int]) -> dict[str, float]:
    """The same of each of some processes with all that descend from it, those that have ended included."""
    stats = dict(_stats())
    return {name: family_ticks(stats, pid) / TICKS for name, pid in roots.items()}


def machine_seconds() -> float:
    """What all cores have worked: neither idle nor waiting for a disk."""
    user, nice, system, _idle, _waiting, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(rest[:2])) / TICKS


def family_ticks(stats: Mapping[int, Stat], root: int) -> int:
    """Of a process and all that descend from it, each counted once: one that has ended, by who waited for it."""
    family, found = [root], 0
    while family:
        pid = family.pop()
        if stat := stats.get(pid):
            found += stat.own + stat.of_ended
            family += [child for child, other in stats.items() if other.parent == pid]
    return found


def micros_each(before: Mapping[str, float], after: Mapping[str, float], count: int) -> dict[str, float]:
    """What each of some readings, in seconds, has grown by, in microseconds for each of `count`; none: nothing."""
    return {name: (after[name] - before[name]) / count * 1e6 for name in after} if count else {}


def _stats() -> Iterator[tuple[int, Stat]]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            yield int(file.parent.name), Stat.of(file.read_text())
