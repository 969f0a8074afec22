"""The way to a data hub: what is asked, what is kept, what is refused; the simulator is the hub."""

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest

from shared.entities.hub import Hub, HubAway
from shared.entities.hub_cache import HubCache
from shared.settings import Settings
from shared.submissions.linked_context import Entity
from workers.simulator.server import SimulatorProcess

KEY = "hub-key-canary-5d1c"


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as running:
        yield running


@pytest.fixture
def script(simulator: SimulatorProcess) -> Iterator[Any]:
    address = f"{simulator.url}/_simulator/script"

    def order(**fault: Any) -> None:
        httpx.post(address, json={"rules": [{"fault": fault}] if fault else [], "record": True}).raise_for_status()

    order()
    yield order
    httpx.delete(address).raise_for_status()


def hub(simulator: SimulatorProcess, path: str = "/datahub/entities/{type}/{id}", **changes: Any) -> Hub:
    given: dict[str, Any] = {
        "data_hub_url": simulator.url + path,
        "data_hub_key": KEY,
        "data_hub_seconds": 1.0,
        "data_hub_allow_loopback": True,
        **changes,
    }
    return Hub(Settings(**given))


def asked(one: Hub, id: str = "1", type: str = "ORGANIZATION", account: str = "acct_1") -> Entity | None:
    futures: dict[Any, Future[Entity | None]] = one.ask(account, [(type, id)])
    return futures[type, id].result(20)


def calls(simulator: SimulatorProcess) -> int:
    return len(httpx.get(f"{simulator.url}/_simulator/log", params={"provider": "datahub"}).json()["calls"])


@pytest.mark.usefixtures("script")
def test_an_answer_is_read_and_kept(simulator: SimulatorProcess) -> None:
    one = hub(simulator)
    wanted = Entity("ORGANIZATION", "1", "Hub 1", {"source": "simulated hub", "length": 1}, "All about 1.")
    assert asked(one) == wanted and asked(one, account="acct_2") == wanted and calls(simulator) == 1
    assert asked(one, "absent-1") is None and asked(one, "absent-1") is None and calls(simulator) == 2
    one.close()


@pytest.mark.usefixtures("script")
def test_a_hub_that_answers_for_an_account_is_asked_for_each(simulator: SimulatorProcess) -> None:
    one = hub(simulator, "/datahub/entities/{type}/{id}?for={account}")
    assert asked(one) and asked(one, account="acct_2") and asked(one) and calls(simulator) == 2
    one.close()


@pytest.mark.usefixtures("script")
def test_without_a_cache_it_is_asked_each_time(simulator: SimulatorProcess) -> None:
    one = hub(simulator, data_hub_cache_seconds=0)
    assert asked(one) and asked(one) and calls(simulator) == 2
    one.close()


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 302, "headers": {"location": "http://127.0.0.1:1/"}},
        {"status": 204},
        {"status": 429, "headers": {"retry-after": "17"}},
        {"status": 503},
        {"kind": "malformed_json"},
        {"kind": "reset"},
        {"kind": "reset_mid_body"},
        {"kind": "hang"},
        {"kind": "html", "status": 200},
    ],
    ids=str,
)
def test_whatever_else_it_answers_it_is_away(
    simulator: SimulatorProcess, script: Any, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = hub(simulator, data_hub_seconds=0.5)
    script(**fault)
    with pytest.raises(HubAway) as away:
        asked(one)
    assert away.value.retry_after_seconds == (17 if fault.get("status") == 429 else 5)
    script()
    assert asked(one), "a failure is not kept"
    assert KEY not in caplog.text and KEY not in repr(away.value) and simulator.url not in str(away.value)
    one.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::a00:1"])
def test_addresses_are_judged_when_they_are_connected_to(
    simulator: SimulatorProcess, script: Any, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"data_hub_url": f"http://hub.example:{simulator.url.rpartition(':')[2]}/datahub/entities/{{type}}/{{id}}"}
    one = Hub(Settings(**given), lambda host, port: ["93.184.216.34", address])  # type: ignore[arg-type]
    with pytest.raises(HubAway):
        asked(one)
    assert calls(simulator) == 0 and "not allowed" in caplog.text
    one.close()


def test_a_wrong_key_is_a_hub_that_is_away(simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture) -> None:
    one = hub(simulator, data_hub_key="invalid-canary")
    with pytest.raises(HubAway):
        asked(one)
    assert "status 401" in caplog.text and "canary" not in caplog.text
    one.close()


@pytest.mark.usefixtures("script")
@pytest.mark.parametrize("id", ["..", ".", "a/../b", "..\\x", "../../_simulator/log"])
def test_an_id_that_climbs_is_not_asked_for(simulator: SimulatorProcess, id: str) -> None:
    one = hub(simulator)
    assert asked(one, id) is None and calls(simulator) == 0
    one.close()


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.entities.hub_cache.MOST_ENTITIES", 3)
    cache = HubCache(300)
    for number in range(5):
        cache.put(("", "T", str(number)), Entity("T", str(number)))
        cache.get(("", "T", "2"))
    assert len(cache) == 3 and cache.get(("", "T", "2")) and cache.get(("", "T", "0")) is None
    monkeypatch.setattr("shared.entities.hub_cache.MOST_BYTES", 1_000)
    cache.put(("", "T", "9"), Entity("T", "9", text="x" * 300))
    assert len(cache) == 1
