"""A sink for tests of adapters: it keeps what is streamed, and puts it together as a reader of the stream would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.running.partial_answer import SentAnswer


@dataclass
class Heard:
    """The heads and choices of the chunks, in order, and the answer that they add up to."""

    parts: list[Mapping[str, Any]] = field(default_factory=list)
    heads: list[Mapping[str, Any]] = field(default_factory=list)
    sent: SentAnswer = field(default_factory=SentAnswer)

    @property
    def began(self) -> bool:
        return bool(self.parts)

    def send(self, head: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
        self.parts += choices
        self.heads.append(head)
        self.sent.take(head, choices)

    def all_of(self, name: str) -> list[Any]:
        """What the deltas have under a name, in order."""
        return [part["delta"][name] for part in self.parts if part["delta"].get(name)]
