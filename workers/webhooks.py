"""Sends events to webhooks: claim -> sign and send -> record, each delivery retried from its row for about three days.

A claim is the row's `next_at` moved past the send; a sender that dies leaves nothing but that. At least once: the
event id is the receiver's key against doubles.
"""

import asyncio
import logging
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx
import orjson
from sqlalchemy import Connection, bindparam, select, update

from shared import clock, counters, crash, db, events, logs, measures, signing
from shared import models as m
from shared.batcher import Batcher
from shared.db import Database
from shared.ledger import Book
from shared.settings import settings
from workers.outbound import Answer, post

log = logging.getLogger(__name__)

#: Pauses in seconds after the first, second, … failed attempt; the sum is about three days.
SCHEDULE: Final = (5, 30, 300, 1800, 7200, 18_000, 36_000, 57_600, 64_800, 72_000)
#: A pause is stretched by up to this part of itself, so that a receiver that comes back is not met by all at once.
JITTER: Final = 0.2
#: For how long a claimed delivery is its sender's: it may wait for room, but its send (15 s at most) and the record
#: of it must fit in the end of that, or it is left to be claimed anew.
CLAIM_SECONDS: Final = 40
SEND_SECONDS: Final = 20
#: Sends under way at once in this process, and to one webhook, by how quickly it answered last. A slow receiver holds
#: up only itself: what waits for it waits in a list of its own, nearly all of it unclaimed.
MOST_SENDING: Final = 400
MOST_SENDING_EACH: Final = 16
MOST_SENDING_SLOW: Final = 4
SLOW_SECONDS: Final = 2.0
#: Ids that wait in this process for one webhook, and for all; what is beyond that the sweeper rings again.
MOST_WAITING_EACH: Final = 4096
MOST_WAITING: Final = 50_000


@dataclass(slots=True, eq=False)
class _Line:
    """One webhook's deliveries in this process: waiting (ids), then claimed (rows), then being sent."""

    waiting: OrderedDict[str, None] = field(default_factory=OrderedDict)
    claimed: deque[dict[str, Any]] = field(default_factory=deque)
    sending: set["asyncio.Task[None]"] = field(default_factory=set)
    most: int = MOST_SENDING_EACH

    def wanted(self) -> list[str]:
        """The next ids to claim, so that there is always as much claimed as half of what may be sent at once."""
        if len(self.claimed) > self.most // 2:
            return []
        return [self.waiting.popitem(last=False)[0] for _ in range(min(len(self.waiting), self.most))]


