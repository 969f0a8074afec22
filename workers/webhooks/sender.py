"""Sends events to webhooks: claim -> sign and send -> record, each delivery retried from its row for about three days.

At least once: the event id is the receiver's key against doubles. A receiver that hangs, fails or is busy holds up
itself: it gets fewer sends at once, one after the other, and what waits for it waits unclaimed.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared import clock, crash
from shared.background import BackgroundTasks
from shared.db import Database
from shared.db.batcher import Batcher
from shared.slices import slices
from shared.webhooks import events
from workers.webhooks import addressees
from workers.webhooks.claims import Due, claim, postpone, release, webhooks_of
from workers.webhooks.client import SendResult, WebhookClient
from workers.webhooks.due import LEAST, due_of
from workers.webhooks.lines import DeliveryLine
from workers.webhooks.receivers import ReceiverStates
from workers.webhooks.results import busy_seconds, give_up_disabled, record, result
from workers.webhooks.send_slots import SendSlot, SendSlots
from workers.webhooks.sending import send

log = logging.getLogger(__name__)

#: A claimed delivery is sent within so many seconds or left: its webhook may have been changed or deleted since.
CLAIMED_SECONDS: Final = 5.0
#: Deliveries that are claimed ahead of their sends, of all webhooks; and of one, however many there are.
MOST_CLAIMED: Final = 600
LEAST_CLAIMED: Final = 8
#: Deliveries that wait here, of receivers that answer, with which there is still little to send.
SPARE: Final = 100
#: Deliveries of a busy receiver that are put off in one transaction.
PUT_OFF_EACH: Final = 500
#: Deliveries of a webhook that are looked for at once, when its line is empty and more of it may be due.
MORE_EACH: Final = 512
#: Ids that wait in this process for one webhook, and for all; what is beyond that is looked for later.
MOST_WAITING_EACH: Final = 4096
MOST_WAITING: Final = 50_000


class Sender:
    """The deliveries of one process, on its event loop: a line of ids for each webhook, served in turn."""

    def __init__(self, database: Database, client: WebhookClient) -> None:
        self._database = database
        self._client = client
        self._slots = SendSlots()
        self._receivers = ReceiverStates()
        self._lines: dict[str, DeliveryLine] = {}
        #: The lines of all ids that wait.
        self._waiting: dict[str, DeliveryLine] = {}
        self._sort: Batcher[list[str], None] = Batcher(self._sorted, most=1000)
        self._claim: Batcher[list[str], list[dict[str, Any]]] = Batcher(self._claims, most=1000)
        self._record: Batcher[dict[str, Any], None] = Batcher(self._flush, most=200)
        self._release: Batcher[tuple[str, int], None] = Batcher(self._released)
        self._tasks = BackgroundTasks(log, "webhook deliveries could not be claimed or recorded yet: %s")
        self._stopping = False
        #: Ids that were taken and are not in a line yet.
        self._sorting = 0

    def offer(self, ids: Sequence[str]) -> None:
        """Deliver these, if they are due and nobody else's."""
        if not self._stopping:
            self._tasks.start(self._sort(list(ids), weight=len(ids)))

    def take(self, ids: Sequence[str]) -> Sequence[str]:
        """Deliver these at once as far as there is little to send here, without a doorbell; those that are left.

        What waits for receivers that do not answer is no reason to leave them.
        """
        waiting = sum(len(line.waiting) for line in self._lines.values() if line.receiver.kind in ("quick", "fresh"))
        spare = 0 if self._stopping else max(0, SPARE - waiting - self._sorting)
        if taken := ids[:spare]:
            self._sorting += len(taken)
            self._tasks.start(self._taken(taken))
        return ids[spare:]

    async def _taken(self, ids: Sequence[str]) -> None:
        try:
            await self._sort(list(ids), weight=len(ids))
        finally:
            self._sorting -= len(ids)

    async def stop(self) -> None:
        """Let the sends under way end; what was not sent stays due."""
        self._stopping = True
        for line in self._lines.values():
            line.wake()
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _sorted(self, groups: Sequence[list[str]]) -> Sequence[None]:
        """Put ids in their webhooks' lines, and serve the lines that nobody serves yet.

        Those that wait here already are not looked up: the sweeper rings again for what receivers keep waiting.
        """
        offered = dict.fromkeys(id for ids in groups for id in ids)
        for line, count in Counter(self._waiting[id] for id in offered if id in self._waiting).items():
            line.more = line.more or count >= LEAST
        fresh = [id for id in offered if id not in self._waiting]
        due = await self._database.read(webhooks_of, fresh) if fresh else []
        if closed := [row.id for row in due if not row.open]:
            self._tasks.start(self._put_off(closed))
        room = max(0, MOST_WAITING - len(self._waiting))
        counts: Counter[str] = Counter()
        for number, one in enumerate(row for row in due if row.open):
            line = self._lines.get(one.line) or self._begun(one)
            fits = number < room and len(line.waiting) < MOST_WAITING_EACH
            if fits:
                line.put(one.id)
            counts[one.line] += 1
            line.more = line.more or not fits or one.again or counts[one.line] >= LEAST
        for line in {self._waiting[id] for id in offered if id in self._waiting}:
            if crowd := line.crowd():
                self._tasks.start(self._postpone(crowd))
        return [None] * len(groups)

    async def _postpone(self, ids: Sequence[str]) -> None:
        for some in slices(ids, PUT_OFF_EACH):
            await self._database.write(postpone, some)

    def _begun(self, one: Due) -> DeliveryLine:
        """A new line, which is served from now on."""
        receiver = self._receivers.of(one.line, one.account_id, addressees.place(one.line, one.url))
        line = self._lines[one.line] = DeliveryLine(
            receiver, one.webhook_id, self._waiting, shares=one.line != one.webhook_id
        )
        self._tasks.start(self._serve(one.line, line))
        return line

    async def _put_off(self, ids: Sequence[str]) -> None:
        """Have those end or wait on whose webhook is not sent to now, which a claim sees to."""
        for row in await self._claim(list(ids), weight=len(ids)):  # it is sent to after all: they stay due
            self._tasks.start(self._give_back(row))

    async def _serve(self, name: str, line: DeliveryLine) -> None:
        """Send until the webhook's line is empty, and nothing more of it is due."""
        try:
            await asyncio.sleep(0)
            await self._send_all(line)
            while line.more and not self._stopping:
                line.more = False
                if ids := await self._database.read(due_of, line.webhook_id, MORE_EACH):
                    await self._sort(ids, weight=len(ids))
                if line.over:  # another process has them, or there is no room for them here
                    break
                await self._send_all(line)
        finally:
            del self._lines[name]
            line.taken(len(line.waiting))
            self._give_all_back(line)

    async def _send_all(self, line: DeliveryLine) -> None:
        """Send what is in the line, as many at once as its webhook may have; the next as soon as one ends."""
        while not (line.over or self._stopping):
            if line.quick and line.claiming is None:
                line.share = self._share()
            if line.may_claim:
                line.claiming = self._tasks.start(self._claimed(line))
            if not line.may_send:
                await line.changed()
            elif (rest := line.receiver.rest_until - clock.monotonic()) > 0:
                await asyncio.sleep(rest)
            else:
                await self._next(line)

    def _share(self) -> int:
        """What a line may claim ahead: its part of what this process can send within a claim's time.

        Lines that are not claimed ahead take no part: with a hundred receivers that never answer, each transaction of
        one that does would else be for eight of its deliveries.
        """
        ahead = sum(1 for line in self._lines.values() if line.quick)
        return max(LEAST_CLAIMED, MOST_CLAIMED // max(1, ahead))

    async def _next(self, line: DeliveryLine) -> None:
        """Take a slot and begin one send, of what is still to be sent by then."""
        slot = await self._slots.enter(line.receiver)
        try:
            if not (line.claimed or line.busy or self._stopping):
                await self._claimed(line)
        except BaseException:
            self._slots.release(slot)
            raise
        if line.claimed and line.may_send and not self._stopping:
            line.sending += 1
            self._tasks.start(self._send(line, line.claimed.popleft(), slot))
        else:
            self._slots.release(slot)

    async def _claimed(self, line: DeliveryLine) -> None:
        """Claim what is wanted of the line; what came too late to be sent is given back."""
        try:
            ids = line.wanted()
            line.claimed.extend(await self._claim(ids, weight=len(ids)) if ids else ())
            crash.point("deliver.after_claim")
            if line.busy or self._stopping:
                self._give_all_back(line)
        finally:
            line.claiming = None
            line.wake()

    def _give_all_back(self, line: DeliveryLine) -> None:
        """What is claimed of the line is not sent after all."""
        for row in line.claimed:
            self._tasks.start(self._give_back(row))
        line.claimed.clear()

    async def _send(self, line: DeliveryLine, row: dict[str, Any], slot: SendSlot) -> None:
        """Send one, and record what came of it; the next is sent meanwhile, unless the receiver is busy."""
        try:
            answer = await self._sent(line, row, slot)
            if answer is None:
                await self._give_back(row)
                line.more = True
                return
            if busy_seconds(answer):
                await self._held(line, row, answer)
                return
        finally:
            line.sending -= 1
            line.wake()
        await self._recorded(row, answer)

    async def _sent(self, line: DeliveryLine, row: dict[str, Any], slot: SendSlot) -> SendResult | None:
        """What came of sending one; None: it has been claimed for too long, and is not sent."""
        try:
            if clock.monotonic() > row["send_by"]:
                return None
            answer = await send(self._client, row, slot, lambda: self._slots.move_to_slow(slot, line.receiver))
        finally:
            self._slots.release(slot)
        line.receiver.learn(answer)
        crash.point("deliver.after_send")
        return answer

    async def _held(self, line: DeliveryLine, row: dict[str, Any], answer: SendResult) -> None:
        """The receiver is busy: nothing is sent before that is recorded; then what waits here waits on in its rows."""
        line.busy += 1
        try:
            self._give_all_back(line)
            await self._recorded(row, answer)
            while line.waiting and not self._stopping:
                await self._put_off(line.taken(PUT_OFF_EACH))
        finally:
            line.busy -= 1

    async def _recorded(self, row: dict[str, Any], answer: SendResult) -> None:
        await self._record(result(row, answer))
        crash.point("deliver.after_record")
        if answer.status == 410:
            while await self._database.write(give_up_disabled, row["webhook_id"]) == events.CHUNK:
                pass

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
