"""Finds the entities that chats name: among those that the operator imported, then in the data hub, if there is one."""

import asyncio
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

from shared import clock
from shared.db import Database
from shared.entities import store
from shared.entities.hub import Hub, HubAway
from shared.settings import settings
from shared.submissions.linked_context import Entity, Key

#: How long the hub may take for all entities of one request, in seconds; what has come by then is kept for the next.
MOST_SECONDS: Final = 30.0

_Asked = Mapping[Key, "Future[Entity | None]"]


class Resolver:
    """What one process finds entities by."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hub = Hub(settings()) if settings().data_hub_url else None

    async def find(self, account_id: str, keys: Collection[Key]) -> dict[Key, Entity]:
        """Those of these entities that the account may link; the others are unknown to it. HubAway: it is not known."""
        found = await self._database.read(store.find, account_id, keys)
        asked = self._ask(account_id, keys, found)
        if asked:
            try:
                async with asyncio.timeout(MOST_SECONDS):
                    await asyncio.gather(*(asyncio.shield(asyncio.wrap_future(one)) for one in asked.values()))
            except TimeoutError:
                raise HubAway from None
        return found | _answers(asked)

    def find_sync(self, account_id: str, keys: Collection[Key]) -> dict[Key, Entity]:
        """The same, on this thread."""
        found = self._database.read_sync(store.find, account_id, keys)
        asked, until = self._ask(account_id, keys, found), clock.monotonic() + MOST_SECONDS
        try:
            for one in asked.values():
                one.result(max(0.0, until - clock.monotonic()))
        except FutureTimeoutError:
            raise HubAway from None
        return found | _answers(asked)

    def close(self) -> None:
        """Ask no more."""
        if self._hub is not None:
            self._hub.close()

    def _ask(self, account_id: str, keys: Collection[Key], found: Mapping[Key, Entity]) -> _Asked:
        missing = [key for key in keys if key not in found]
        return self._hub.ask(account_id, missing) if self._hub is not None and missing else {}


def _answers(asked: _Asked) -> dict[Key, Entity]:
    return {key: entity for key, one in asked.items() if (entity := one.result()) is not None}
