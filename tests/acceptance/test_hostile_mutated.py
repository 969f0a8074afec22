"""Mutated bodies by the thousand, of all dialects, many in flight: none is a 5xx, and the web process does not grow."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from tests.acceptance.hostile_bodies import GOOD, mutated
from tests.acceptance.stack import Account
from tests.acceptance.test_every_dialect import CALLS

#: Whose bodies are changed: the native dialect's, and every other's calls. Method, path, headers, body.
GOODS: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
    *((method, f"/v1{path}", {"Authorization": "Bearer {key}"}, good) for method, path, good in GOOD),
    *(("POST", call.path, {**call.headers, **call.key_header}, call.good) for call in CALLS),
]
#: Of those the paths whose errors have another form, or that are outside of the native prefix.
OTHERS = frozenset(call.path for call in CALLS)
IN_FLIGHT = 24
SEED = 7
#: Bodies before the memory is measured: what a process keeps for good it has by then.
WARM = 2000
MOST_GROWTH_BYTES = 48 * 1024 * 1024


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.chaos)])
def test_mutations_of_good_bodies(account: Account, count: int) -> None:
    chance = random.Random(SEED)
    told = asyncio.run(send(account, WARM, chance))
    before = account.stack.memory_bytes()
    told += asyncio.run(send(account, count - WARM, chance))
    grown = account.stack.memory_bytes() - before
    assert told.total() == count and told[400] > count // 2 and told[202] > count // 100, told
    assert grown < MOST_GROWTH_BYTES, f"the web process grew by {grown:,} bytes"
    leave_quiet(account)


def leave_quiet(account: Account) -> None:
    """Delete the webhooks that were made: to none of them is anything delivered, and what each is owed by hundreds of
    events would be tried again and again, at the cost of half a core, for as long as there is the stack.
    """
    made = account.test.get("/webhooks", params={"limit": 100}).json()["data"]
    assert made, "good bodies are among the mutations"
    for one in made:
        assert account.test.delete(f"/webhooks/{one['id']}").status_code == 200


async def send(account: Account, count: int, chance: random.Random) -> "Counter[int]":
    """Send mutations, for nothing and without waiting for what is accepted; how many answers had which status."""
    told: Counter[int] = Counter()
    left = itertools.islice(itertools.cycle(GOODS), count)

    async def worker() -> None:
        async with connected(account) as connection:
            for method, path, headers, good in left:
                body = mutated(good, chance)
                try:
                    status, answer = await connection.ask(method, path, headers, body)
                except (OSError, EOFError) as error:
                    raise AssertionError(f"no answer after {told.total():,}: {error!r} to {path} {body!r}") from error
                assert status < 500, (path, body, answer[:300])
                if status >= 400:
                    said = orjson.loads(answer)
                    assert not path.startswith("/v1/") or path in OTHERS or said["error"]["code"] == status
                told[status] += 1

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return told


class Connection:
    """One that is kept, and made anew where the server has closed it; a whole HTTP client takes longer than it does."""

    def __init__(self, account: Account) -> None:
        self._port, self._key = account.stack.port, account.test_key
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer; in the headers stands `{key}` for the key."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        given = {"Host": "127.0.0.1", "Prefer": "respond-async", "Content-Type": "application/json", **headers}
        rows = [f"{name}: {value.format(key=self._key)}" for name, value in given.items()]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *rows, f"Content-Length: {len(body)}"])
        self._writer.write(f"{head}\r\n\r\n".encode() + body)
        async with asyncio.timeout(60):
            status, *told = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            answered = dict(row.split(": ", 1) for row in told if row)
            answer = await self._body(answered)
        if answered.get("connection") == "close":
            self.close()
        return int(status.split()[1]), answer

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers["content-length"]))
        found = b""
        while size := int(await self._reader.readline(), 16):
            found += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readline()
        return found

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@asynccontextmanager
async def connected(account: Account) -> AsyncIterator[Connection]:
    made = Connection(account)
    try:
        yield made
    finally:
        made.close()
