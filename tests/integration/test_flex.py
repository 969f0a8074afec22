"""A job in a cheap service tier: put off while it has no room, then in the usual tier, at the price of what served."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from producer.operations import jobs as jobs_ops
from shared import clock
from shared.db import Database
from shared.errors import ProviderError
from shared.key_holders import KeyHolder
from shared.providers.statistics_watch import read_all
from shared.settings import settings
from shared.submissions import catalogue as catalogues
from shared.submissions.schemas import Usage
from tests.catalogues import DEAR, written
from tests.integration import test_offers_timed, world
from tests.integration.test_attempts import BATCH, run, tried
from tests.servers import RedisServer
from workers.providers import ProviderAnswer, ProviderCall

NO_ROOM = ProviderError("Resource Unavailable", upstream_status=429, code="resource_unavailable")
#: How long a caller waits here: a slow machine needs a second until the first call, and another for the last.
CALLER_MICROS = 5 * clock.MICROS
FLEX = "[models.gpt-4.service_tiers.flex]\ninput = 1_000_000\noutput = 2_000_000\n"


@pytest.fixture(autouse=True)
def _tiers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The shipped catalogue, whose gpt-4 has a price for flex: 1 and 2 micro-credits a token."""
    monkeypatch.setattr(settings(), "catalogue", written(tmp_path, DEAR, FLEX))
    monkeypatch.setattr(settings(), "retry_base_seconds", 0.01)
    catalogues.forget()
    yield
    monkeypatch.undo()
    catalogues.forget()


class Tiered:
    """A provider whose flex tier refuses so many times; it says which tier serves, as a test says."""

    def __init__(self, refusals: int, serves: dict[str, str] | None = None, ignored: tuple[str, ...] = ()) -> None:
        self.refusals, self.serves, self.ignored = refusals, serves or {}, ignored
        self.asked: list[str | None] = []
        self.calls: list[ProviderCall] = []
        #: What its refusals are.
        self.refusal = NO_ROOM

    async def call(self, ask: ProviderCall) -> ProviderAnswer:
        self.asked.append(ask.service_tier)
        self.calls.append(ask)
        if ask.service_tier == "flex" and self.refusals:
            self.refusals -= 1
            raise self.refusal
        tier = self.serves.get(ask.service_tier or "", ask.service_tier or "")
        used = Usage(prompt_tokens=10, completion_tokens=4, service_tier=tier)
        return ProviderAnswer({"choices": []}, used, ignored=list(self.ignored))


#: Whose the jobs of these tests are.
holders: dict[str, KeyHolder] = {}


def job(database: Database, *, batch: bool, **more: Any) -> str:
    holder = world.open_account(database)
    wanted = world.submission(service_tier="flex", **more)
    order = world.Acceptor(database, world.RecordedBell()).prepare(holder, [wanted], listed=batch, claim=None)
    world.accept_all(database, [order])
    id = str(order.rows[0]["id"])
    holders[id] = holder
    world.change(database, id, expires_at=clock.now_micros() + 1000 * clock.MICROS)
    return id


def result(database: Database, id: str) -> dict[str, Any]:
    (row,) = world.rows(database, world.m.job_results, job_id=id)
    return row


