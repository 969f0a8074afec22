"""Finds the entities that chats name: among those that the operator imported, then in the data hub, if there is one."""

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

from shared import clock
from shared.db import Database
from shared.entities import store
from shared.entities.hub import Hub, HubAway
from shared.settings import settings
from shared.slices import slices
from shared.submissions import linked_context
from shared.submissions.linked_context import Entity, Key

#: How long the hub may take for all entities of one request, in seconds; what has come by then is kept for the next.
MOST_SECONDS: Final = 30.0
#: Entities that are looked up together.
TOGETHER: Final = 200


class Resolver:
    """What one process finds entities by."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hub = Hub(settings()) if settings().data_hub_url else None

    async def find(self, account_id: str, keys: Collection[Key]) -> dict[Key, Entity]:
        """Those of these entities that the account may link; the others are unknown to it. HubAway: it is not known.

        PayloadTooLarge when they are more than the jobs of a request may be linked to.
        """
        until, found, size = clock.monotonic() + MOST_SECONDS, dict[Key, Entity](), 0
        for some in slices(list(keys), TOGETHER):
            part = await self._database.read(store.find, account_id, some)
            part |= await self._of_hub(account_id, [key for key in some if key not in part], until)
            size += sum(linked_context.size(entity) for entity in part.values())
            if size > linked_context.MOST_LIST_BYTES:
                raise linked_context.too_much()
            found |= part
        return found

    def find_sync(self, account_id: str, keys: Collection[Key], by: float = math.inf) -> dict[Key, Entity]:
        """The same, of not so many, on this thread. `by`: on the monotonic clock, when the hub must have answered."""
        found = self._database.read_sync(store.find, account_id, keys)
        missing, until = [key for key in keys if key not in found], min(by, clock.monotonic() + MOST_SECONDS)
        if self._hub is None or not missing:
            return found
        asked = self._hub.ask(account_id, missing)
        try:
            for one in asked.values():
                one.result(max(0.0, until - clock.monotonic()))
            return found | _answers(asked)
        except FutureTimeoutError:
            raise HubAway from None
        finally:
            self._hub.leave(account_id, missing)

    async def _of_hub(self, account_id: str, keys: Sequence[Key], until: float) -> dict[Key, Entity]:
        if self._hub is None or not keys:
            return {}
        asked = self._hub.ask(account_id, keys)
        try:
            async with asyncio.timeout(until - clock.monotonic()):
                await asyncio.gather(*(asyncio.shield(asyncio.wrap_future(one)) for one in asked.values()))
            return _answers(asked)
        except TimeoutError:
            raise HubAway from None
        finally:
            self._hub.leave(account_id, keys)

    def close(self) -> None:
        """Ask no more."""
        if self._hub is not None:
            self._hub.close()


def _answers(asked: Mapping[Key, "Future[Entity | None]"]) -> dict[Key, Entity]:
    return {key: entity for key, one in asked.items() if (entity := one.result()) is not None}
