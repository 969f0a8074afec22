"""A webhook's deliveries in one process, in their order: waiting (ids), then claimed (rows), then being sent."""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, Final

from workers.connections.waiter import Waiter
from workers.webhooks.receivers import ReceiverState

#: Only of webhooks that may have more sends at once than this is anything claimed before there is a place for it: while
#: others are sent, and for so many rounds of sends, so that sending does not wait for the database.
CLAIM_AHEAD: Final = 4
CLAIMED_ROUNDS: Final = 2
#: Of callbacks to a host that does not answer so many stay due: what is due of an account's callbacks is found in one
#: order, whichever their host, so that more of them would keep those to other hosts from being found.
FEW_DUE: Final = 32


@dataclass(slots=True, eq=False)
class DeliveryLine:
    """One webhook's. Whatever changes it says so (`wake`); who serves it waits for that (`changed`)."""

    receiver: ReceiverState
    #: As deliveries name it.
    webhook_id: str
    #: Where the process finds the line of an id that waits.
    where: dict[str, "DeliveryLine"] = field(default_factory=dict)
    waiting: OrderedDict[str, None] = field(default_factory=OrderedDict)
    claimed: deque[dict[str, Any]] = field(default_factory=deque)
    #: It is of callbacks to one host: its account's to other hosts are found among the same.
    shares: bool = False
    #: Sends under way.
    sending: int = 0
    #: The claim that is under way beside the sends.
    claiming: "asyncio.Task[None] | None" = None
    #: Answers by which its receiver is busy, and which are being recorded: until then nothing is sent.
    busy: int = 0
    #: Its webhook may have more that is due than was offered: whoever serves the line looks when it is empty.
    more: bool = False
    #: The most that is claimed ahead of it: its part of what this process can send within a claim's time.
    share: int = 1000
    _waiter: Waiter = field(default_factory=Waiter)

    @property
    def quick(self) -> bool:
        """It is claimed ahead of its sends."""
        return self.receiver.most > CLAIM_AHEAD

    @property
    def over(self) -> bool:
        """Nothing of it is left here."""
        return not (self.waiting or self.claimed or self.sending or self.claiming)

    @property
    def may_send(self) -> bool:
        """Another send is due, as far as the receiver is concerned."""
        ready = self.claimed or (self.waiting and not self.quick and self.claiming is None)
        return bool(ready) and self.sending < self.receiver.most and not self.busy

    @property
    def may_claim(self) -> bool:
        """More is to be claimed beside the sends, before what is claimed has run out."""
        enough = len(self.claimed) > self._ahead // 2
        return self.quick and self.claiming is None and bool(self.waiting) and not enough and not self.busy

    def wanted(self) -> list[str]:
        """The next ids to claim: of a quick one for some rounds, of another one for the send that is to begin."""
        most = self._ahead if self.quick else 1
        number = max(0, min(len(self.waiting), most - len(self.claimed)))
        return self.taken(number)

    def put(self, id: str) -> None:
        """One more waits."""
        self.waiting[id] = None
        self.where[id] = self
        self.wake()

    def taken(self, number: int) -> list[str]:
        """The first so many, which do not wait here any more."""
        ids = [self.waiting.popitem(last=False)[0] for _ in range(min(number, len(self.waiting)))]
        for id in ids:
            del self.where[id]
        return ids

    def crowd(self) -> list[str]:
        """What is too many, the last first, which does not wait here any more: it is to be put off.

        Nothing before a send has come to nothing: a host that is not known yet counts as silent while its first answer
        takes a moment, and what were put off then would come minutes late.
        """
        over = len(self.waiting) - FEW_DUE
        if not self.shares or self.receiver.kind != "silent" or not self.receiver.failures or over <= 0:
            return []
        ids = [self.waiting.popitem()[0] for _ in range(over)]
        for id in ids:
            del self.where[id]
        return ids

    @property
    def _ahead(self) -> int:
        return min(CLAIMED_ROUNDS * self.receiver.most, self.share)

    async def changed(self) -> None:
        """Wait until something may have changed."""
        await self._waiter.wait()

    def wake(self) -> None:
        """Something has changed."""
        self._waiter.wake()
