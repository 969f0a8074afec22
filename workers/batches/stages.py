"""One batch from file to file: read, held for, made into jobs, stopped, rendered, ended.

Each stage is a generator that pauses after a slice of work, so that others have their turn. What it knows is in the
rows: kill it anywhere and the next process goes on. Two of them do the same work twice, each into files of its own; the
one that comes second finds nothing to do and takes its files away again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO, Literal

from sqlalchemy import Connection, select

from shared import accounts, clock, crash, key_limits, notifier
from shared.batches import transitions
from shared.batches.line_files import FaultError
from shared.batches.lines import FileReading, Wanted
from shared.batches.linked_lines import LinkedLines
from shared.batches.states import Row
from shared.batches.transitions import Plan
from shared.broker.bell import Bell
from shared.db import AmbiguousCommitError, Database
from shared.db import models as m
from shared.db.models.batches import UNREAD
from shared.entities.resolving import Resolver
from shared.errors import StorageAway
from shared.files import blobs
from shared.objects.batches import ended_lines
from shared.queues import WEBHOOKS
from shared.settings import settings
from workers.batches import cancelling, reports
from workers.batches.reader_pool import ReaderPool
from workers.batches.releasing import Releasing, TurnTimer, Work, current
from workers.batches.rendering import Rendering
from workers.maintenance.isolation import Isolator

#: For how long an input file that its row says is there is looked for, in microseconds: storage that is not mounted
#: has no files either.
LOOK_AGAIN_MICROS = 3600 * clock.MICROS

Stage = Literal["read", "hold", "release", "release_slice", "expire", "end_lines", "render"]
#: The stages that need no file storage.
WITHOUT_STORAGE: frozenset[Stage] = frozenset({"hold", "expire", "end_lines"})


def due(row: Row) -> Stage | None:
    """The stage that a batch is at, if there is anything to be done for it now."""
    ended = ended_lines(row) == row["total"]
    if ended and (row["total"] > 0 or row["stopped"] is not None):
        return "render"
    if row["stopped"] is not None:
        return "end_lines" if row["stopped"] == "cancelled" else None  # expiry is the sweeper's
    reading = row["status"] in UNREAD
    unreleased = row["released"] < row["total"]
    if row["expires_at"] <= clock.now_micros() and (reading or unreleased):
        return "expire"
    if reading:
        return "read"
    return _releasing(row) if unreleased else None


def _releasing(row: Row) -> Stage:
    if row["hold"] == "slices":
        return "release_slice"
    return "release" if row["short_micros"] is None else "hold"


class Stages:
    """What one process does for any batch at each stage."""

    def __init__(self, database: Database, ring: Bell) -> None:
        self._database = database
        self._bell = ring
        self._readers = ReaderPool()
        self._entities = Resolver(database)
        self._releasing = Releasing(database, ring)
        self._cancelling: Isolator[list[str]] = Isolator("cancelling job")

    def begin(self, stage: Stage, row: Row) -> Work:
        """The work of a stage, of which nothing has been done yet."""
        work: dict[Stage, Callable[[Row], Work]] = {
            "read": self.read,
            "hold": self._releasing.hold,
            "release_slice": self._releasing.release_slice,
            "release": self._releasing.release,
            "expire": self.expire,
            "end_lines": self.end_lines,
            "render": self.render,
        }
        return work[stage](row)

    def close(self) -> None:
        """End what was started for reading."""
        self._readers.close()
        self._entities.close()

    def read(self, row: Row) -> Work:
        """Read and price every line into a plan, take the hold, and go on making the jobs."""
        reading = FileReading()
        name = f"plans/{row['id']}.{clock.new_id('plan')}"
        yield from self._plan(row, reading, name)
        crash.point("batch.after_plan")
        try:
            begun = self._begin(row, reading, name)
        except AmbiguousCommitError:
            raise  # perhaps this plan is the batch's
        except Exception:
            blobs.delete(name)
            raise
        if begun:
            crash.point("batch.after_begin")
            yield
            if row["hold"] is None:
                yield from self._releasing.release(self._database.read_sync(current, row["id"]))
        else:
            blobs.delete(name)

    def _plan(self, row: Row, reading: FileReading, name: str) -> Work:
        pause = TurnTimer()
        account = row["account_id"]
        ignores = self._database.read_sync(accounts.ignores_unknown, account)
        links = self._database.read_sync(accounts.may_link, account)
        rules = self._database.read_sync(key_limits.of_key, row["key_id"]).rules
        wanted = Wanted(row["endpoint"], row["test"], ignores, links, rules=rules)
        link = LinkedLines(partial(self._entities.find_sync, account))
        try:
            with blobs.writer(name) as plan, self._input(row) as file:
                for part in self._readers.parts(file, wanted, link):
                    if part is None:
                        yield
                        continue
                    plan.write(reading.add(part))
                    if reading.over:
                        break
                    if pause.due():
                        yield
                reading.end()
        except FaultError as fault:
            reading.faults.append(fault)
        except FileNotFoundError:
            reading.faults.append(FaultError("file_not_found", "the input file no longer exists"))

    def _input(self, row: Row) -> BinaryIO:
        """The batch's input file; FileNotFoundError when it is not there any more."""
        blob = self._database.read_sync(_blob, row["input_file_id"])
        try:
            return blobs.reader(blob)
        except FileNotFoundError:
            if clock.now_micros() < row["created_at"] + LOOK_AGAIN_MICROS:
                raise StorageAway(f"{blob} not found") from None
            raise

    def _begin(self, row: Row, reading: FileReading, name: str) -> bool:
        if reading.faults:
            errors = [fault.as_json() for fault in reading.faults]
            self._ring(self._database.write_sync(transitions.refuse, row["id"], errors))
            return False
        plan = Plan(name, reading.total, reading.bound_micros, reading.model, reading.need)
        begun, deliveries = self._database.write_sync(transitions.begin, row["id"], plan)
        self._ring(deliveries)
        if begun:
            reports.begins(row, reading)
        return begun

    def expire(self, row: Row) -> Work:
        """Stop a batch that has lines which are not jobs when its window ends."""
        self._database.write_sync(transitions.stop, row["id"], "expired")
        yield

    def end_lines(self, row: Row) -> Work:
        """End a cancelled batch's jobs: what waits at once, what runs by a flag that its worker hears of."""
        besides, after = set(self._cancelling.besides()), ""
        while ids := self._database.read_sync(cancelling.waiting_after, row["id"], after):
            wanted = [id for id in ids if id not in besides]
            for deliveries in self._cancelling.each(wanted, self._cancel):
                self._ring(deliveries)
            after = ids[-1]
            crash.point("batch.after_end")
            yield
        while flagged := self._database.write_sync(cancelling.flag_running, row["id"]):
            notifier.publish_now(settings().redis_url, notifier.CANCEL, flagged)
            yield

    def _cancel(self, ids: Sequence[str]) -> list[str]:
        return self._database.write_sync(cancelling.cancel_waiting, ids)

    def render(self, row: Row) -> Work:
        """Write the files, then end the batch with its statement and events."""
        if row["status"] in ("in_progress", *UNREAD):
            self._database.write_sync(transitions.finalize, row["id"])
        rendering = Rendering(self._database, row)
        pause = TurnTimer()
        try:
            for _ in rendering.pages():
                if pause.due():
                    yield
            crash.point("batch.before_finish")
            ended = self._finish(row, rendering)
        except AmbiguousCommitError:
            raise  # perhaps these files are the batch's: retention knows, by tomorrow
        except Exception:
            rendering.discard()
            raise
        if ended is None:
            rendering.discard()
            return
        if row["status"] != "in_progress":  # somebody may have begun before
            rendering.discard_others()
        crash.point("batch.after_finish")
        if row["plan"] and row["released"] == row["total"]:
            blobs.delete(row["plan"])  # else retention does: a retry may need the lines that never became jobs

    def _finish(self, row: Row, rendering: Rendering) -> Row | None:
        """The batch as it ended with what has been rendered; None: with another's files, or not yet."""
        lines = [rendering.statement[model] for model in sorted(rendering.statement)]
        made = rendering.output, rendering.errors
        ended, deliveries = self._database.write_sync(transitions.finish, row["id"], *made, lines, rendering.faults)
        self._ring(deliveries)
        if ended is not None:
            reports.ends(ended)
        return ended

    def _ring(self, deliveries: Sequence[str]) -> None:
        if deliveries:
            self._bell.ring(WEBHOOKS, deliveries)


def _blob(connection: Connection, file_id: str) -> str:
    statement = select(m.files.c.blob).where(m.files.c.id == file_id, m.files.c.status == "processed")
    name = connection.execute(statement).scalar()
    if name is None:
        raise FileNotFoundError(file_id)
    return str(name)
