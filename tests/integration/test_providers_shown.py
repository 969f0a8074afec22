"""`fusionai providers` and /metrics on what workers have learned: paused since when and why, at what pace."""

import json
from importlib import import_module
from typing import Any

import httpx
import pytest
import redis
from click.testing import CliRunner

from fusionai.plain import PlainClient
from producer import cli
from producer.cli import connection, offer_statistics
from producer.cli.output import moment
from producer.cli.providers import providers
from producer.metrics import Reading, read_providers, render
from shared import clock
from shared.providers import states as provider_states
from shared.providers.states import KEY, NAMES, ProviderState, dump, name_of
from shared.providers.statistics import SUMS
from shared.settings import settings
from shared.submissions.catalogue import catalogue
from tests.servers import RedisServer, free_port
from tests.unit.test_cli_tables import screen

models_shown = import_module("producer.cli.models")
providers_shown = import_module("producer.cli.providers")


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
    monkeypatch.setattr(settings(), "database_url", f"sqlite:///{tmp_path}/none.sqlite3")
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


@pytest.mark.parametrize(
    ("running", "calls", "words"),
    [({}, "none", "VLLM_BASE_URL not set"), ({"local_providers": ["vllm"]}, "real", "VLLM_API_KEY not set")],
)
def test_a_server_of_one_s_own_is_where_the_running_stack_says_it_is(
    known: redis.Redis, running: dict[str, Any], calls: str, words: str
) -> None:
    known.sadd(NAMES, "vllm/llama")
    known.set(KEY.format("vllm/llama"), dump(ProviderState(rate=1.0)))
    (settings().state_directory / "stack.json").write_text(json.dumps(running))
    found = {one["provider"]: one for one in json.loads(CliRunner().invoke(providers, ["--json"]).output)["data"]}
    assert (found["vllm"]["calls"], found["vllm"]["base_url_variable"]) == (calls, "VLLM_BASE_URL")
    assert words in CliRunner().invoke(providers, []).output


@pytest.fixture
def own_api(served: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """The same, and an API whose models are served by those offers."""
    row = catalogue().models["gpt-4"]
    now, _ = served.time()
    sums = {"at": now, "calls": 12, "failures": 3, "total_count": 9, "total_seconds": 18.0, "first_count": 0}
    served.hset(SUMS, name_of(row.provider, row.upstream), json.dumps(sums))
    price = {"input": 30_000_000, "output": 60_000_000}
    data = [
        {"id": id, "object": "model", "provider": "openai", "price": price, "context_tokens": 128_000}
        for id in ("gpt-4", "text-embedding-3-large", "nothing-known")
    ]

    def client(base_url: str, key: str, **options: Any) -> PlainClient:
        page = {"object": "list", "data": data, "has_more": False}
        answers = httpx.MockTransport(lambda request: httpx.Response(200, json=page))
        return PlainClient(base_url, key, transport=answers, **options)

    monkeypatch.setattr(connection, "PlainClient", client)
    (settings().state_directory / "stack.json").write_text(json.dumps({"redis_url": settings().redis_url}))
    return served


def models(*more: str) -> str:
    words = ["models", "list", "--base-url", "http://api/v1", "--key", "fusionai_live_x", *more]
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_models_show_their_health(own_api: redis.Redis) -> None:
    line = next(one for one in models().splitlines() if one.startswith("gpt-4 "))
    assert "paused, invalid API key (401)" in line and line.split()[-5:-2] == ["25.0", "%", "-"]
    assert line.split()[-2] == "2.00"
    gpt, *_, unknown = json.loads(models("--json"))["data"]
    assert gpt["statistics"].pop("calls") == pytest.approx(12, rel=0.05)
    assert gpt["statistics"] == {"error_rate": 0.25, "first_seconds": None, "total_seconds": 2.0}
    assert (unknown["state"], unknown["statistics"]) == ("ok", None)


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (60, ("model", "errors")),
        (80, ("model", "state", "errors", "answer")),  # none of them has a first token: that column leaves first
        (200, ("model", "provider", "can")),
    ],
)
def test_models_fit_the_terminal(
    own_api: redis.Redis, monkeypatch: pytest.MonkeyPatch, width: int, kept: tuple[str, ...]
) -> None:
    rows = [models_shown._row(one) for one in json.loads(models("--json"))["data"]]
    page = screen(width, monkeypatch)
    offer_statistics.table(page.output, models_shown._COLUMNS, rows, known=True, empty="")
    header, first, *_ = lines = page.lines()[:4]
    assert max(map(len, lines)) <= width, lines
    assert set(kept) <= set(header.split()) and ("25.0 %" in first) == ("errors" in header), lines


def test_providers_fit_the_terminal(served: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    served.delete(KEY.format("openai/*"))
    found = json.loads(CliRunner().invoke(providers, ["--json"]).output)["data"]
    page = screen(80, monkeypatch)
    rows = [row for one in found for row in providers_shown._rows(one)]
    offer_statistics.table(page.output, providers_shown._COLUMNS, rows, known=True, empty="")
    lines = page.lines()
    assert max(map(len, lines)) <= 80 and {"state", "errors", "first", "answer"} <= set(lines[0].split()), lines
    assert any("25.0 % 0.40 2.00" in " ".join(line.split()) for line in lines)
