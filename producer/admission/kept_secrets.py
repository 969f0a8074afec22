"""Secrets in answers that are kept for an Idempotency-Key: the kept text only names them, a replay shows them again.

A secret stands in one place, the row of its webhook or of the account's callbacks, since deliveries are signed with it.
What is kept of an answer names it by a hash under the deployment's secret, by which the replay finds it there.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select

from shared import key_secrets, strict_json
from shared.db import models as m
from shared.errors import Conflict
from shared.webhooks.signing import PREFIX

_NAMED: Final = "named:"
_MARK: Final = f'"secret":"{_NAMED}'


def hidden(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer as it may be kept."""
    secret = answer.get("secret")
    if not (isinstance(secret, str) and secret.startswith(PREFIX)):
        return answer
    return {**answer, "secret": _NAMED + _name(secret, key_secrets.in_force())}


def shown(connection: Connection, kept: str) -> str:
    """The answer as it was given; 409 when its secret has ended since."""
    if _MARK not in kept:
        return kept
    answer = orjson.loads(kept)
    table = m.callback_secrets if answer["object"] == "webhook_secret" else m.webhooks
    row = connection.execute(select(table).where(table.c.id == answer["id"])).mappings().first()
    for secret in _secrets(dict(row)) if row is not None else ():
        names = [_NAMED + _name(secret, by) for by in key_secrets.accepted()]
        if any([hmac.compare_digest(answer["secret"], name) for name in names]):
            return strict_json.dumps({**answer, "secret": secret})
    raise Conflict("the secret in the original response is no longer valid; rotate the webhook secret to get a new one")


def _secrets(row: Mapping[str, Any]) -> Iterator[str]:
    yield row["secret"]
    yield from (one["secret"] for one in json.loads(row["old_secrets"] or "[]"))
    if row.get("previous_secret"):
        yield row["previous_secret"]


def _name(secret: str, by: str) -> str:
    return hmac.new(by.encode(), f"webhook secret {secret}".encode(), hashlib.sha256).hexdigest()
