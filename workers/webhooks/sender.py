"""Sends events to webhooks: claim -> sign and send -> record, each delivery retried from its row for about three days.

At least once: the event id is the receiver's key against doubles. A receiver that hangs, fails or is busy holds up
itself: it gets fewer sends at once, one after the other, and what waits for it waits unclaimed.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx
import orjson

from shared import clock, crash, logs
from shared.background import BackgroundTasks
from shared.db import Database
from shared.db.batcher import Batcher
from shared.objects.events import event_object
from shared.settings import settings
from shared.webhooks import events, signing
from workers.webhooks.claims import claim, release, webhooks_of
from workers.webhooks.client import SendResult, post
from workers.webhooks.results import busy_seconds, give_up_disabled, record, result
from workers.webhooks.send_slots import SLOW_SECONDS, ReceiverState, ReceiverStates, SendSlot, SendSlots

log = logging.getLogger(__name__)

#: A claimed delivery is sent within so many seconds or left: its webhook may have been changed or deleted since.
CLAIMED_SECONDS: Final = 5.0
#: Only of webhooks that may have more sends at once than this is anything claimed before there is a place for it: while
#: others are sent, and for so many rounds of sends, so that sending does not wait for the database.
CLAIM_AHEAD: Final = 4
CLAIMED_ROUNDS: Final = 4
#: Deliveries of a busy receiver that are put off in one transaction.
PUT_OFF_EACH: Final = 500
#: Ids that wait in this process for one webhook, and for all; what is beyond that the sweeper rings again.
MOST_WAITING_EACH: Final = 4096
MOST_WAITING: Final = 50_000


@dataclass(slots=True, eq=False)
class _Line:
    """One webhook's deliveries in this process: waiting (ids), then claimed (rows), then being sent."""

    receiver: ReceiverState
    waiting: OrderedDict[str, None] = field(default_factory=OrderedDict)
    claimed: deque[dict[str, Any]] = field(default_factory=deque)
    sending: set["asyncio.Task[None]"] = field(default_factory=set)
    #: The claim that is under way beside the sends.
    claiming: "asyncio.Task[None] | None" = None
    #: Answers by which its receiver is busy, and which are being recorded: until then nothing is sent.
    busy: int = 0

    @property
    def quick(self) -> bool:
        """It is claimed ahead of its sends."""
        return self.receiver.most > CLAIM_AHEAD

    @property
    def may_send(self) -> bool:
        ready = self.claimed or (self.waiting and not self.quick and self.claiming is None)
        return bool(ready) and len(self.sending) < self.receiver.most and not self.busy

    @property
    def may_claim(self) -> bool:
        """More is to be claimed beside the sends, before what is claimed has run out."""
        enough = len(self.claimed) > CLAIMED_ROUNDS * self.receiver.most // 2
        return self.quick and self.claiming is None and bool(self.waiting) and not enough and not self.busy

    def wanted(self) -> list[str]:
        """The next ids to claim: of a quick one for some rounds, of another one for the send that is to begin."""
        most = CLAIMED_ROUNDS * self.receiver.most if self.quick else 1
        number = max(0, min(len(self.waiting), most - len(self.claimed)))
        return [self.waiting.popitem(last=False)[0] for _ in range(number)]


