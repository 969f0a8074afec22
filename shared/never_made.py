"""The lines of a batch that was stopped before they became jobs: the rest of its plan, which is kept for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared import blobs


@dataclass(frozen=True, slots=True)
class NeverMade:
    """Such a line, as the plan has it, and why it was stopped."""

    batch_id: str
    number: int
    planned: bytes
    reason: str


def count(batch: Mapping[str, Any]) -> int:
    """How many a batch has."""
    return 0 if batch["stopped"] is None else int(batch["total"] - batch["released"])


def lines(batch: Mapping[str, Any]) -> Iterator[NeverMade]:
    """Each of them; FileNotFoundError when the plan is lost."""
    if not count(batch):
        return
    with blobs.reader(batch["plan"], batch["cursor"]) as plan:
        for number, line in enumerate(plan):
            yield NeverMade(batch["id"], number, line, batch["stopped"])