def usual_charge() -> int:
    at = catalogues.catalogue().prices["gpt-4"]
    return -(-(10 * at.input + 4 * at.output) // 1_000_000)


def test_a_line_waits_for_room_without_a_failure_and_costs_the_tier_s_price(database: Database) -> None:
    id, provider = job(database, batch=True), Tiered(9)
    for refused in range(1, 10):
        run(database, [id], BATCH, openai=provider)
        row = world.row(database, id)
        assert (row["status"], row["deferred_for"], row["failures"]) == ("queued", "no_capacity", 0)
        assert row["run_at"] > clock.now_micros() - clock.MICROS and len(tried(database, id)) == refused
        world.change(database, id, run_at=0)
    run(database, [id], BATCH, openai=provider)
    found = result(database, id)
    assert (found["charged_micros"], found["service_tier"]) == (10 + 8, "flex")
    assert provider.asked == ["flex"] * 10 and world.violations(database) == []


def test_a_line_goes_to_the_usual_tier_before_its_window_ends(database: Database) -> None:
    id, provider = job(database, batch=True), Tiered(10**6)
    run(database, [id], BATCH, openai=provider)
    assert world.row(database, id)["offer"] == 0
    now = clock.now_micros()
    world.change(database, id, created_at=now - 750 * clock.MICROS, expires_at=now + 249 * clock.MICROS, run_at=0)
    run(database, [id], BATCH, openai=provider)
    row = world.row(database, id)
    assert (row["offer"], row["queue"], row["deferred_for"], row["failures"]) == (1, BATCH, None, 0)
    assert provider.asked == ["flex", "default"] and world.row(database, id)["status"] == "succeeded"
    found = result(database, id)
    assert (found["charged_micros"], found["service_tier"]) == (usual_charge(), "default")
    assert world.violations(database) == []


def test_a_caller_s_job_waits_in_place_and_goes_to_the_usual_tier_before_its_time_is_over(database: Database) -> None:
    id, provider = job(database, batch=False), Tiered(10**6)
    now = clock.now_micros()
    world.change(database, id, created_at=now, expires_at=now + CALLER_MICROS)
    run(database, [id], "openai.realtime", openai=provider)
    assert provider.asked.count("flex") > 1 and provider.asked[-1] == "default" and provider.asked.count("default") == 1
    assert world.row(database, id)["offer"] == 1 and result(database, id)["service_tier"] == "default"
    assert world.violations(database) == []


def test_want_of_room_is_no_error_of_the_offer_and_a_cheap_answer_s_time_is_not_its_time(
    database: Database, redis_server: RedisServer
) -> None:
    connection = redis.from_url(redis_server.url)
    connection.flushall()
    test_offers_timed.run(database, redis_server.url, Tiered(1), job(database, batch=False))
    (found,) = read_all(connection).values()
    assert (found.error_rate, found.first_seconds, found.total_seconds) == (0.0, None, None)
    assert found.calls == pytest.approx(1, abs=0.05)


def test_a_cheap_tier_may_be_silent_until_its_job_goes_to_the_usual_one_though_another_offer_is_left(
    database: Database,
) -> None:
    id, provider = job(database, batch=False, routing={"fallbacks": ["gpt-6-luna"]}), Tiered(0)
    now = clock.now_micros()
    world.change(database, id, created_at=now, expires_at=now + 400 * clock.MICROS)
    run(database, [id], "openai.realtime", openai=provider)
    (call,) = provider.calls
    assert call.sink is None and call.limits.first_seconds == pytest.approx(300, abs=20)
    assert world.row(database, id)["offer"] == 0 and result(database, id)["model"] == "gpt-4"


def test_the_silence_of_a_cheap_tier_is_no_error_of_the_offer(database: Database, redis_server: RedisServer) -> None:
    connection = redis.from_url(redis_server.url)
    connection.flushall()
    provider = Tiered(1)
    provider.refusal = ProviderError("the provider did not start to respond in time", code="first_byte")
    test_offers_timed.run(database, redis_server.url, provider, job(database, batch=False))
    (found,) = read_all(connection).values()
    assert provider.asked == ["flex", "flex"] and found.error_rate == 0.0
    assert found.calls == pytest.approx(1, abs=0.05)


def test_a_silent_cheap_tier_gives_way_to_the_usual_one_and_not_to_another_model(database: Database) -> None:
    id, provider = job(database, batch=False, routing={"fallbacks": ["gpt-6-luna"]}), Tiered(10**6)
    provider.refusal = ProviderError("the provider did not start to respond in time", code="first_byte")
    now = clock.now_micros()
    world.change(database, id, created_at=now, expires_at=now + CALLER_MICROS)
    run(database, [id], "openai.realtime", openai=provider)
    assert provider.asked[0] == "flex" and provider.asked[-1] == "default"
    found = result(database, id)
    assert (found["model"], found["service_tier"]) == ("gpt-4", "default")
    assert world.row(database, id)["failures"] == 0 and world.violations(database) == []


@pytest.mark.parametrize("serves", ["default", "flex", ""])
def test_the_tier_that_the_provider_says_served_decides_the_price_inside_the_hold(
    database: Database, serves: str
) -> None:
    id = job(database, batch=False)
    run(database, [id], "openai.realtime", openai=Tiered(0, {"flex": serves}))
    found, row = result(database, id), world.row(database, id)
    assert found["charged_micros"] == (usual_charge() if serves == "default" else 18) <= row["bound_micros"]
    assert found["service_tier"] == (serves or "flex") and world.violations(database) == []
    at = database.read_sync(jobs_ops.show_job, holders[id], id)["charge"]
    assert at is not None and at["service_tier"] == found["service_tier"] and not at["long_context"]


def test_a_tier_that_was_not_asked_for_at_the_provider_is_not_sold_at_its_price(database: Database) -> None:
    """As where its protocol has no name for it: what it serves then is the usual tier, though it does not say so."""
    id = job(database, batch=False)
    run(database, [id], "openai.realtime", openai=Tiered(0, {"flex": ""}, ("service_tier",)))
    found = result(database, id)
    assert (found["charged_micros"], found["service_tier"]) == (usual_charge(), "default")
    assert found["charged_micros"] <= world.row(database, id)["bound_micros"] and world.violations(database) == []
