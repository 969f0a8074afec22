"""The hints of one request (`shared.submissions.extras`) while it is rewritten: which of them have been sent. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.submissions import extras

_REASONING = frozenset(extras.REASONING)


class Hints:
    """Those that the model's row takes, by path; each is taken out when it goes to the provider."""

    def __init__(self, given: Mapping[str, Any], takes: frozenset[str]) -> None:
        self._given = given
        self._taken = extras.taken(given, takes)
        self._sent: set[str] = set()

    def take(self, path: str) -> Any:
        """The hint at a path, None when there is none; from now on it counts as sent."""
        value = self._taken.get(path)
        if value is not None:
            self._sent.add(path)
        return value

    def look(self, path: str) -> Any:
        """The same hint, without counting it as sent: it is not decided yet."""
        return self._taken.get(path)

    def covered(self, message: str) -> None:
        """Count a message's plain reasoning as sent: its signed thoughts, which were, have the same text in them."""
        self._sent.update(f"{message}.{name}" for name in _REASONING)

    def unsent(self) -> Iterator[str]:
        """The paths of the hints that have not been sent."""
        return (path for path in self._given if path not in self._sent)
