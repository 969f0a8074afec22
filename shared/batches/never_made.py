"""The lines of a stopped batch that never became jobs: the rest of its plan, which is kept for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.files import blobs

#: Plans outlive the longest completion window, a week, by a month, in which a retry may need the lines of a batch that
#: was stopped before they became jobs (all other plans are deleted at their batch's end); in seconds.
KEEP_PLANS_SECONDS = 38 * 86_400


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
    """Each of them, however many there are; FileNotFoundError when the plan, or the end of it, is lost."""
    if not (left := count(batch)):
        return
    with blobs.reader(batch["plan"], batch["cursor"]) as plan:
        for number, line in enumerate(plan):
            yield NeverMade(batch["id"], number, line, batch["stopped"])
            left -= 1
    if left > 0:
        raise FileNotFoundError(batch["plan"])
