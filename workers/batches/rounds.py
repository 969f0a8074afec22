"""Takes batches from file to file: reads, holds, makes jobs, stops, renders, ends.

One process takes turns over the accounts, a slice of work each, so that a small batch is not kept waiting by a large
one. What it knows is in the rows: kill it anywhere and the next one goes on. Two of them do the same work twice, each
into files of its own; the one that comes second finds nothing to do and takes its files away again.
"""

import logging
from collections.abc import Generator, Sequence
from typing import BinaryIO

from sqlalchemy import Connection, select

from shared import accounts, clock, crash, logs, notifier
from shared.batches import lines as batch_lines
from shared.batches import transitions
from shared.batches.line_files import FaultError
from shared.batches.lines import Reading, Wanted
from shared.batches.transitions import Plan, Row
from shared.broker.bell import Bell
from shared.db import AmbiguousCommitError, Database
from shared.db import models as m
from shared.errors import StorageAway
from shared.files import blobs
from shared.queues import WEBHOOKS
from shared.settings import settings
from shared.submissions import rows as intake
from shared.submissions.rows import Owner
from workers.batches import cancelling, files, reports
from workers.batches.files import Rendering
from workers.batches.readers import Readers
from workers.maintenance.isolate import Isolator

log = logging.getLogger(__name__)

#: How long one turn may last, in seconds; it ends at the next line or chunk.
SLICE_SECONDS = 0.05
#: Jobs made in one transaction, two rows each.
CHUNK = 1000
#: Bytes of a plan read at once.
CHUNK_BYTES = 1 << 20
#: Between two looks at the batches, in seconds.
LOOK_SECONDS = 0.05
#: After which a batch that met an error, or waits for its workers to hear of a cancel, is taken up again; after each
#: further error in a row twice as long, up to the second.
AGAIN_SECONDS = 1.0
AGAIN_MOST_SECONDS = 60.0
#: A step that storage kept so long for nothing has shown that it hangs; meanwhile a batch that does not need storage
#: has its turn, for so many times as long.
HANGS_SECONDS = 1.0
SPARED = 4
#: For how long an input file that its row says is there is looked for, in microseconds: storage that is not mounted
#: has no files either.
LOOK_AGAIN_MICROS = 3600 * clock.MICROS

#: One batch's work, a slice at each step.
Work = Generator[None, None, None]


