"""What is made of a large response's row is made on a thread, so that the event loop goes on serving."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from producer.admission.thread_turns import THREAD_BYTES, Turns
from producer.dialects.responses import lookup, serving


@pytest.mark.parametrize(("size", "on_thread"), [(10, False), (THREAD_BYTES + 1, True)])
def test_a_large_row_is_read_on_a_thread(size: int, on_thread: bool) -> None:
    async def made() -> bool:
        context = cast(Any, SimpleNamespace(parsers=Turns(2, 10 * THREAD_BYTES)))
        holder = cast(Any, SimpleNamespace(account_id="acct_1"))
        row = {"request": "x" * size, "response": None}
        loop = threading.get_ident()
        return await serving.shown(context, holder, row, lambda row: threading.get_ident() != loop)

    assert asyncio.run(made()) is on_thread


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
