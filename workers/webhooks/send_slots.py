"""Limits how many webhook sends are under way in this process, in all, of each account and to each host.

What is known to answer quickly, what is not yet known, what answers late and what does not answer have slots of their
own, in turn over accounts and hosts (`workers.webhooks.turns`): receivers that hang take slots from each other, not
from the rest.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from shared import clock
from workers.webhooks.receivers import Kind, ReceiverState
from workers.webhooks.turns import DeliveryTurns

#: Sends at once by kind of webhook: all, of one account, to one host.
SHARES: Final[dict[Kind, tuple[int, int, int]]] = {
    "quick": (200, 100, 64),
    "fresh": (100, 25, 25),
    "slow": (100, 25, 25),
    "silent": (100, 25, 25),
}
#: Sends at once that became slow under way. Of more, the oldest is given up: of the account with the most of them, if
#: that has more than a share, else of all.
MOST_SLOW: Final = 400
SLOW_SHARE: Final = 50
#: The most that can be under way.
MOST_SENDING: Final = sum(shares[0] for shares in SHARES.values()) + MOST_SLOW


@dataclass(slots=True, eq=False)
class SendSlot:
    """A slot for one send. `cut` ends the send: others need the slot more."""

    kind: Kind
    account_id: str
    host: str
    began: float
    cut: Callable[[], None] | None = None


class SendSlots:
    """All of them; `enter` before each send, and `release` after it."""

    def __init__(self) -> None:
        self._turns = {kind: DeliveryTurns(*shares) for kind, shares in SHARES.items()}
        #: Those that became slow under way, in this order.
        self._slow: OrderedDict[int, SendSlot] = OrderedDict()

    async def enter(self, receiver: ReceiverState) -> SendSlot:
        """A slot for one send, when it is this webhook's turn: its account's, its host's, and its kind's.

        A receiver that turns out to be of another kind meanwhile waits among those from then on: the first answer of a
        new one is heard while its second send waits among the new ones, of which many may never answer.
        """
        whose = receiver.account_id, receiver.host
        while True:
            kind, turns = receiver.kind, self._turns[receiver.kind]
            if turns.has_room(*whose):
                turns.seize(*whose)
            elif not await self._came(receiver, turns):
                continue
            if receiver.kind == kind:
                return SendSlot(kind, *whose, clock.monotonic())
            turns.give(*whose)

    async def _came(self, receiver: ReceiverState, turns: DeliveryTurns) -> bool:
        """Wait for a turn; False when the receiver became another kind before it came."""
        whose = receiver.account_id, receiver.host
        turn = turns.queue(*whose)
        leave = partial(turns.leave, *whose, turn)
        receiver.on_change.append(leave)
        try:
            return await turns.wait(*whose, turn)
        finally:
            receiver.on_change.remove(leave)

    def move_to_slow(self, slot: SendSlot, receiver: ReceiverState) -> None:
        """A send has been under way for long: it counts as a slow one from now on, even if no slow slot is free."""
        receiver.mark_slow()
        if slot.kind in ("slow", "silent"):
            return
        before, slot.kind = slot.kind, receiver.kind
        self._turns[slot.kind].seize(slot.account_id, slot.host)
        self._turns[before].give(slot.account_id, slot.host)
        self._slow[id(slot)] = slot
        if len(self._slow) > MOST_SLOW:
            one = self._given_up()
            del self._slow[id(one)]
            if one.cut is not None:
                one.cut()

    def has_room(self, receiver: ReceiverState) -> bool:
        """Whether a send to this webhook could begin now."""
        return self._turns[receiver.kind].has_room(receiver.account_id, receiver.host)

    def release(self, slot: SendSlot) -> None:
        """The send is over."""
        self._slow.pop(id(slot), None)
        self._turns[slot.kind].give(slot.account_id, slot.host)

    def _given_up(self) -> SendSlot:
        """The oldest of the account that has by far the most, or of all."""
        account, count = Counter(slot.account_id for slot in self._slow.values()).most_common(1)[0]
        of_it = (slot for slot in self._slow.values() if count <= SLOW_SHARE or slot.account_id == account)
        return next(of_it)
