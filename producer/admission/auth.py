"""Authentication: finds the account of an API key, by the key's checksum, then by its keyed hash."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from producer.admission.fair_share import FairShare
from shared import clock, key_standing
from shared.db import Database
from shared.errors import Unauthorized
from shared.key_holders import KeyHolder, find_key, record_uses
from shared.key_standing import Count, Rehash
from shared.key_texts import well_formed

log = logging.getLogger(__name__)

#: For how long a look-up is believed, in seconds: a revoked key is refused within a second, the answer included.
TRUST_SECONDS = 0.8
#: Look-ups remembered; when there are more, those of unknown keys are forgotten, then all.
REMEMBERED = 50_000
#: How often uses are looked over, and how often one of the same key is recorded, in seconds.
LOOK_SECONDS, RECORD_SECONDS = 1.0, 60


class Keys:
    """Looks keys up, remembering each answer for a moment, and records when they were last used."""

    def __init__(self, database: Database, share: FairShare | None = None) -> None:
        self._database = database
        self._share = share or FairShare()
        self._known: dict[str, tuple[KeyHolder | None, float]] = {}
        self._asking: dict[str, asyncio.Task[KeyHolder | None]] = {}
        self._uses = Uses(database)

    async def holder(self, key: str, address: str = "") -> KeyHolder:
        """Whose key it is; 401 for a wrong one.

        429 for a key that was not good when it was last looked up, of an `address` that has sent many such.
        """
        if not well_formed(key):
            raise Unauthorized(
                "invalid API key: wrong format or checksum; a key begins with fusionai_live_ or fusionai_test_"
            )
        holder, now = await self._find(key, address), clock.now_micros()
        if holder is None or (holder.expires_at is not None and holder.expires_at <= now):
            raise Unauthorized("invalid API key: unknown, revoked or expired")
        self._uses.note(holder.key_id, now)
        return holder

    async def run(self) -> None:
        """Record uses, until cancelled; say first if there are keys that are refused for want of their secret."""
        with contextlib.suppress(Exception):  # a database that is away says nothing of secrets
            _tell_unknown(await self._database.read(key_standing.counts))
        await self._uses.run()

    async def close(self) -> None:
        """Record the uses that are not yet."""
        await self._uses.close()

    async def _find(self, key: str, address: str) -> KeyHolder | None:
        known, until = self._known.get(key, (None, 0.0))
        if clock.monotonic() < until:
            return known
        asking = self._asking.get(key)
        if asking is None:
            if known is None:
                self._share.guess(address)
            asking = self._asking[key] = asyncio.create_task(self._ask(key))
        return await asyncio.shield(asking)

    async def _ask(self, key: str) -> KeyHolder | None:
        """One look-up for all requests that carry the key just now."""
        asked = clock.monotonic()
        try:
            holder = await self._database.read(find_key, key)
        finally:
            del self._asking[key]
        if holder is not None and holder.rehash is not None:
            self._uses.note_rehash(holder.rehash)
        if len(self._known) >= REMEMBERED:
            self._known = {one: kept for one, kept in self._known.items() if kept[0] is not None}
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = (holder, asked + TRUST_SECONDS)
        return holder


def _tell_unknown(counts: Sequence[Count]) -> None:
    if unknown := sum(one.keys for one in counts if one.standing == "unknown"):
        log.error(
            "API keys hashed under a secret that is none of FUSIONAI_KEY_SECRET, FUSIONAI_KEY_SECRET_NEXT and "
            "FUSIONAI_KEY_SECRETS_OLD of this process, which refuses them: %d; see `fusionai keys secrets`",
            unknown,
        )


class Uses:
    """When keys were last used: noted at each request, written down for all at once, each at most once a minute.

    With it, keys that stand under an old secret are put under the one in force.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: By key id, in microseconds: used and not recorded, and what was recorded last.
        self._used: dict[str, int] = {}
        self._recorded: dict[str, int] = {}
        self._rehashes: dict[str, Rehash] = {}

    def note(self, key_id: str, now: int) -> None:
        """It has just been used."""
        self._used[key_id] = now

    def note_rehash(self, change: Rehash) -> None:
        """Its row is to stand under the secret in force."""
        self._rehashes[change.key_id] = change

    async def run(self) -> None:
        """Record what is due, until cancelled. A database that is away gets it later."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._record(due_only=True)
            await self._rehash()

    async def close(self) -> None:
        """Record everything."""
        await self._record(due_only=False)
        await self._rehash()

    async def _rehash(self) -> None:
        """In a transaction of its own: what fails now is noted again when the key is looked up next."""
        changes, self._rehashes = list(self._rehashes.values()), {}
        if not changes:
            return
        try:
            await self._database.write(key_standing.put, changes)
        except Exception as error:
            log.warning(
                "putting %d API keys under the present secret failed, will be retried: %s",
                len(changes),
                type(error).__name__,
            )

    async def _record(self, *, due_only: bool) -> None:
        margin = RECORD_SECONDS * clock.MICROS if due_only else 0
        due = {id: used for id, used in self._used.items() if used - self._recorded.get(id, 0) >= margin}
        if not due:
            return
        try:
            await self._database.write(record_uses, due, older_seconds=RECORD_SECONDS if due_only else 0)
        except Exception as error:
            log.warning(
                "recording the last use of %d API keys failed, will be retried: %s", len(due), type(error).__name__
            )
            return
        if len(self._recorded) >= REMEMBERED:
            self._recorded.clear()
        self._recorded.update(due)
        for id, used in due.items():
            if self._used.get(id) == used:
                del self._used[id]