class Sender:
    """The deliveries of one process, on its event loop: a line of ids for each webhook, served a handful at a time."""

    def __init__(self, database: Database, client: httpx.AsyncClient) -> None:
        self._database = database
        self._client = client
        self._room = asyncio.Semaphore(MOST_SENDING)
        self._lines: dict[str, _Line] = {}
        self._sort: Batcher[list[str], None] = Batcher(self._sorted, most=1000)
        self._claim: Batcher[list[str], list[dict[str, Any]]] = Batcher(self._claims, most=1000)
        self._record: Batcher[dict[str, Any], None] = Batcher(self._flush, most=200)
        self._leave: Batcher[str, None] = Batcher(self._left)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def offer(self, ids: Sequence[str]) -> None:
        """Deliver these, if they are due and nobody else's."""
        if not self._stopping:
            self._keep(self._sort(list(ids), weight=len(ids)))

    async def stop(self) -> None:
        """Let the sends under way end; what was not sent stays due."""
        self._stopping = True
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def _keep(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_failure)
        return task

    async def _sorted(self, groups: Sequence[list[str]]) -> Sequence[None]:
        """Put ids in their webhooks' lines, and serve the lines that nobody serves yet."""
        offered = [id for ids in groups for id in ids]
        due = await self._database.read(webhooks_of, offered)
        room = max(0, MOST_WAITING - sum(len(line.waiting) for line in self._lines.values()))
        for id, webhook_id in due[:room]:
            line = self._lines.get(webhook_id)
            if line is None:
                line = self._lines[webhook_id] = _Line()
                self._keep(self._serve(webhook_id, line))
            if len(line.waiting) < MOST_WAITING_EACH:
                line.waiting[id] = None
        return [None] * len(groups)

    async def _serve(self, webhook_id: str, line: _Line) -> None:
        """Claim and send until the webhook's line is empty, as many at once as it may have."""
        try:
            await asyncio.sleep(0)
            while (line.waiting or line.claimed or line.sending) and not self._stopping:
                if ids := line.wanted():
                    line.claimed.extend(await self._claim(ids, weight=len(ids)))
                    crash.point("deliver.after_claim")
                while line.claimed and len(line.sending) < line.most:
                    line.sending.add(self._keep(self._send(line, line.claimed.popleft())))
                if line.sending:
                    await asyncio.wait(line.sending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._lines[webhook_id]
            for row in line.claimed:
                self._keep(self._leave(row["delivery_id"]))

    async def _send(self, line: _Line, row: dict[str, Any]) -> None:
        """Send one, and have what came of it recorded; the next is sent meanwhile."""
        try:
            async with self._room:
                if self._stopping or clock.now_micros() > row["claimed_until"] - SEND_SECONDS * clock.MICROS:
                    await self._leave(row["delivery_id"])
                    return
                answer = await self._post(row)
        finally:
            line.sending.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        line.most = MOST_SENDING_EACH if answer.seconds < SLOW_SECONDS else MOST_SENDING_SLOW
        crash.point("deliver.after_send")
        self._keep(self._recorded(row, answer))

    async def _recorded(self, row: dict[str, Any], answer: Answer) -> None:
        await self._record({**_result(row, answer), "row": row})
        crash.point("deliver.after_record")

    async def _post(self, row: Mapping[str, Any]) -> Answer:
        body = orjson.dumps(events.body(row))
        now = clock.now_micros()
        secrets = [row["secret"]]
        if row["previous_secret"] and (row["previous_until"] or 0) > now:
            secrets.append(row["previous_secret"])
        signed = signing.headers(row["id"], body, now // clock.MICROS, secrets)
        return await post(self._client, row["url"], body=body, headers={"content-type": "application/json", **signed})

    async def _claims(self, groups: Sequence[list[str]]) -> Sequence[list[dict[str, Any]]]:
        rows = await self._database.write(claim, [id for ids in groups for id in ids])
        by_id = {row["delivery_id"]: row for row in rows}
        return [[by_id.pop(id) for id in ids if id in by_id] for ids in groups]

    async def _left(self, ids: Sequence[str]) -> Sequence[None]:
        await self._database.write(leave, ids)
        return [None] * len(ids)

    async def _flush(self, results: Sequence[dict[str, Any]]) -> Sequence[None]:
        await self._database.write(record, results)
        return [None] * len(results)


def webhooks_of(connection: Connection, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Which webhooks these deliveries are for, of those that are due."""
    statement = select(m.deliveries.c.id, m.deliveries.c.webhook_id).where(
        m.deliveries.c.id.in_(ids), m.deliveries.c.status == "pending", m.deliveries.c.next_at <= db.now(connection)
    )
    return [(row.id, row.webhook_id) for row in connection.execute(statement.order_by(m.deliveries.c.id))]


def claim(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Move `next_at` past the send for those that are due, and load what is to be sent, and where.

    Those of a webhook that has been deleted or disabled meanwhile end here.
    """
    now = db.now(connection)
    until = now + CLAIM_SECONDS * clock.MICROS
    statement = (
        update(m.deliveries)
        .where(m.deliveries.c.id.in_(ids), m.deliveries.c.status == "pending", m.deliveries.c.next_at <= now)
        .values(next_at=until, attempts=m.deliveries.c.attempts + 1)
        .returning(m.deliveries.c.id)
    )
    claimed = [row.id for row in connection.execute(statement)]
    rows = [dict(row) for row in connection.execute(_LOAD, {"claimed": claimed}).mappings()] if claimed else []
    closed = [row["delivery_id"] for row in rows if row["hook_status"] != "enabled"]
    if closed:
        ended = update(m.deliveries).where(m.deliveries.c.id.in_(closed), m.deliveries.c.status == "pending")
        connection.execute(ended.values(status="failed", last_error="the webhook is no longer enabled"))
    return [{**row, "claimed_until": until} for row in rows if row["hook_status"] == "enabled"]


_LOAD = (
    select(m.events, m.deliveries.c.id.label("delivery_id"), m.deliveries.c.webhook_id, m.deliveries.c.attempts)
    .add_columns(*(m.webhooks.c[name] for name in ("url", "secret", "previous_secret", "previous_until")))
    .add_columns(m.webhooks.c.status.label("hook_status"))
    .join_from(m.deliveries, m.events, m.events.c.id == m.deliveries.c.event_id)
    .join(m.webhooks, m.webhooks.c.id == m.deliveries.c.webhook_id)
    .where(m.deliveries.c.id.in_(bindparam("claimed", expanding=True)))
    .order_by(m.events.c.account_id, m.events.c.sequence)
)


def leave(connection: Connection, ids: Sequence[str]) -> None:
    """Give up the claim of deliveries that were not sent after all: they are due, and were not attempted."""
    mine = update(m.deliveries).where(m.deliveries.c.id.in_(ids), m.deliveries.c.status == "pending")
    connection.execute(mine.values(next_at=0, attempts=m.deliveries.c.attempts - 1))


def record(connection: Connection, results: Sequence[Mapping[str, Any]]) -> None:
    """Write what came of sends; a webhook whose receiver says 410 is disabled, and its account told."""
    standing = _standing(connection, results)
    outcomes = Counter(_OUTCOMES[one["status"]] for one in standing)
    if standing:
        connection.execute(_RECORD, [{key: value for key, value in one.items() if key != "row"} for one in standing])
    for one in results:
        if one["last_status"] == 410:
            _disable(connection, one["row"])
    counters.add(connection, {measures.key("webhook_deliveries", name): count for name, count in outcomes.items()})


_OUTCOMES: Final = {"delivered": "delivered", "pending": "retried", "failed": "failed"}


def _standing(connection: Connection, results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those whose claim still stands: not recorded before an ambiguous COMMIT, nor asked for anew during the send."""
    statement = select(m.deliveries.c.id, m.deliveries.c.next_at).where(
        m.deliveries.c.id.in_([one["b_id"] for one in results]), m.deliveries.c.status == "pending"
    )
    claims = {
        row.id: row.next_at for row in connection.execute(statement.order_by(m.deliveries.c.id).with_for_update())
    }
    return [one for one in results if claims.get(one["b_id"]) == one["row"]["claimed_until"]]


_RECORD = (
    update(m.deliveries)
    .where(m.deliveries.c.id == bindparam("b_id"), m.deliveries.c.status == "pending")
    .values({name: bindparam(name) for name in ("status", "next_at", "last_status", "last_error", "delivered_at")})
)


def pause_seconds(attempts: int, jitter: float) -> float | None:
    """The pause after the `attempts`-th failed attempt; None when that was the last. `jitter` is random, 0–1.

    >>> pause_seconds(1, 0.0), pause_seconds(len(SCHEDULE) + 1, 0.0)
    (5.0, None)
    """
    if attempts > len(SCHEDULE):
        return None
    return SCHEDULE[attempts - 1] * (1 + JITTER * jitter)


def _result(row: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    now = clock.now_micros()
    seen = {"b_id": row["delivery_id"], "last_status": answer.status, "last_error": answer.detail, "next_at": now}
    if answer.status is not None and 200 <= answer.status < 300:
        return {**seen, "status": "delivered", "delivered_at": now, "last_error": None}
    error = answer.detail or f"the receiver answered {answer.status}"
    pause = None if answer.status == 410 else pause_seconds(row["attempts"], random.random())
    if pause is None:
        return {**seen, "status": "failed", "delivered_at": None, "last_error": error}
    due = now + int(pause * settings().webhook_pace * clock.MICROS)
    return {**seen, "status": "pending", "next_at": due, "delivered_at": None, "last_error": error}


def _disable(connection: Connection, row: Mapping[str, Any]) -> None:
    enabled = update(m.webhooks).where(m.webhooks.c.id == row["webhook_id"], m.webhooks.c.status == "enabled")
    if not connection.execute(enabled.values(status="disabled")).rowcount:
        return
    waiting = update(m.deliveries).where(
        m.deliveries.c.webhook_id == row["webhook_id"], m.deliveries.c.status == "pending"
    )
    connection.execute(waiting.values(status="failed", last_error="the webhook was disabled"))
    book = Book(connection, [row["account_id"]])
    data = {"webhook": {"id": row["webhook_id"], "url": row["url"]}, "reason": "the receiver answered 410"}
    book.emit(row["account_id"], "webhook.disabled", data)
    book.close()


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.warning("deliveries are left for later: %s", logs.kind(error))
