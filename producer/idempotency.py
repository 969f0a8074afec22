"""Idempotency-Key: the same key and body get the same answer, once and for at least a day."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, tuple_

from shared import clock, db
from shared.accounts import KeyHolder
from shared.errors import IdempotencyMismatch, InvalidRequest
from shared.models import idempotency_keys
from shared.settings import settings
from shared.strict_json import canonical

HEADER = "Idempotency-Key"
MAX_LENGTH = 255
#: An answer is kept for a day, and for longer than any job can live.
KEEP_SECONDS = 90_000
#: That of a batch, and of the upload that it is made of, for longer than the longest completion window, a week.
KEEP_BATCH_SECONDS = 8 * 86_400


@dataclass(frozen=True, slots=True)
class Claim:
    """A caller's key, live and test apart (`live:…`), and the fingerprint of what it was sent with."""

    account_id: str
    key: str
    fingerprint: str
    #: How long its answer is kept, in seconds.
    keep_seconds: int = KEEP_SECONDS


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer that a key had before, and the fingerprint of what it was given to."""

    status_code: int
    response: str
    fingerprint: str

    def answers(self, claim: Claim) -> bool:
        """Whether the claim asks for the same thing; if not it is a mismatch."""
        return self.fingerprint == claim.fingerprint


def claim(
    holder: KeyHolder, key: str | None, method: str, path: str, body: Any, *, keep_seconds: int = KEEP_SECONDS
) -> Claim | None:
    """The claim of a request, None without a key; 400 for a key that is empty, too long or not printable ASCII."""
    if key is None:
        return None
    if not 0 < len(key) <= MAX_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidRequest(f"{HEADER} must be 1 to {MAX_LENGTH} printable ASCII characters", param=HEADER)
    digest = hashlib.sha256(f"{method} {path}\n".encode() + canonical(body))
    return Claim(holder.account_id, f"{holder.mode}:{key}", digest.hexdigest(), keep_seconds)


def find(connection: Connection, claims: Sequence[Claim]) -> dict[tuple[str, str], Kept]:
    """What is already known of these keys, by account and key. Claims of one key may differ: ask `answers` of each."""
    if not claims:
        return {}
    asked = sorted({(claim.account_id, claim.key) for claim in claims})
    return {
        (row.account_id, row.key): Kept(row.status_code, row.response, row.fingerprint)
        for row in connection.execute(_KNOWN, {"b_asked": asked})
    }


#: Made once: making a statement costs more than running it.
_KNOWN = select(idempotency_keys).where(
    tuple_(idempotency_keys.c.account_id, idempotency_keys.c.key).in_(bindparam("b_asked", expanding=True))
)


def is_known(connection: Connection, claim: Claim | None) -> bool:
    """Whether this claim has its answer already, so that nothing need be prepared for it."""
    return claim is not None and bool(find(connection, [claim]))


def keep(connection: Connection, answers: Sequence[tuple[Claim, int, str]]) -> None:
    """Store answers. A key that another process has stored meanwhile is an IntegrityError: look again."""
    if not answers:
        return
    now = clock.now_micros()
    least = settings().job_expires_seconds + 3600
    rows = [
        {
            "account_id": claim.account_id,
            "key": claim.key,
            "fingerprint": claim.fingerprint,
            "status_code": status_code,
            "response": response,
            "created_at": now,
            "expires_at": now + max(claim.keep_seconds, least) * clock.MICROS,
        }
        for claim, status_code, response in sorted(answers, key=lambda one: (one[0].account_id, one[0].key))
    ]
    db.insert_rows(connection, idempotency_keys, rows)


def mismatch() -> IdempotencyMismatch:
    """422: the key was used for something else."""
    return IdempotencyMismatch(f"this {HEADER} was used with another request", param=HEADER)
