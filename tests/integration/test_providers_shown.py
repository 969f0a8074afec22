"""`fusionai providers` and /metrics on what workers have learned: paused since when and why, at what pace."""

import json
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from producer.cli.output import moment
from producer.cli.providers import providers
from producer.metrics import Reading, read_providers, render
from shared import clock
from shared.providers import states as provider_states
from shared.providers.states import KEY, NAMES, ProviderState, dump
from shared.providers.statistics import SUMS
from shared.settings import settings
from tests.servers import RedisServer, free_port


@pytest.fixture
def known(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> redis.Redis:
    """A Redis in which workers have left what they know."""
    connection = redis.from_url(redis_server.url)
    connection.flushall()
    states = {
        "openai/*": ProviderState(paused_since=1_795_000_000.0, paused_until=1_795_000_060.0, paused_for="401"),
        "openai/gpt-4": ProviderState(rate=9.87654, limit=22.4, learned=True),
        "google/gemini": ProviderState(rate=50.0, told=10.0),
        "google/broken": None,
    }
    for name, state in states.items():
        connection.set(KEY.format(name), dump(state) if state else b"{")
        connection.sadd(NAMES, name)
    monkeypatch.setattr(settings(), "redis_url", redis_server.url)
    monkeypatch.setattr(settings(), "state_directory", tmp_path)
    return connection


def test_in_words_and_as_json(known: redis.Redis) -> None:
    shown = CliRunner().invoke(providers, [])
    assert shown.exit_code == 0
    assert "paused 2026-11-18" in shown.output and "invalid API key (401)" in shown.output
    assert "9.877" in shown.output
    found = {one["provider"]: one for one in json.loads(CliRunner().invoke(providers, ["--json"]).output)["data"]}
    assert found["openai"]["paused"] == {"since": 1_795_000_000, "reason": "401", "tried_again_at": 1_795_000_060}
    (gpt,) = found["openai"]["models"]
    assert gpt == {"model": "gpt-4", "paused": None, "calls_a_second": 9.877, "calls_at_once": 22, "statistics": None}
    assert [one["calls_a_second"] for one in found["google"]["models"]] == [10.0]
    assert found["anthropic"]["models"] == [] and "sandbox" not in found


@pytest.mark.parametrize(("over_for", "words"), [(-20, "next try "), (20, "next try "), (90, "no calls since")])
def test_a_pause_that_nobody_tries_any_more_is_told_so(known: redis.Redis, over_for: int, words: str) -> None:
    until = clock.now_seconds() - over_for
    state = ProviderState(paused_since=until - 600.0, paused_until=float(until), paused_for="401")
    known.set(KEY.format("openai/*"), dump(state))
    shown = CliRunner().invoke(providers, []).output
    assert "invalid API key (401); " + words in shown and f"paused {moment(until - 600)[11:]}" in shown


def test_as_metrics(known: redis.Redis) -> None:
    gauges = read_providers(known)
    assert gauges["provider_paused"] == {("openai", "", "401"): 1.0} and gauges["redis_up"] == {(): 1.0}
    assert gauges["provider_calls_per_second"] == {("openai", "gpt-4"): 9.87654, ("google", "gemini"): 10.0}


@pytest.fixture
def served(known: redis.Redis) -> redis.Redis:
    """The same, and what came of calls: of a model whose pace is known, and of one whose pace is not."""
    now, _ = known.time()
    answers = {"total_count": 9, "total_seconds": 18.0, "first_count": 3, "first_seconds": 1.2}
    known.hset(SUMS, "openai/gpt-4", json.dumps({"at": now, "calls": 12, "failures": 3, **answers}))
    known.hset(SUMS, "google/gemini-pro", json.dumps({"at": now, "calls": 4, "total_count": 4, "total_seconds": 50}))
    known.hset(SUMS, "google/broken", "{")
    known.expire(SUMS, 60)
    return known


def test_how_offers_served_in_words_and_as_json(served: redis.Redis) -> None:
    shown = CliRunner().invoke(providers, [])
    (gpt,) = (line.split() for line in shown.output.splitlines() if " gpt-4 " in line)
    assert gpt[-6:] == ["25.0", "%", "0.40", "2.00", "9.877", "22"]
    found = {one["provider"]: one for one in json.loads(CliRunner().invoke(providers, ["--json"]).output)["data"]}
    (shown_gpt,) = found["openai"]["models"]
    assert shown_gpt["statistics"].pop("calls") == pytest.approx(12, rel=0.05)
    assert shown_gpt["statistics"] == {"error_rate": 0.25, "first_seconds": 0.4, "total_seconds": 2.0}
    pro = next(one for one in found["google"]["models"] if one["model"] == "gemini-pro")
    assert (pro["paused"], pro["calls_a_second"], pro["calls_at_once"]) == (None, None, None)
    assert (pro["statistics"]["first_seconds"], pro["statistics"]["total_seconds"]) == (None, 12.5)


def test_how_offers_served_as_metrics(served: redis.Redis) -> None:
    gauges = read_providers(served)
    gpt, pro = ("openai", "gpt-4"), ("google", "gemini-pro")
    assert gauges["provider_error_ratio"] == {gpt: pytest.approx(0.25), pro: 0.0}
    assert gauges["provider_first_token_seconds"] == {gpt: pytest.approx(0.4)}
    assert gauges["provider_answer_seconds"] == {gpt: 2.0, pro: 12.5}
    text = render(Reading(gauges, {})).decode()
    assert 'fusionai_provider_answer_seconds{model="gemini-pro",provider="google"} 12.5' in text


def test_without_redis_it_is_said(known: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setattr(settings(), "redis_url", nowhere)
    shown = CliRunner().invoke(providers, [])
    assert shown.exit_code == 0 and "Redis cannot be reached" in shown.output + shown.stderr
    assert read_providers(redis.from_url(nowhere))["redis_up"] == {(): 0.0}
    assert provider_states.name_of("openai", "gpt-4") == "openai/gpt-4"


def test_whose_calls_are_real_is_the_running_stack_s_to_say(known: redis.Redis) -> None:
    (settings().state_directory / "stack.json").write_text(json.dumps({"real_providers": ["openai"]}))
    found = {one["provider"]: one for one in json.loads(CliRunner().invoke(providers, ["--json"]).output)["data"]}
    assert (found["openai"]["calls"], found["openai"]["key_set"]) == ("real", True)
    assert (found["google"]["calls"], found["google"]["key_set"]) == ("simulated", False)