class Sender:
    """The deliveries of one process, on its event loop: a line of ids for each webhook, served in turn."""

    def __init__(self, database: Database, client: httpx.AsyncClient) -> None:
        self._database = database
        self._client = client
        self._slots = SendSlots()
        self._receivers = ReceiverStates()
        self._lines: dict[str, _Line] = {}
        self._sort: Batcher[list[str], None] = Batcher(self._sorted, most=1000)
        self._claim: Batcher[list[str], list[dict[str, Any]]] = Batcher(self._claims, most=1000)
        self._record: Batcher[dict[str, Any], None] = Batcher(self._flush, most=200)
        self._release: Batcher[tuple[str, int], None] = Batcher(self._released)
        self._tasks = BackgroundTasks(log, "webhook deliveries could not be claimed or recorded yet: %s")
        self._stopping = False

    def offer(self, ids: Sequence[str]) -> None:
        """Deliver these, if they are due and nobody else's."""
        if not self._stopping:
            self._tasks.start(self._sort(list(ids), weight=len(ids)))

    async def stop(self) -> None:
        """Let the sends under way end; what was not sent stays due."""
        self._stopping = True
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _sorted(self, groups: Sequence[list[str]]) -> Sequence[None]:
        """Put ids in their webhooks' lines, and serve the lines that nobody serves yet."""
        offered = [id for ids in groups for id in ids]
        due = await self._database.read(webhooks_of, offered)
        if closed := [row.id for row in due if not row.open]:
            self._tasks.start(self._put_off(closed))
        room = max(0, MOST_WAITING - sum(len(line.waiting) for line in self._lines.values()))
        for id, webhook_id, account_id, url, _ in [row for row in due if row.open][:room]:
            line = self._lines.get(webhook_id)
            if line is None:
                line = self._lines[webhook_id] = _Line(self._receivers.of(webhook_id, account_id, url))
                self._tasks.start(self._serve(webhook_id, line))
            if len(line.waiting) < MOST_WAITING_EACH:
                line.waiting[id] = None
        return [None] * len(groups)

    async def _put_off(self, ids: Sequence[str]) -> None:
        """Have those end or wait on whose webhook is not sent to now, which a claim sees to."""
        for row in await self._claim(list(ids), weight=len(ids)):  # it is sent to after all: they stay due
            self._tasks.start(self._give_back(row))

    async def _serve(self, webhook_id: str, line: _Line) -> None:
        """Send until the webhook's line is empty, as many at once as it may have; the next as soon as one ends."""
        try:
            await asyncio.sleep(0)
            while (line.waiting or line.claimed or line.sending or line.claiming) and not self._stopping:
                if line.may_claim:
                    line.claiming = self._tasks.start(self._claimed(line))
                if not line.may_send:
                    under_way = {*line.sending, *filter(None, [line.claiming])}
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                elif (rest := line.receiver.rest_until - clock.monotonic()) > 0:
                    await asyncio.sleep(rest)
                else:
                    await self._next(line)
        finally:
            del self._lines[webhook_id]
            self._give_all_back(line)

    async def _next(self, line: _Line) -> None:
        """Take a slot and begin one send, of what is still to be sent by then."""
        slot = await self._slots.enter(line.receiver)
        try:
            if not (line.claimed or line.busy or self._stopping):
                await self._claimed(line)
        except BaseException:
            self._slots.release(slot)
            raise
        if line.claimed and line.may_send and not self._stopping:
            line.sending.add(self._tasks.start(self._send(line, line.claimed.popleft(), slot)))
        else:
            self._slots.release(slot)

    async def _claimed(self, line: _Line) -> None:
        """Claim what is wanted of the line; what came too late to be sent is given back."""
        try:
            ids = line.wanted()
            line.claimed.extend(await self._claim(ids, weight=len(ids)) if ids else ())
            crash.point("deliver.after_claim")
            if line.busy or self._stopping:
                self._give_all_back(line)
        finally:
            line.claiming = None

    def _give_all_back(self, line: _Line) -> None:
        """What is claimed of the line is not sent after all."""
        for row in line.claimed:
            self._tasks.start(self._give_back(row))
        line.claimed.clear()

    async def _send(self, line: _Line, row: dict[str, Any], slot: SendSlot) -> None:
        """One send of the line, until the next may begin in its stead."""
        try:
            await self._sent(line, row, slot)
        finally:
            line.sending.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _sent(self, line: _Line, row: dict[str, Any], slot: SendSlot) -> None:
        """Send one, and have what came of it recorded; the next is sent meanwhile."""
        try:
            if clock.monotonic() > row["send_by"]:
                await self._give_back(row)
                return
            answer = await self._timed(line, row, slot)
        finally:
            self._slots.release(slot)
        line.receiver.learn(answer)
        crash.point("deliver.after_send")
        recorded = self._tasks.start(self._recorded(row, answer))
        if busy_seconds(answer):
            await self._held(line, recorded)

    async def _held(self, line: _Line, recorded: "asyncio.Task[None]") -> None:
        """The receiver is busy: nothing is sent before that is recorded; then what waits here waits on in its rows."""
        line.busy += 1
        try:
            self._give_all_back(line)
            await asyncio.wait([recorded])
            while line.waiting and not self._stopping:
                some = min(len(line.waiting), PUT_OFF_EACH)
                await self._put_off([line.waiting.popitem(last=False)[0] for _ in range(some)])
        finally:
            line.busy -= 1

    async def _timed(self, line: _Line, row: dict[str, Any], slot: SendSlot) -> SendResult:
        """The answer, whatever becomes of the send; while it is waited for it may come to count as a slow one."""
        loop, began = asyncio.get_running_loop(), clock.monotonic()
        patience = SLOW_SECONDS["quick" if slot.kind == "quick" else "fresh"]
        slow = loop.call_later(patience, self._slots.move_to_slow, slot, line.receiver)
        try:
            async with asyncio.timeout(None) as limit:
                slot.cut = lambda: limit.reschedule(loop.time())
                return await self._post(row)
        except TimeoutError:
            seconds = clock.monotonic() - began
            return SendResult(None, b"", seconds, "timeout", f"no response within {seconds:.1f} seconds")
        except Exception as error:  # what is not recorded would be tried for ever
            log.warning("sending a webhook delivery failed: %s", logs.kind(error))
            seconds = clock.monotonic() - began
            return SendResult(None, b"", seconds, "internal", f"sending failed ({type(error).__name__})")
        finally:
            slow.cancel()
            slot.cut = None

    async def _recorded(self, row: dict[str, Any], answer: SendResult) -> None:
        await self._record(result(row, answer))
        crash.point("deliver.after_record")
        if answer.status == 410:
            while await self._database.write(give_up_disabled, row["webhook_id"]) == events.CHUNK:
                pass

    async def _post(self, row: Mapping[str, Any]) -> SendResult:
        body = orjson.dumps(event_object(row))
        signed = signing.headers(row["id"], body, clock.now_seconds(), row["secrets"])
        wanted = {"content-type": "application/json", **signed}
        seconds = settings().webhook_timeout_seconds
        return await post(self._client, row["url"], body=body, headers=wanted, seconds=seconds)

    async def _claims(self, groups: Sequence[list[str]]) -> Sequence[list[dict[str, Any]]]:
        send_by = clock.monotonic() + CLAIMED_SECONDS  # from before the claim, by this machine's own clock
        rows = await self._database.write(claim, [id for ids in groups for id in ids])
        by_id = {row["delivery_id"]: {**row, "send_by": send_by} for row in rows}
        return [[by_id.pop(id) for id in ids if id in by_id] for ids in groups]

    async def _give_back(self, row: Mapping[str, Any]) -> None:
        await self._release((row["delivery_id"], row["claimed_until"]))

    async def _released(self, claims: Sequence[tuple[str, int]]) -> Sequence[None]:
        await self._database.write(release, claims)
        return [None] * len(claims)

    async def _flush(self, results: Sequence[dict[str, Any]]) -> Sequence[None]:
        await self._database.write(record, results)
        return [None] * len(results)
