"""Whose a request is: one key, in one header, checked by checksum, then by its keyed hash."""

from collections.abc import Mapping

from shared import clock
from shared.accounts import KeyHolder, find_key, well_formed
from shared.db import Database
from shared.errors import InvalidRequest, Unauthorized

#: For how long a look-up is believed, in seconds: a revoked key is refused within that.
TRUST_SECONDS = 1.0
#: Look-ups remembered; when there are more, all are forgotten.
REMEMBERED = 50_000

_HEADERS = ("authorization", "x-api-key", "infuzu-api-key")


class Keys:
    """Looks keys up, remembering each answer for a moment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[KeyHolder | None, float]] = {}

    async def holder(self, headers: Mapping[str, str]) -> KeyHolder:
        """Whose key the request carries; 400 for two authentication headers, 401 for none or a wrong one."""
        key = _bearer(headers)
        if not well_formed(key):
            raise Unauthorized("that is not an API key of this service: its form or checksum is wrong")
        holder = await self._find(key)
        if holder is None or (holder.expires_at is not None and holder.expires_at <= clock.now_micros()):
            raise Unauthorized("this API key is unknown, revoked or expired")
        return holder

    async def _find(self, key: str) -> KeyHolder | None:
        known, until = self._known.get(key, (None, 0.0))
        if clock.monotonic() < until:
            return known
        asked = clock.monotonic()
        holder = await self._database.read(find_key, key)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = (holder, asked + TRUST_SECONDS)
        return holder


def _bearer(headers: Mapping[str, str]) -> str:
    given = [name.lower() for name, _ in headers.items() if name.lower() in _HEADERS]
    if len(given) > 1:
        raise InvalidRequest(f"more than one authentication header: {', '.join(given)}; send one")
    if "authorization" not in headers:
        raise Unauthorized("no API key: send it as `Authorization: Bearer fusionai_live_…`")
    scheme, _, key = headers["authorization"].partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthorized("the Authorization header must read `Bearer <API key>`")
    return key.strip()
