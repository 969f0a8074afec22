"""What one key, and one address, may take of a web process; and what it answers beyond that."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from producer.admission import fair_share
from producer.admission.auth import Keys
from producer.admission.fair_share import Buckets, FairShare
from shared import clock
from shared.errors import RateLimited, Unauthorized
from shared.key_holders import KeyHolder
from shared.key_texts import new_key
from shared.settings import settings

HOLDER = KeyHolder("key_1", "acct_1", "live", None)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, which the test may change."""
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    yield now


def test_a_key_has_so_many_a_minute_and_another_its_own(at: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "key_requests_per_minute", 60)
    share = FairShare()
    for _ in range(60):
        share.count(HOLDER)
    with pytest.raises(RateLimited) as refused:
        share.count(HOLDER)
    assert refused.value.retry_after_seconds == 1 and "60 requests per minute" in refused.value.message
    share.count(replace(HOLDER, key_id="key_2"))
    at[0] += 2.5
    share.count(HOLDER)
    share.count(HOLDER)
    with pytest.raises(RateLimited):
        share.count(HOLDER)


def test_requests_under_way_are_counted_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "key_open_requests", 2)
    share = FairShare()
    first, _ = share.open(HOLDER), share.open(HOLDER)
    with pytest.raises(RateLimited):
        share.open(HOLDER)
    share.open(replace(HOLDER, key_id="key_2"))
    first()
    share.open(HOLDER)


def test_nothing_is_limited_by_nought(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("key_requests_per_minute", "key_open_requests", "wrong_keys_per_minute"):
        monkeypatch.setattr(settings(), name, 0)
    share = FairShare()
    for _ in range(2000):
        share.count(HOLDER)
        share.open(HOLDER)
        share.guess("1.2.3.4")


def test_what_is_remembered_has_a_bound(at: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_share, "REMEMBERED", 10)
    buckets = Buckets()
    for number in range(100):
        at[0] += 0.1
        assert buckets.take(str(number), 60) is None
        assert len(buckets._levels) <= 10


class Rows:
    """A database that knows one key."""

    def __init__(self, good: str) -> None:
        self.good, self.asked = good, 0

    async def read(self, _fn: object, key: str) -> KeyHolder | None:
        self.asked += 1
        return HOLDER if key == self.good else None


def test_wrong_keys_of_an_address_are_looked_up_so_many_times_a_minute(
    at: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good key, and whoever comes from elsewhere, notice nothing."""
    monkeypatch.setattr(settings(), "wrong_keys_per_minute", 5)
    good = new_key("live")

    async def scene() -> None:
        rows = Rows(good)
        keys = Keys(rows)  # type: ignore[arg-type]

        async def send(key: str, address: str) -> str:
            try:
                return (await keys.holder(key, address)).key_id
            except (Unauthorized, RateLimited) as error:
                return str(error.status)

        assert await send(good, "6.6.6.6") == "key_1"
        assert [await send(new_key("live"), "6.6.6.6") for _ in range(7)] == ["401"] * 4 + ["429"] * 3
        assert rows.asked == 5
        at[0] += 0.9  # the look-up is not believed any more
        assert await send(good, "6.6.6.6") == "key_1"
        assert await send(new_key("live"), "7.7.7.7") == "401"
        assert await send("fusionai_live_typo", "6.6.6.6") == "401"
        at[0] += 60
        assert await send(new_key("live"), "6.6.6.6") == "401"

    asyncio.run(scene())
