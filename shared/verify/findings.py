"""What a check finds, and what it is given to look with."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")

#: Rows named of each violated check.
SHOWN: Final = 5


class Reader(Protocol):
    """Runs a function of a connection in a read transaction of its own, and returns its value."""

    def __call__(self, work: Callable[[Connection], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise: which check, what the row says (its ids come first), and what is wrong with it in words."""

    check: str
    row: Mapping[str, Any] = field(default_factory=dict)
    wrong: str = ""
    #: How many more rows break the promise than those that are named.
    more: int = 0

    def __str__(self) -> str:
        if self.more:
            return f"{self.check}: and {self.more} more"
        cells = [f"{name}={value}" for name, value in self.row.items()]
        return f"{self.check}: " + ", ".join([*cells, *filter(None, [self.wrong])])

    def as_json(self) -> dict[str, Any]:
        """As `fusionai verify --json` shows it."""
        return {"check": self.check, "row": dict(self.row), "wrong": self.wrong or None, "more": self.more}


#: What it finds, by reading transactions of its own, none of which is long. One of several pages is right for each of
#: them, since what it compares stands within a page.
Check = Callable[[Reader], Iterator[Finding]]


def first_of(check: str, found: Iterable[Finding]) -> Iterator[Finding]:
    """The first SHOWN of what is found, and how many more there are."""
    more = 0
    for number, finding in enumerate(found):
        if number < SHOWN:
            yield finding
        else:
            more += 1
    if more:
        yield Finding(check, more=more)
