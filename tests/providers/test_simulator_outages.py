"""The simulator's outages: windows of time, some of the calls, one model, a machine that refuses connections."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conditions import await_condition
from workers.simulator.__main__ import main
from workers.simulator.server import SimulatorProcess, simulator

CHAT = "/openai/v1/chat/completions"
KEY = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01", "x-goog-api-key": "k"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=KEY, timeout=5) as client:
        yield client
        client.delete("/_simulator/script")


def order(http: httpx.Client, fault: dict[str, Any], **rule: Any) -> None:
    http.post("/_simulator/script", json={"rules": [{"fault": fault, **rule}]}).raise_for_status()


def status(http: httpx.Client, **more: Any) -> int:
    body = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}], **more}
    return http.post(CHAT, json=body).status_code


def test_an_outage_lasts_for_its_window(http: httpx.Client) -> None:
    began = time.monotonic()
    order(http, {"status": 503}, for_seconds=0.5)
    assert status(http) == 503
    await_condition(lambda: status(http) == 200, seconds=5, what="the end of the outage")
    assert 0.5 <= time.monotonic() - began < 3


def test_an_outage_may_begin_later(http: httpx.Client) -> None:
    order(http, {"status": 503}, after_seconds=0.4)
    assert status(http) == 200
    await_condition(lambda: status(http) == 503, seconds=5, what="the beginning of the outage")


def test_an_outage_may_begin_with_the_first_call(http: httpx.Client) -> None:
    order(http, {"status": 503}, for_seconds=0.5, from_first_call=True, model="late")
    time.sleep(0.6)
    assert status(http) == 200 and status(http, model="late") == 503
    await_condition(lambda: status(http, model="late") == 200, seconds=5, what="the end of the outage")


@pytest.mark.parametrize(
    ("code", "name", "kind"),
    [
        (401, "invalid_api_key", "invalid_request_error"),
        (402, "", "invalid_request_error"),
        (403, "", "invalid_request_error"),
        (429, "insufficient_quota", "insufficient_quota"),
    ],
)
def test_an_outage_of_money_or_of_the_key(http: httpx.Client, code: int, name: str, kind: str) -> None:
    order(http, {"status": code, "code": name}, provider="openai")
    answer = http.post(CHAT, json={"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"] or "", error["type"]) == (code, name, kind)


def test_an_outage_may_be_one_models(http: httpx.Client) -> None:
    order(http, {"status": 503}, model="broken")
    assert (status(http, model="broken"), status(http, model="whole")) == (503, 200)
    gemini = {"contents": [{"parts": [{"text": "x"}]}]}
    assert http.post("/google/v1beta/models/broken:generateContent", json=gemini).status_code == 503
    assert http.post("/google/v1beta/models/whole:generateContent", json=gemini).status_code == 200


def test_every_so_manieth_call_fails(http: httpx.Client) -> None:
    order(http, {"status": 500}, every=3)
    assert [status(http) for _ in range(7)] == [200, 200, 500, 200, 200, 500, 200]
    order(http, {"status": 500}, every=2, times=1)
    assert [status(http) for _ in range(4)] == [200, 500, 200, 200]


def test_some_calls_fail_at_random(http: httpx.Client) -> None:
    order(http, {"status": 500}, probability=0.3)
    failed = [status(http) for _ in range(300)].count(500)
    assert 50 < failed < 130
    order(http, {"status": 500}, probability=0)
    assert {status(http) for _ in range(20)} == {200}


def test_a_machine_that_is_down_refuses_connections_and_keeps_its_counts() -> None:
    with SimulatorProcess() as process, httpx.Client(base_url=process.url, headers=KEY) as http:
        assert status(http) == 200
        began = time.monotonic()
        assert http.post("/_simulator/down", json={"seconds": 1}).json() == {"down_seconds": 1}
        await_condition(lambda: _refuses(process.url), seconds=5, what="a refused connection")
        await_condition(lambda: not _refuses(process.url), seconds=5, what="the machine")
        assert time.monotonic() - began >= 1
        assert status(http) == 200 and http.get("/_simulator/seconds").json()["admitted"] == 2
        assert http.post("/_simulator/down", json={"seconds": 0}).status_code == 400
        assert process.stop() == 0


def test_calls_under_way_break_off_when_the_machine_goes_down() -> None:
    with SimulatorProcess() as process, httpx.Client(base_url=process.url, headers=KEY) as http:
        order(http, {"kind": "stall", "tokens": 2})
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        with pytest.raises(httpx.TransportError), http.stream("POST", CHAT, json=body, timeout=5) as answer:
            httpx.post(f"{process.url}/_simulator/down", json={"seconds": 0.2})
            answer.read()


def _refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/_simulator/calls")
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        return False
    return False


# The command


def test_the_command_makes_it_slow_faulty_and_limited() -> None:
    with SimulatorProcess(more=("--fail", "0.5")) as process, httpx.Client(base_url=process.url, headers=KEY) as http:
        http.post("/_simulator/script", json={"rules": []})
        found = [status(http) for _ in range(200)]
        assert set(found) == {200, 429, 500, 503} and 50 <= found.count(200) <= 150
    with SimulatorProcess(more=("--latency", "0.1-0.2")) as process:
        with httpx.Client(base_url=process.url, headers=KEY) as http:
            began = time.monotonic()
            assert status(http) == 200 and 0.1 <= time.monotonic() - began < 1
    with SimulatorProcess(more=("--limit", "60")) as process, httpx.Client(base_url=process.url, headers=KEY) as http:
        assert [status(http) for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("wrong", [("--fail", "2"), ("--latency", "x"), ("--latency", "2-1"), ("--limit", "0")])
def test_the_command_refuses_what_makes_no_sense(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(list(wrong))
    assert wrong[0] in capsys.readouterr().err