class Batches:
    """One process's work on all unfinished batches. What is open in it (a file half read) is begun anew elsewhere."""

    def __init__(self, database: Database, ring: Bell) -> None:
        self._database = database
        self._bell = ring
        self._readers = Readers()
        self._works: dict[str, Work] = {}
        self._accounts: dict[str, str] = {}
        #: When a batch may be taken up again, monotonic: after an error, or while others must end its jobs.
        self._not_before: dict[str, float] = {}
        #: Errors in a row, by batch.
        self._errors: dict[str, int] = {}
        #: Works that do without storage; until when the others wait, monotonic.
        self._bare: set[str] = set()
        self._spared_until = 0.0
        self._look_at = 0.0
        self._cancelling: Isolator[list[str]] = Isolator("cancelling")
        #: Whose turn was last.
        self._last_account = ""

    def run_once(self) -> bool:
        """A look when it is time, then a slice for each account with work, in turn until the next look."""
        if not self._works or clock.monotonic() > self._look_at:
            self._look()
        turns = {self._accounts[id]: id for id in reversed(self._works)}
        waiting = sorted(turns, key=lambda account: (account <= self._last_account, account))
        stepped = False
        for account in waiting:
            if turns[account] not in self._bare and clock.monotonic() < self._spared_until:
                continue
            self._last_account = account
            self._step(turns[account])
            stepped = True
            if clock.monotonic() > self._look_at:
                break
        return stepped

    def close(self) -> None:
        """Leave what is half done, and no half-written file behind."""
        for work in self._works.values():
            work.close()
        self._readers.close()

    def _look(self) -> None:
        """Take up what there is to do, the highest priority and oldest batch of each account first."""
        now = clock.monotonic()
        rows = self._database.read_sync(transitions.in_need)
        known = {row["id"]: row["account_id"] for row in rows}
        for id in self._works.keys() - known:
            self._works.pop(id).close()
        self._accounts = known
        self._not_before = {id: at for id, at in self._not_before.items() if id in known and at > now}
        self._errors = {id: count for id, count in self._errors.items() if id in known}
        self._bare &= known.keys()
        works = {row["id"]: self._works.get(row["id"]) or self._work_for(row) for row in rows}
        self._works = {id: work for id, work in works.items() if work is not None}
        self._look_at = clock.monotonic() + LOOK_SECONDS + 4 * (clock.monotonic() - now)

    def _step(self, id: str) -> None:
        began = clock.monotonic()
        try:
            next(self._works[id])
        except StopIteration:
            del self._works[id]
            self._errors.pop(id, None)
        except Exception as error:
            told = logs.kind(error) if isinstance(error, StorageAway) else logs.trace(error)
            log.error("batch %s is tried again later: %s", id, told)
            del self._works[id]
            self._put_off(id, clock.monotonic() - began if isinstance(error, StorageAway) else 0.0)

    def _put_off(self, id: str, kept_seconds: float) -> None:
        """Take a batch up again later, after an error for which storage kept this process so long."""
        errors = self._errors[id] = self._errors.get(id, 0) + 1
        now = clock.monotonic()
        self._not_before[id] = now + min(AGAIN_SECONDS * 2 ** min(errors - 1, 10), AGAIN_MOST_SECONDS)
        if kept_seconds > HANGS_SECONDS:
            self._spared_until = now + SPARED * kept_seconds

    def _work_for(self, row: Row) -> Work | None:
        """What is to be done for a batch now, if anything."""
        self._bare.discard(row["id"])
        if row["id"] in self._not_before:
            return None
        if files.wanted(row):
            return self._render(row)
        if row["stopped"] is not None:
            self._bare.add(row["id"])
            return self._end_lines(row) if row["stopped"] == "cancelled" else None  # expiry is the sweeper's
        reading = row["status"] == "validating"
        if row["expires_at"] <= clock.now_micros() and (reading or row["released"] < row["total"]):
            self._bare.add(row["id"])
            return self._expire(row)
        if reading:
            return self._read(row)
        return self._release(row) if row["released"] < row["total"] else None

    def _read(self, row: Row) -> Work:
        """Read and price every line into a plan, take the hold, and go on making the jobs."""
        reading = Reading()
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
            yield from self._release(self._database.read_sync(_row, row["id"]))
        else:
            blobs.delete(name)

    def _plan(self, row: Row, reading: Reading, name: str) -> Work:
        pause = _Pause()
        ignores = self._database.read_sync(accounts.ignores_unknown, row["account_id"])
        try:
            with blobs.writer(name) as plan, self._input(row) as file:
                for part in self._readers.parts(file, Wanted(row["endpoint"], row["test"], ignores)):
                    plan.write(reading.add(part))
                    if reading.over:
                        break
                    if pause.due():
                        yield
                reading.end()
        except FaultError as fault:
            reading.faults.append(fault)
        except FileNotFoundError:
            reading.faults.append(FaultError("file_not_found", "the input file is not there any more"))

    def _input(self, row: Row) -> BinaryIO:
        """The batch's input file; FileNotFoundError when it is not there any more."""
        blob = self._database.read_sync(_blob, row["input_file_id"])
        try:
            return blobs.reader(blob)
        except FileNotFoundError:
            if clock.now_micros() < row["created_at"] + LOOK_AGAIN_MICROS:
                raise StorageAway(f"{blob} is not to be found") from None
            raise

    def _begin(self, row: Row, reading: Reading, name: str) -> bool:
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

    def _release(self, row: Row) -> Work:
        """Make jobs of the plan's lines, chunk by chunk from where its cursor stands."""
        owner = Owner(
            row["account_id"],
            row["key_id"],
            row["test"],
            batch_id=row["id"],
            priority=row["priority"],
            expires_at=row["expires_at"],
        )
        cursor, pause = row["cursor"], _Pause()
        with blobs.reader(row["plan"], cursor) as plan:
            while lines := plan.readlines(CHUNK_BYTES):
                for start in range(0, len(lines), CHUNK):
                    chunk = lines[start : start + CHUNK]
                    made = [intake.rows(owner, batch_lines.unplanned(line)) for line in chunk]
                    end = cursor + sum(map(len, chunk))
                    if not self._database.write_sync(transitions.release, row["id"], (cursor, end), made):
                        return
                    crash.point("batch.after_release")
                    cursor = end
                    if pause.due():
                        yield
        if self._database.read_sync(_row, row["id"])["released"] < row["total"]:
            raise EOFError("its plan ends before its lines do")

    def _expire(self, row: Row) -> Work:
        self._database.write_sync(transitions.stop, row["id"], "expired")
        yield

    def _end_lines(self, row: Row) -> Work:
        """End a cancelled batch's jobs: what waits at once, what runs by a flag that its worker hears of."""
        self._not_before[row["id"]] = clock.monotonic() + AGAIN_SECONDS
        besides, after = set(self._cancelling.besides()), ""
        while ids := self._database.read_sync(cancelling.waiting_after, row["id"], after):
            wanted = [id for id in ids if id not in besides]
            for deliveries in self._cancelling.each(wanted, self._cancel):
                self._ring(deliveries)
            after = ids[-1]
            crash.point("batch.after_end")
            yield
        while flagged := self._database.write_sync(cancelling.flag_running, row["id"]):
            notifier.tell_now(settings().redis_url, notifier.CANCEL, flagged)
            yield

    def _cancel(self, ids: Sequence[str]) -> list[str]:
        return self._database.write_sync(cancelling.cancel_waiting, ids)

    def _render(self, row: Row) -> Work:
        """Write the files, then end the batch with its statement and events."""
        if row["status"] in ("in_progress", "validating"):
            self._database.write_sync(transitions.finalize, row["id"])
        rendering = Rendering(self._database, row)
        pause = _Pause()
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


class _Pause:
    """Says when a turn has lasted its time; asking it then begins the next."""

    def __init__(self) -> None:
        self._until = clock.monotonic() + SLICE_SECONDS

    def due(self) -> bool:
        now = clock.monotonic()
        if now < self._until:
            return False
        self._until = now + SLICE_SECONDS
        return True


def _row(connection: Connection, id: str) -> Row:
    return dict(connection.execute(select(m.batches).where(m.batches.c.id == id)).mappings().one())


def _blob(connection: Connection, file_id: str) -> str:
    statement = select(m.files.c.blob).where(m.files.c.id == file_id, m.files.c.status == "processed")
    name = connection.execute(statement).scalar()
    if name is None:
        raise FileNotFoundError(file_id)
    return str(name)
