"""What is made of a large response's row is made on a thread, so that the event loop goes on serving."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from producer.admission.concurrency import AccountConcurrency
from producer.admission.thread_turns import THREAD_BYTES, Turns
from producer.dialects.responses import lookup, serving


class Rows:
    """A database of one row, which counts how many read at a time."""

    def __init__(self, size: int) -> None:
        self.row = {"request": "x" * size, "response": None}
        self.reading = self.most = 0

    async def read(self, find: Any, holder: Any, id: str) -> Any:
        self.reading += 1
        self.most = max(self.most, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        return self.row


def made(rows: Rows, make: Any, times: int) -> list[Any]:
    async def scene() -> list[Any]:
        context = cast(
            Any,
            SimpleNamespace(parsers=Turns(2, 10 * THREAD_BYTES), stored_requests=AccountConcurrency(3), database=rows),
        )
        holder = cast(Any, SimpleNamespace(account_id="acct_1"))
        asked = (serving.shown(context, holder, lookup.existing, "job_1", make) for _ in range(times))
        found = await asyncio.gather(*asked)
        assert not context.stored_requests._permits, "no account has a permit any more"
        return found

    return asyncio.run(scene())


@pytest.mark.parametrize(("size", "on_thread"), [(10, False), (THREAD_BYTES + 1, True)])
def test_a_large_row_is_read_on_a_thread(size: int, on_thread: bool) -> None:
    loop = threading.get_ident()
    assert made(Rows(size), lambda row: threading.get_ident() != loop, 1) == [on_thread]


def test_few_rows_of_an_account_are_in_memory_at_a_time() -> None:
    rows = Rows(THREAD_BYTES + 1)
    assert len(made(rows, len, 20)) == 20 and rows.most <= 3


@pytest.mark.parametrize(
    ("request_", "unstored"),
    [
        ('{"extras":{"response":{"store":false}}}', True),
        ('{"extras":{"response":{}},"store":false}', False),
        ('{"messages":[{"content":"\\"store\\":false"}]}', False),
        ("not JSON, and never parsed", False),
    ],
)
def test_a_request_that_cannot_say_so_is_not_parsed_to_see_whether_it_is_stored(request_: str, unstored: bool) -> None:
    assert lookup._is_unstored(request_) is unstored
