"""The Dockerfile as data: its stages, each with its instructions in their order."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "docker" / "Dockerfile"

_FROM = re.compile(r"(\S+)(?: AS (\S+))?")


@dataclass
class Stage:
    """One stage: where it begins, and `(instruction, the rest)` in order."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """What stands behind each of an instruction."""
        return [rest for name, rest in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        """What stands behind the last one, which is the one in force."""
        return self.all(instruction)[-1]

    def environment(self) -> dict[str, str]:
        """Its ENV."""
        return dict(word.split("=", 1) for rest in self.all("ENV") for word in shlex.split(rest))  # type: ignore[misc]

    def command(self) -> list[str]:
        """Its CMD, in the exec form."""
        return list(json.loads(self.last("CMD")))

    def healthcheck(self) -> list[str]:
        """The command of its HEALTHCHECK, in the exec form."""
        return list(json.loads(self.last("HEALTHCHECK").partition(" CMD ")[2]))


def read() -> list[Stage]:
    """The stages of our Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.M).replace("\\\n", " ")
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        rest = re.sub(r" {2,}", " ", rest.strip())
        if instruction == "FROM":
            base, name = _FROM.fullmatch(rest).groups()  # type: ignore[union-attr]
            stages.append(Stage(base, name or ""))
        elif stages:
            stages[-1].steps.append((instruction, rest))
    return stages
