"""Fluence's two limits of a key, as its document states them."""

import asyncio
from dataclasses import replace

import pytest

from producer.admission.limits import Limits
from producer.admission.limits.rates import RateLimit
from producer.dialects.fluence import DIALECT
from shared.errors import RateLimited
from shared.key_holders import KeyHolder

HOLDER = KeyHolder("key_1", "acct_1", "live", None, 100)


def test_a_key_has_a_limit_of_each_kind() -> None:
    minute, hour = (one.of(HOLDER) for one in DIALECT.dimensions)
    assert minute == RateLimit("fluence.minute.key_1", 100, 60.0)
    assert hour == RateLimit("fluence.hour.key_1", 1000, 3600.0)


def test_the_thousand_and_first_of_an_hour_is_refused() -> None:
    """Of one key; another key of the account has an hour of its own. From this process's memory, without Redis."""

    async def scene() -> None:
        limits = Limits("redis://127.0.0.1:1/0", dimensions=[DIALECT.dimensions[1]])
        limits._up = False
        taken = [await limits.take(HOLDER) for _ in range(1001)]
        assert [one and one.remaining for one in taken[:1000]] == list(range(999, -1, -1))
        assert taken[999] is not None and taken[1000] is not None
        taken[999].check()
        with pytest.raises(RateLimited, match="1,000 requests per hour"):
            taken[1000].check()
        other = await limits.take(replace(HOLDER, key_id="key_2"))
        assert other is not None and other.remaining == 999
        await limits.close()

    asyncio.run(scene())
