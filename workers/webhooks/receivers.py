"""What is known of webhooks' receivers from how they have answered: how many sends at once each may have, and when."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from shared import clock
from shared.settings import settings
from workers.webhooks.client import SendResult

#: Answers quickly; not known yet; answers, but late; does not answer.
Kind = Literal["quick", "fresh", "slow", "silent"]

#: A send that takes longer than this is slow from then on. The first of a webhook is not waited for as long, since new
#: ones wait behind it: what answers after that counts as quick all the same, once it has.
SLOW_SECONDS: Final = {"quick": 2.0, "fresh": 0.3}
#: Sends to one webhook at once: of one that is not known yet, the most of any (500 a second that are answered after 20
#: ms need 10 under way, and some that are on their way through this process), the most of one that answers slowly.
FIRST_EACH: Final = 1
MOST_EACH: Final = 32
MOST_SLOW_EACH: Final = 4
#: After so many failures in a row there is a rest before the next send, which doubles up to the longest, in seconds.
FAILURES: Final = 5
FIRST_REST, LONGEST_REST = 0.05, 1.0
#: Webhooks whose receiver are remembered when nothing waits for them.
REMEMBERED: Final = 10_000


@dataclass(slots=True, eq=False)
class ReceiverState:
    """What is known of one webhook's receiver."""

    account_id: str
    url: str
    kind: Kind = "fresh"
    most: int = FIRST_EACH
    failures: int = 0
    rest_until: float = 0.0
    #: Called when `kind` changes: a send that waits among others of the kind before is to wait among the new ones.
    on_change: list[Callable[[], None]] = field(default_factory=list)
    #: Name and port; of an address that cannot be read, the whole of it.
    host: str = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.host = urlsplit(self.url).netloc.lower()
        except ValueError:
            self.host = self.url

    def mark_slow(self) -> None:
        """A send has been under way for long; whatever comes of it."""
        self._become("slow" if self.kind in ("quick", "slow") else "silent")
        self.most = min(self.most, MOST_SLOW_EACH)

    def learn(self, answer: SendResult) -> None:
        """Learn from an answer: as many sends as it bears, twice as many after each good one.

        Half as many after each bad one, and at most a quarter of MOST_EACH.
        """
        slow = answer.seconds >= SLOW_SECONDS["quick"]
        if answer.status is not None:
            self._become("slow" if slow else "quick")
        elif slow:
            self._become("silent")
        if answer.good:
            self.failures = 0
            self.most = min(2 * self.most, MOST_SLOW_EACH if slow else MOST_EACH)
            return
        self.failures += 1
        self.most = 1 if answer.failure == "timeout" else max(1, min(self.most, MOST_EACH // 2) // 2)
        if self.failures >= FAILURES:
            doublings = min(self.failures - FAILURES, 10)
            rest = min(LONGEST_REST, FIRST_REST * 2**doublings) * settings().webhook_pace
            self.rest_until = clock.monotonic() + rest

    def _become(self, kind: Kind) -> None:
        changed, self.kind = kind != self.kind, kind
        for call in self.on_change if changed else ():
            call()


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
