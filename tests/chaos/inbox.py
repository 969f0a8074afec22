"""A receiver that verifies each delivery as it comes, by both conventions, and counts every event's arrivals."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from standardwebhooks.webhooks import Webhook

from shared import clock
from shared.webhooks import signing
from tests.receiver import Answer, Delivery, Receiver

#: How the path of an account's test events ends.
TEST = ".test"


class Inbox:
    """`answer` decides, by the event id and how often it has come, what the receiver says."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.answer: Callable[[str, int], Answer] = lambda event_id, times: Answer()
        self.violations: list[str] = []
        #: How often each event came, and how often that was answered well.
        self.arrivals: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self._secrets: dict[str, str] = {}
        self._receiver = Receiver(address)
        self._lock = threading.Lock()

    def __enter__(self) -> "Inbox":
        self._receiver.answer = self._take
        self._receiver.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        self._receiver.__exit__(None, None, None)

    @property
    def url(self) -> str:
        """Where accounts have their webhooks, each at a path of its own."""
        return self._receiver.url

    @property
    def accounts(self) -> set[str]:
        """Whose events are expected here."""
        return {place.removesuffix(TEST) for place in self._secrets}

    def events(self) -> list[dict[str, Any]]:
        """Every event that has come, as often as it came."""
        return [orjson.loads(one.body) for one in self._receiver.deliveries]

    def expect(self, place: str, secret: str) -> None:
        """Deliveries to this path, an account's for its live or its test events, are signed with this secret."""
        self._secrets[place] = secret

    def _take(self, delivery: Delivery) -> Answer:
        event_id = delivery.headers.get("webhook-id", "")
        place = delivery.path.rpartition("/")[2]
        secret = self._secrets.get(place, "")
        if not secret or not _genuine(delivery, secret):
            self.violations.append(f"a delivery of {event_id} to {delivery.path} is not signed as it should be")
        elif orjson.loads(delivery.body).get("test", False) != place.endswith(TEST):
            self.violations.append(f"{event_id}, at {place}, is of the other mode")
        with self._lock:
            self.arrivals[event_id] += 1
            answer = self.answer(event_id, self.arrivals[event_id])
            self.taken[event_id] += answer.status == 200 and not answer.close
        return answer


def _genuine(delivery: Delivery, secret: str) -> bool:
    """Both signatures, ours and the independent library's verdict; and the id in the header is the body's."""
    try:
        Webhook(secret).verify(delivery.body, dict(delivery.headers))
    except Exception:
        return False
    ours = signing.verify(delivery.headers, delivery.body, secret, now=clock.now_seconds())
    return ours and orjson.loads(delivery.body)["id"] == delivery.headers["webhook-id"]
