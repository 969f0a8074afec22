"""Where a secret could have got to: every row of every table, and every value in Redis."""

from collections.abc import Iterator
from typing import Any

import redis
from sqlalchemy import select

from shared.db import Database
from shared.db import models as m


def check_nowhere(secret: str, database: Database, redis_url: str, *logged: str) -> None:
    """AssertionError that names each table, key of Redis or log in which a secret is; there has to be something."""
    rows = list(_rows(database))
    values = list(_values(redis_url))
    assert rows and values, "nothing was looked at"
    places = [*rows, *values, *((f"log {at}", text) for at, text in enumerate(logged))]
    assert sorted({place for place, text in places if secret in text}) == []


def _rows(database: Database) -> Iterator[tuple[str, str]]:
    for table in m.metadata.sorted_tables:
        found = database.read_sync(lambda connection, table=table: connection.execute(select(table)).all())
        yield from ((table.name, repr(tuple(row))) for row in found)


def _values(url: str) -> Iterator[tuple[str, str]]:
    """Each key and value, of all databases of the server."""
    for number in range(16):
        with redis.Redis.from_url(url[: url.rindex("/")] + f"/{number}") as client:
            for key in client.scan_iter():
                yield f"redis {key!r}", repr(key) + repr(_value(client, key))


def _value(client: "redis.Redis", key: bytes) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"hash":
            return client.hgetall(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1)
        case b"stream":
            return client.xrange(key)
    return None
