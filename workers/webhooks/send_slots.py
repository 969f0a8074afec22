"""Limits how many webhook sends are under way in this process, in all and for each webhook.

What is known to answer quickly, what is not yet known and what is slow have slots of their own, and of each
kind an account and a host only a share: receivers that hang take slots from each other, not from the rest.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from shared import clock
from shared.settings import settings
from workers.webhooks.client import SendResult

Kind = Literal["quick", "fresh", "slow"]

#: Sends at once by kind of webhook: all, of one account, to one host.
SHARES: Final[dict[Kind, tuple[int, int, int]]] = {
    "quick": (200, 100, 64),
    "fresh": (100, 25, 25),
    "slow": (100, 25, 25),
}
#: A send that takes longer than this is slow from then on; the first of a webhook are not waited for as long.
SLOW_SECONDS: Final = {"quick": 2.0, "fresh": 1.0}
#: Sends that are slow at once, with those that became so under way; the oldest of more is given up.
MOST_SLOW: Final = 200
#: The most that can be under way.
MOST_SENDING: Final = SHARES["quick"][0] + SHARES["fresh"][0] + MOST_SLOW
#: Sends to one webhook at once: of one that is not known yet, the most of any, the most of one that answers slowly.
FIRST_EACH: Final = 2
MOST_EACH: Final = 16
MOST_SLOW_EACH: Final = 4
#: After so many failures in a row there is a rest before the next send, which doubles up to the longest, in seconds.
FAILURES: Final = 5
FIRST_REST, LONGEST_REST = 0.05, 1.0
#: Webhooks whose receiver are remembered when nothing waits for them.
REMEMBERED: Final = 10_000


@dataclass(slots=True, eq=False)
class Share:
    """So many at once; who waits is served in turn."""

    most: int
    taken: int = 0
    waiting: "deque[asyncio.Future[None]]" = field(default_factory=deque)

    @property
    def idle(self) -> bool:
        return not self.taken and not self.waiting

    async def take(self) -> None:
        """Wait for a place."""
        if self.taken < self.most and not self.waiting:
            self.taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            else:
                self.waiting.remove(turn)
            raise

    def seize(self) -> None:
        """Take one that there may not be: who waits, waits the longer."""
        self.taken += 1

    def give(self) -> None:
        """Leave a place to the next in turn."""
        self.taken -= 1
        while self.waiting and self.taken < self.most:
            turn = self.waiting.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(None)


@dataclass(slots=True, eq=False)
class ReceiverState:
    """What is known of a webhook from how it has answered: how many sends at once it may have, and when."""

    account_id: str
    url: str
    kind: Kind = "fresh"
    most: int = FIRST_EACH
    failures: int = 0
    rest_until: float = 0.0

    @property
    def host(self) -> str:
        """Name and port; of an address that cannot be read, the whole of it."""
        try:
            return urlsplit(self.url).netloc.lower()
        except ValueError:
            return self.url

    def mark_slow(self) -> None:
        """A send has been under way for long; whatever comes of it."""
        self.kind = "slow"
        self.most = min(self.most, MOST_SLOW_EACH)

    def learn(self, answer: SendResult) -> None:
        """Learn from an answer: as many sends as it bears, twice as many after each good one, half after each bad."""
        slow = answer.seconds >= SLOW_SECONDS["quick"]
        if answer.status is not None or slow:
            self.kind = "slow" if slow else "quick"
        if answer.status is not None and 200 <= answer.status < 300:
            self.failures = 0
            self.most = min(2 * self.most, MOST_SLOW_EACH if slow else MOST_EACH)
            return
        self.failures += 1
        self.most = 1 if answer.failure == "timeout" else max(1, self.most // 2)
        if self.failures >= FAILURES:
            doublings = min(self.failures - FAILURES, 10)
            rest = min(LONGEST_REST, FIRST_REST * 2**doublings) * settings().webhook_pace
            self.rest_until = clock.monotonic() + rest


class ReceiverStates:
    """The states of many webhooks, also of those for which nothing waits; the longest unused are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, ReceiverState] = OrderedDict()

    def of(self, webhook_id: str, account_id: str, url: str) -> ReceiverState:
        """What is known; of another address than before, nothing."""
        receiver = self._known.get(webhook_id)
        if receiver is None or receiver.url != url:
            receiver = self._known[webhook_id] = ReceiverState(account_id, url)
        self._known.move_to_end(webhook_id)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return receiver


@dataclass(slots=True, eq=False)
class SendSlot:
    """A slot for one send. `cut` ends the send: others need the slot more."""

    kind: Kind
    shares: tuple[Share, ...]
    began: float
    cut: Callable[[], None] | None = None


class SendSlots:
    """All of them; `enter` before each send, and `release` after it."""

    def __init__(self) -> None:
        self._all = {kind: Share(shares[0]) for kind, shares in SHARES.items()}
        self._shares: dict[tuple[Kind, str], Share] = {}
        self._slow: OrderedDict[int, SendSlot] = OrderedDict()

    async def enter(self, receiver: ReceiverState) -> SendSlot:
        """A slot for one send, when it is this webhook's turn: its host's, its account's, and its kind's."""
        while True:
            kind = receiver.kind
            shares = self._shares_of(kind, receiver)
            taken: list[Share] = []
            try:
                for one in shares:
                    await one.take()
                    taken.append(one)
            except asyncio.CancelledError:
                self._give(taken)
                raise
            slot = SendSlot(kind, shares, clock.monotonic())
            if receiver.kind == kind:
                if kind == "slow":
                    self._slow[id(slot)] = slot
                return slot
            self._give(taken)

    def move_to_slow(self, slot: SendSlot, receiver: ReceiverState) -> None:
        """Its send has been under way for long: it goes over to the slow ones, even when they have no slot free."""
        receiver.mark_slow()
        if slot.kind == "slow":
            return
        before, slot.kind, slot.shares = slot.shares, "slow", self._shares_of("slow", receiver)
        for one in slot.shares:
            one.seize()
        self._give(before)
        self._slow[id(slot)] = slot
        if len(self._slow) > MOST_SLOW:
            _, oldest = self._slow.popitem(last=False)
            if oldest.cut is not None:
                oldest.cut()

    def release(self, slot: SendSlot) -> None:
        """The send is over."""
        self._slow.pop(id(slot), None)
        self._give(slot.shares)

    def _shares_of(self, kind: Kind, receiver: ReceiverState) -> tuple[Share, ...]:
        _, account, host = SHARES[kind]
        named = ((f"host {receiver.host}", host), (f"account {receiver.account_id}", account))
        shares = [self._shares.setdefault((kind, name), Share(most)) for name, most in named]
        return (*shares, self._all[kind])

    def _give(self, shares: "tuple[Share, ...] | list[Share]") -> None:
        for one in shares:
            one.give()
        if len(self._shares) > REMEMBERED:
            self._shares = {name: one for name, one in self._shares.items() if not one.idle}
