"""An outside data hub: asked over HTTP for entities that were not imported.

A GET of `FUSIONAI_DATA_HUB_URL`, with the type and the id percent-encoded in their places and the key in `X-API-KEY`.
A 200 has the entity as JSON (`name`, `attributes`, `text`, also `type` and `id`; other fields are passed over); a 404
or 410 says that there is none; whatever else is a hub that is away. How it is called: `shared.network.guarded_calls`.
"""

import logging
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from pydantic import ValidationError

from shared import durations, strict_json
from shared.entities.hub_cache import HubCache, Place
from shared.entities.hub_turns import HubTurns
from shared.errors import FusionError, Unavailable
from shared.network.guarded import Lookup, look_up
from shared.network.guarded_calls import GuardedCalls
from shared.settings import Settings
from shared.submissions import linked_context
from shared.submissions.linked_context import Entity, Key

log = logging.getLogger(__name__)

#: Calls at once.
CONNECTIONS: Final = 8
#: Bytes of an answer: an entity as JSON, whose escapes may take six times its bytes.
MOST_BYTES: Final = 8 * linked_context.MOST_BYTES
#: After how long a caller may try again when the hub does not say, and at most, in seconds.
RETRY_SECONDS, MOST_RETRY_SECONDS = 5, 300
_FIELDS: Final = ("name", "attributes", "text")


class HubAway(Unavailable):
    """The data hub does not answer, or not as it should."""

    def __init__(self, retry_after_seconds: int = RETRY_SECONDS) -> None:
        super().__init__(
            "linked_context: the data hub is unavailable; retry later",
            param=linked_context.FIELD,
            retry_after_seconds=retry_after_seconds,
        )


class Hub:
    """One process's way to the data hub."""

    def __init__(self, own: Settings, lookup: Lookup = look_up) -> None:
        self._template = own.data_hub_url
        #: What the hub answers depends on whose request it is.
        self._private = "{account}" in own.data_hub_url
        self._headers: dict[str | bytes, str | bytes] = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "FusionAI-Hub/1",
        }
        if own.data_hub_key:
            self._headers["X-API-KEY"] = own.data_hub_key
        self._calls = GuardedCalls(
            CONNECTIONS,
            own.data_hub_seconds,
            MOST_BYTES,
            allow_loopback=own.data_hub_allow_loopback,
            allow_private=own.data_hub_allow_private,
            lookup=lookup,
        )
        self._turns = HubTurns[Entity | None](CONNECTIONS)
        self._cache = HubCache(own.data_hub_cache_seconds)
        self._asking: dict[Place, Future[Entity | None]] = {}
        #: How many wait for each of these.
        self._waiting: Counter[Place] = Counter()
        self._lock = threading.Lock()

    def ask(self, account_id: str, keys: Collection[Key]) -> dict[Key, "Future[Entity | None]"]:
        """What the hub has of each of these, None: nothing; asked each once. HubAway: it does not say.

        Who waits no longer says so: `leave`.
        """
        return {key: self._future(self._place(account_id, key), account_id) for key in keys}

    def leave(self, account_id: str, keys: Collection[Key]) -> None:
        """Wait no longer for what was asked; what nobody waits for, and is not under way, is not asked for."""
        with self._lock:
            for place in (self._place(account_id, key) for key in keys):
                self._waiting[place] -= 1
                if self._waiting[place] <= 0:
                    del self._waiting[place]
                    if (asking := self._asking.get(place)) is not None:
                        asking.cancel()

    def close(self) -> None:
        """Ask no more."""
        self._turns.close()
        self._calls.close()

    def _place(self, account_id: str, key: Key) -> Place:
        return (account_id if self._private else "", *key)

    def _future(self, place: Place, account_id: str) -> "Future[Entity | None]":
        with self._lock:
            self._waiting[place] += 1
            if known := self._cache.get(place):
                done: Future[Entity | None] = Future()
                done.set_result(known[0])
                return done
            if (asking := self._asking.get(place)) is None:
                asking = self._asking[place] = self._turns.submit(account_id, partial(self._answer, place, account_id))
                asking.add_done_callback(lambda _: self._asking.pop(place, None))
            return asking

    def _answer(self, place: Place, account_id: str) -> Entity | None:
        """One entity, from the hub; on a thread."""
        _, type, id = place
        if _climbs(type) or _climbs(id):
            return None
        try:
            found = self._get(self._address(account_id, type, id), type, id)
        except HubAway:
            raise
        except Exception as error:  # whatever is wrong with it: its words, which may name addresses, are for the log
            log.warning("the data hub is unavailable: %s", _reason(error))
            raise HubAway from None
        self._cache.put(place, found)
        return found

    def _address(self, account_id: str, type: str, id: str) -> str:
        values = {"{account}": account_id, "{type}": type, "{id}": id}
        whole = self._template
        # The id last: what it has in braces is no placeholder, and is encoded anyway.
        for name, value in values.items():
            whole = whole.replace(name, quote(value, safe=""))
        return whole

    def _get(self, url: str, type: str, id: str) -> Entity | None:
        answer = self._calls.call("GET", url, self._headers)
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            log.warning("the data hub answered with status %d", answer.status)
            raise HubAway(_retry_seconds(answer.headers))
        return _entity(answer.body, type, id)


def _entity(body: bytes, type: str, id: str) -> Entity:
    """The entity of an answer; ValueError, ValidationError or InvalidRequest when it is none, or another."""
    value: Any = strict_json.loads(body, what="answer")
    if not isinstance(value, dict):
        raise ValueError("the answer is not an object")
    if (value.get("type", type), value.get("id", id)) != (type, id):
        raise ValueError("the answer is about another entity")
    given = {name: value[name] for name in _FIELDS if value.get(name) is not None}
    return linked_context.read_entity({"type": type, "id": id, **given})


def _climbs(text: str) -> bool:
    """Whether it could name another path than its own, once a server has decoded it."""
    return any(step in (".", "..") for step in text.replace("\\", "/").split("/"))


def _reason(error: Exception) -> str:
    """What may be logged of an error: no values of the hub's answer, no address."""
    if isinstance(error, ValidationError):
        return "the answer is no entity"
    if isinstance(error, (FusionError, ValueError)) or type(error).__name__ == "AddressRefused":
        return str(error)
    return type(error).__name__


def _retry_seconds(headers: list[tuple[bytes, bytes]]) -> int:
    named: Mapping[bytes, bytes] = {name.lower(): value for name, value in headers}
    wait = durations.seconds(named.get(b"retry-after", b"").decode("latin-1"))
    return RETRY_SECONDS if wait is None else max(1, min(int(wait + 0.999), MOST_RETRY_SECONDS))
