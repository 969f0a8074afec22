"""Finds the entities that chats name: among those that the operator imported, then in the data hub, if there is one."""

from collections.abc import Collection
from dataclasses import dataclass

from shared.db import Database
from shared.entities import store
from shared.submissions.linked_context import Entity, Key


@dataclass(frozen=True, slots=True)
class Resolver:
    """What one process finds entities by."""

    database: Database

    async def find(self, account_id: str, keys: Collection[Key]) -> dict[Key, Entity]:
        """Those of these entities that the account may link; the others are unknown to it."""
        return await self.database.read(store.find, account_id, keys)

    def find_sync(self, account_id: str, keys: Collection[Key]) -> dict[Key, Entity]:
        """The same, on this thread."""
        return self.database.read_sync(store.find, account_id, keys)
