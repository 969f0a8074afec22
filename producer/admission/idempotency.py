"""Idempotency-Key: the same key and body get the same answer, once and for at least a day.

Official SDKs send no key, and repeat by themselves what they had no answer to; but each request says whether it is such
a retry. So a POST of theirs that buys has a claim made of its own body. A first request never gets an earlier answer by
it: who asks the same thing twice wants it twice. A retry gets the answer of the latest first one. A retry that comes
before the request that it repeats, on another connection to another process, buys, and the late one gets its answer.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from shared import clock, db
from shared.db.models import idempotency_keys
from shared.errors import IdempotencyMismatch, InvalidRequest
from shared.key_holders import KeyHolder
from shared.settings import settings
from shared.strict_json import canonical

HEADER = "Idempotency-Key"
MAX_LENGTH = 255
#: An answer is kept for a day, and for longer than any job can live.
KEEP_SECONDS = 90_000
#: That of a batch, and of the upload that it is made of, for longer than the longest completion window, a week.
KEEP_BATCH_SECONDS = 8 * 86_400
#: In which SDKs say that a request is their own retry: how many came before it.
RETRY_HEADER = "x-stainless-retry-count"
#: How long after the first its retry gets its answer: longer than a call waits. And how long after a retry what it
#: repeats may still come, in seconds.
RETRY_SECONDS, LATE_SECONDS = 900, 30
#: In the place of a fingerprint, which such a claim has in its key: who asked.
FIRST, AGAIN = "first", "again"


@dataclass(frozen=True, slots=True)
class Claim:
    """A caller's key, live and test apart (`live:…`), and the fingerprint of what it was sent with."""

    account_id: str
    key: str
    fingerprint: str
    #: How long its answer is kept, in seconds.
    keep_seconds: int = KEEP_SECONDS
    #: It was made for a request without a key: `fingerprint` is FIRST or AGAIN.
    sdk: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """Where its answer is kept."""
        return self.account_id, self.key


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer that a key had before, and the fingerprint of what it was given to."""

    status_code: int
    response: str
    fingerprint: str
    #: When it was given, and how long ago that is, for one to a request without a key; by the database's clock.
    created_at: int = 0
    age_seconds: float = 0.0

    def standing(self, claim: Claim) -> "Kept | None":
        """This, where it is the claim's answer too; 422 when its key was used for something else."""
        if not claim.sdk:
            if self.fingerprint != claim.fingerprint:
                raise mismatch()
            return self
        late = LATE_SECONDS if self.fingerprint == AGAIN else 0
        within = RETRY_SECONDS if claim.fingerprint == AGAIN else late
        return self if self.age_seconds < within else None


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


def claim_of_retry(holder: KeyHolder, retries: str, method: str, path: str, body: Any) -> Claim | None:
    """The claim of a POST that buys, without a key, by an SDK that says how often it has sent it before."""
    if not (retries.isascii() and retries.isdigit()):
        return None
    digest = hashlib.sha256(f"{method} {path}\n".encode() + canonical(body))
    key = f"sdk-{holder.mode}:{holder.key_id}:{digest.hexdigest()}"
    return Claim(holder.account_id, key, AGAIN if retries.strip("0") else FIRST, RETRY_SECONDS, sdk=True)


def find(connection: Connection, claims: Sequence[Claim]) -> dict[tuple[str, str], Kept]:
    """What is already known of these keys, by account and key. Claims of one key may differ: ask `answers` of each."""
    if not claims:
        return {}
    asked = sorted({claim.place for claim in claims})
    now = db.now(connection) if any(claim.sdk for claim in claims) else 0
    return {
        (row.account_id, row.key): Kept(
            row.status_code, row.response, row.fingerprint, row.created_at, (now - row.created_at) / clock.MICROS
        )
        for row in connection.execute(_KNOWN, {"b_asked": asked})
    }


#: Made once: making a statement costs more than running it.
_KNOWN = select(idempotency_keys).where(
    tuple_(idempotency_keys.c.account_id, idempotency_keys.c.key).in_(bindparam("b_asked", expanding=True))
)


def is_known(connection: Connection, claim: Claim | None) -> bool:
    """Whether this claim has its answer already, so that nothing need be prepared for it."""
    known = find(connection, [claim]).get(claim.place) if claim else None
    return known is not None and claim is not None and (not claim.sdk or known.standing(claim) is not None)


def keep(connection: Connection, answers: Sequence[tuple[Claim, int, str]]) -> None:
    """Store answers. A key that another process has stored meanwhile is an IntegrityError: look again."""
    answers = [one for one in answers if not one[0].sdk]
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


def keep_sdk(
    connection: Connection, answers: Sequence[tuple[Claim, int, str]], known: Mapping[tuple[str, str], Kept]
) -> None:
    """Store answers to requests without a key, the last of each; `known` is what `find` gave to this transaction.

    IntegrityError, as of `keep`, when another process has stored one of them since: look again.
    """
    last = {claim.place: (claim, status, response) for claim, status, response in answers if claim.sdk}
    if not last:
        return
    now = db.now(connection)
    fresh = []
    for place, (claim, status, response) in sorted(last.items()):
        row = {"fingerprint": claim.fingerprint, "status_code": status, "response": response, "created_at": now}
        row["expires_at"] = now + (claim.keep_seconds + LATE_SECONDS) * clock.MICROS
        if place in known:
            _replace(connection, place, known[place], row)
        else:
            fresh.append({"account_id": claim.account_id, "key": claim.key, **row})
    if fresh:
        db.insert_rows(connection, idempotency_keys, fresh)


def _replace(connection: Connection, place: tuple[str, str], seen: Kept, row: Mapping[str, Any]) -> None:
    keys = idempotency_keys.c
    mine = update(idempotency_keys).where(keys.account_id == place[0], keys.key == place[1])
    as_seen = mine.where(keys.created_at == seen.created_at, keys.fingerprint == seen.fingerprint)
    if not connection.execute(as_seen.values(row)).rowcount:
        raise IntegrityError("the stored response was replaced concurrently", None, Exception())


def taken_up(claim: Claim, known: Kept) -> list[tuple[Claim, int, str]]:
    """What is to be kept when a claim gets an earlier answer: a retry's is given to one late request, not to two."""
    if claim.sdk and claim.fingerprint == FIRST and known.fingerprint == AGAIN:
        return [(replace(claim, fingerprint=FIRST), known.status_code, known.response)]
    return []


def mismatch() -> IdempotencyMismatch:
    """422: the key was used for something else."""
    return IdempotencyMismatch(f"this {HEADER} was already used with a different request", param=HEADER)
