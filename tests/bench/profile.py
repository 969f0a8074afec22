"""Where a synchronous call's time goes in our own processes: CPU by process, and by package what has held the GIL.

py-spy looks two hundred times a second which thread holds the GIL, and where it is; a look counts for the package that
runs, what the standard library does for the one that called it. It is no requirement (as root, or with ptrace allowed):

    python3 -m venv ~/pyspy && ~/pyspy/bin/pip install py-spy        # BENCH_PYSPY=~/pyspy/bin/py-spy
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.bench.contenders import OURS, WARM_CLIENTS, WARM_SECONDS, Median, chat, ours, quick_upstream
from tests.bench.peers import Contender
from tests.bench.stack import bench, temporary_directory
from tests.bench.table import note, row

CLIENTS = (16, 1)
ROLES = ("web", "worker")
LOOKS_PER_SECOND = 200
#: A package with less than this share everywhere is one of the others.
LEAST_SHARE = 0.02
#: Our own packages, of which the one within says more.
OWN: Final = ("shared", "producer", "workers")
PYTHON, OTHERS = "Python itself", "others"


def profile_rows(base: str, seconds: int) -> None:
    """With 16 clients and with one: first unwatched, for the CPU, then watched."""
    given = os.environ.get("BENCH_PYSPY", "py-spy")
    if not (spy := shutil.which(given)):
        note(f"there is no profile: no command {given}; pip install py-spy in a venv; BENCH_PYSPY=<venv>/bin/py-spy")
        return
    found: dict[str, dict[str, float]] = {}
    with quick_upstream(base) as url, bench(url, beside=("web", "sweeper"), check=False) as running:
        contender = ours(running, "/v1/chat/completions")
        chat(contender, WARM_CLIENTS, WARM_SECONDS)
        for clients in CLIENTS:
            plain = chat(contender, clients, seconds)
            row(f"synchronous chat, {clients} at a time, nothing beside: {OURS}", f"{plain.per_second:,.0f}/s")
            note(Median.of([plain]).cpu)
            watched = _watched(spy, contender, clients, seconds)
            found |= {f"{role}, {clients}": shares(raw) for role, raw in watched.items()}
    for line in table(found):
        print(line, flush=True)


def shares(raw: str) -> dict[str, float]:
    """Of each package its share of the looks; `raw`: a stack a line, outermost first, and how often it was seen."""
    counted: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        counted[package(stack)] += int(count)
    return {name: count / counted.total() for name, count in counted.most_common()}


def package(stack: str) -> str:
    """Whose code runs: `sqlalchemy`, `shared/money`; what the standard library does, it does for its caller."""
    for frame in reversed(stack.split(";")):
        path = frame.rpartition("(")[2].partition(":")[0]
        if not path.endswith(".py"):
            continue
        parts = path.removesuffix(".py").split("/")
        if parts[0] in OWN:
            return "/".join(parts[:2])
        if parts[0] not in sys.stdlib_module_names:
            return parts[0]
    return PYTHON


def table(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Shares of the time in which the GIL was held, the largest first; lines of Markdown, 80 columns."""
    every = {name for column in found.values() for name in column}
    large = [name for name in every if any(column.get(name, 0.0) >= LEAST_SHARE for column in found.values())]
    yield f"| {'GIL held by':<20} |" + "".join(f" {name:>11} |" for name in found)
    yield f"|{'-' * 22}|" + f"{'-' * 12}:|" * len(found)
    for name in sorted(large, key=lambda name: (-sum(column.get(name, 0.0) for column in found.values()), name)):
        yield _line(name, [column.get(name, 0.0) for column in found.values()])
    yield _line(
        OTHERS, [sum(share for name, share in column.items() if name not in large) for column in found.values()]
    )


def _line(name: str, cells: list[float]) -> str:
    return f"| {name:<20} |" + "".join(f" {share:>11.0%} |" for share in cells)


def _watched(spy: str, contender: Contender, clients: int, seconds: int) -> dict[str, str]:
    """What was seen of each role during a load."""
    with temporary_directory() as place, ExitStack() as stack:
        files = {role: Path(place, role) for role in ROLES}
        looking = ["--gil", "--rate", f"{LOOKS_PER_SECOND}", "--duration", f"{seconds}", "--format", "raw"]
        spies = [
            stack.enter_context(
                subprocess.Popen(
                    [spy, "record", *looking, "--output", f"{file}", "--pid", f"{contender.pids[role]}"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            for role, file in files.items()
        ]
        chat(contender, clients, seconds)
        assert not any(process.wait() for process in spies), "py-spy could not look: it needs root, or ptrace allowed"
        return {role: file.read_text() for role, file in files.items()}
