"""Says whether the lock is complete, as an install without a resolver needs it to be: `python deploy/check_lock.py`.

From the requirements of pyproject.toml it walks through those of every locked package, as its own metadata tells them,
for each Python and platform that is supported, and prints each that the lock does not satisfy. It asks no network:
metadata is read from the packages installed here, and it tells which of the locked ones are not.
"""

import functools
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
#: Both ends of each: a requirement may be of a few patch releases only.
PYTHONS = [f"3.{minor}.{patch}" for minor in (11, 12, 13, 14) for patch in (0, 99)]
PLATFORMS = [("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64")]

Environment = dict[str, str]
#: A package's requirements as its metadata writes them; None when it is not installed here in the locked version.
Requires = Callable[[Requirement], list[str] | None]


@dataclass
class Report:
    """What was found: requirement → the environments in which the lock lacks it, and the packages not looked into."""

    gaps: dict[str, list[str]] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)

    def add(self, gap: str, environment: Environment) -> None:
        """A gap, and one more place where it is."""
        where = f"Python {environment['python_version']} on {environment['sys_platform']}"
        places = self.gaps.setdefault(gap, [])
        if where not in places:
            places.append(where)


def environments() -> Iterator[Environment]:
    """What markers are asked with, for each supported Python on each platform."""
    for python in PYTHONS:
        for sys_platform, system, machine in PLATFORMS:
            yield {
                "implementation_name": "cpython",
                "implementation_version": python,
                "os_name": "posix",
                "platform_machine": machine,
                "platform_python_implementation": "CPython",
                "platform_release": "",
                "platform_system": system,
                "platform_version": "",
                "python_full_version": python,
                "python_version": python.rpartition(".")[0],
                "sys_platform": sys_platform,
            }


def parse(text: str) -> list[Requirement]:
    """The pins of a lock file."""
    lines = text.replace("\\\n", " ").splitlines()
    return [Requirement(line.partition(" --hash")[0]) for line in lines if line and not line.startswith((" ", "#"))]


def check(roots: Iterable[str], lock: list[Requirement], requires: Requires) -> Report:
    """Walk from `roots` through the lock, once for each environment."""
    report = Report()
    for environment in environments():
        walk(list(roots), lock, requires, environment, report)
    return report


def walk(
    roots: list[str], lock: list[Requirement], requires: Requires, environment: Environment, report: Report
) -> None:
    """Everything that `roots` lead to in one environment; what is missing is added to the report."""
    pins = {canonicalize_name(pin.name): pin for pin in lock if holds(pin, environment)}
    waiting = [("pyproject.toml", "", text) for text in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        source, extra, text = waiting.pop()
        wanted = parsed(text)
        if not holds(wanted, environment, extra):
            continue
        name = canonicalize_name(wanted.name)
        pin = pins.get(name)
        if pin is None or not fits(wanted, pin):
            report.add(f"{source} needs {wanted.name}{wanted.specifier}, {has(pin)}", environment)
            continue
        extras = [one for one in ("", *wanted.extras) if (name, one) not in seen]
        seen |= {(name, one) for one in extras}
        texts = requires(pin) if extras else []
        if texts is None:
            report.unseen.add(name)
        waiting += [(f"{pin.name} {pin.specifier}", one, more) for one in extras for more in texts or []]


@functools.cache
def parsed(text: str) -> Requirement:
    """The requirement that a text means; the same text comes once for each environment."""
    return Requirement(text)


def fits(wanted: Requirement, pin: Requirement) -> bool:
    """Whether the pinned version is one that is wanted."""
    return wanted.specifier.contains(str(pin.specifier).removeprefix("=="), prereleases=True)


def holds(requirement: Requirement, environment: Environment, extra: str = "") -> bool:
    """Whether its marker is true there, for the one extra that was asked for, or none."""
    return requirement.marker is None or requirement.marker.evaluate(environment | {"extra": extra})


def has(pin: Requirement | None) -> str:
    """What the lock has instead, in words."""
    return "which it does not have" if pin is None else f"but it has {pin.specifier}"


@functools.cache
def installed(pin: Requirement) -> list[str] | None:
    """What the package installed here says it requires."""
    try:
        found = metadata.distribution(pin.name)
    except metadata.PackageNotFoundError:
        return None
    return list(found.requires or []) if pin.specifier.contains(found.version, prereleases=True) else None


def roots_of(pyproject: Path) -> tuple[list[str], list[str], list[str]]:
    """What each lock must have: the server's, with the build backend; dev's, with every extra; browser's."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    runtime = project["project"]["dependencies"] + extras["server"] + project["build-system"]["requires"]
    every = [text for extra in extras.values() for text in extra]
    return runtime, runtime + every, project["dependency-groups"]["browser"]


def differing(runtime: list[Requirement], dev: list[Requirement]) -> list[str]:
    """Pins of the runtime lock that the dev lock does not repeat: installing the one would undo the other."""
    return sorted({str(pin) for pin in runtime} - {str(pin) for pin in dev})


def clashing(lock: list[Requirement], browser: list[Requirement]) -> list[str]:
    """Pins of the lock that is installed on top, of packages that the one below it has in another version."""
    below = {pin.name: pin.specifier for pin in lock}
    return sorted(str(pin) for pin in browser if below.get(pin.name, pin.specifier) != pin.specifier)


def main() -> int:
    """Print what is missing; the exit status."""
    files = [f"deploy/requirements/{name}.txt" for name in ("runtime", "dev", "browser")]
    locks = [parse((ROOT / name).read_text(encoding="utf-8")) for name in files]
    wrong = [f"{files[1]}: {files[0]} has {pin}, which it does not have" for pin in differing(*locks[:2])]
    wrong += [f"{files[2]}: {pin} is another version than in {files[1]}" for pin in clashing(*locks[1:])]
    unseen: set[str] = set()
    for name, roots, lock in zip(files, roots_of(ROOT / "pyproject.toml"), locks, strict=True):
        report = check(roots, lock, installed)
        wrong += [f"{name}: {gap} ({', '.join(places)})" for gap, places in report.gaps.items()]
        unseen |= report.unseen
    if wrong:
        print(
            *wrong,
            "The lock is not complete: run make lock, and commit deploy/requirements.",
            sep="\n",
            file=sys.stderr,
        )
        return 1
    left = f"; not installed here, so not looked into: {', '.join(sorted(unseen))}" if unseen else ""
    print(f"The lock is complete for Python 3.11 to 3.14 on Linux and macOS{left}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
