"""Makes jobs of a batch's lines: all that its hold is for, or a slice that its account can hold for just now.

What is done is in the rows: whoever is killed, or comes second, leaves another to go on where the cursor stands.
"""

from collections.abc import Generator, Sequence
from typing import Final

from sqlalchemy import Connection, select

from shared import clock, crash
from shared.batches import credit, transitions
from shared.batches.plan_lines import unplanned
from shared.batches.states import Row
from shared.broker.bell import Bell
from shared.db import Database
from shared.db import models as m
from shared.files import blobs
from shared.queues import WEBHOOKS
from shared.slices import slices
from shared.submissions import rows as intake
from shared.submissions.rows import Owner

#: How long one slice of work may last, in seconds; it ends at the next line or chunk.
SLICE_SECONDS: Final = 0.05
#: Jobs made in one transaction, two rows each.
CHUNK: Final = 1000
#: Bytes of a plan read at once.
CHUNK_BYTES: Final = 1 << 20

#: One batch's work, a slice at each step.
Work = Generator[None, None, None]


class Releasing:
    """What one process does for any batch whose lines are to become jobs."""

    def __init__(self, database: Database, ring: Bell) -> None:
        self._database = database
        self._bell = ring

    def release(self, row: Row) -> Work:
        """Make jobs of the plan's lines, chunk by chunk from where its cursor stands."""
        owner = _owner(row)
        cursor, pause = row["cursor"], TurnTimer()
        with blobs.reader(row["plan"], cursor) as plan:
            while lines := plan.readlines(CHUNK_BYTES):
                for chunk in slices(lines, CHUNK):
                    made = [intake.rows(owner, unplanned(line)) for line in chunk]
                    end = cursor + sum(map(len, chunk))
                    if not self._database.write_sync(transitions.release, row["id"], (cursor, end), made):
                        return
                    crash.point("batch.after_release")
                    cursor = end
                    if pause.due():
                        yield
        if self._database.read_sync(current, row["id"])["released"] < row["total"]:
            raise EOFError("the plan ends before the lines do")

    def hold(self, row: Row) -> Work:
        """Hold for all of a batch that has waited for credit; its lines become jobs after that."""
        self._ring(self._database.write_sync(credit.hold, row["id"]))
        crash.point("batch.after_hold")
        yield

    def release_slice(self, row: Row) -> Work:
        """Make jobs of the next lines of a batch that holds as it advances, as many as its account can hold for."""
        owner, end, lines = _owner(row), row["cursor"], list[credit.Line]()
        with blobs.reader(row["plan"], row["cursor"]) as plan:
            for line in plan.readlines(CHUNK_BYTES)[: credit.SLICE]:
                end += len(line)
                lines.append((*intake.rows(owner, unplanned(line)), end))
        if not lines:
            raise EOFError("the plan ends before the lines do")
        _, deliveries = self._database.write_sync(credit.release_slice, row["id"], row["cursor"], lines)
        crash.point("batch.after_slice")
        self._ring(deliveries)
        yield

    def _ring(self, deliveries: Sequence[str]) -> None:
        if deliveries:
            self._bell.ring(WEBHOOKS, deliveries)


class TurnTimer:
    """Says when a turn has lasted its time; asking it then begins the next."""

    def __init__(self) -> None:
        self._until = clock.monotonic() + SLICE_SECONDS

    def due(self) -> bool:
        now = clock.monotonic()
        if now < self._until:
            return False
        self._until = now + SLICE_SECONDS
        return True


def _owner(row: Row) -> Owner:
    """Whose the jobs of a batch are."""
    return Owner(
        row["account_id"],
        row["key_id"],
        row["test"],
        batch_id=row["id"],
        priority=row["priority"],
        expires_at=row["expires_at"],
        budget_at=row["budget_at"],
    )


def current(connection: Connection, id: str) -> Row:
    """A batch's row as it is now."""
    return dict(connection.execute(select(m.batches).where(m.batches.c.id == id)).mappings().one())
