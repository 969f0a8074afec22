"""A data hub that is slow, or hostile: its calls have a deadline, accounts take turns, nothing is asked for nobody."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from shared.db import Database
from shared.entities import resolving
from shared.entities.hub import CONNECTIONS, Hub, HubAway
from shared.entities.resolving import Resolver
from shared.errors import PayloadTooLarge
from shared.settings import Settings
from shared.submissions import linked_context
from shared.submissions.linked_context import Entity
from tests.conditions import await_condition


class SlowHub:
    """Answers ids that begin with `held` when `release` is set, and drips the heads of others for ever."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/{{type}}/{{id}}"
        self.release, self._over = threading.Event(), threading.Event()
        self.asked: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self.release.set()
        self._listening.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            try:
                id = client.recv(65536).split(b" ")[1].decode().rpartition("/")[2]
                self.asked.append(id)
                if id.startswith("drip"):
                    self._drip(client, b"X-Slow: 1\r\n")
                elif id.startswith("informed"):
                    self._drip(client, b"\r\nHTTP/1.1 103 Early Hints\r\n")
                if id.startswith("held"):
                    self.release.wait(30)
                body = json.dumps({"text": "x" * 1000}).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            except OSError:
                return

    def _drip(self, client: socket.socket, again: bytes) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n" if again.startswith(b"X") else b"HTTP/1.1 103 Early Hints\r\n")
        while not self._over.wait(0.02):
            client.sendall(again)


@pytest.fixture
def slow() -> Iterator[SlowHub]:
    made = SlowHub()
    yield made
    made.close()


def hub(slow: SlowHub, seconds: float = 20) -> Hub:
    return Hub(Settings(data_hub_url=slow.url, data_hub_seconds=seconds, data_hub_allow_loopback=True))


def asked(one: Hub, account: str, *ids: str) -> list[Future[Entity | None]]:
    return list(one.ask(account, [("T", id) for id in ids]).values())


@pytest.mark.parametrize("id", ["drip", "informed"])
def test_a_call_is_over_when_its_time_is_however_the_answer_comes(slow: SlowHub, id: str) -> None:
    one = hub(slow, seconds=0.3)
    (future,) = asked(one, "acct_1", id)
    with pytest.raises(HubAway):
        future.result(10)
    one.close()


def test_an_account_that_asks_for_much_holds_no_other_up(slow: SlowHub) -> None:
    one = hub(slow)
    held = asked(one, "acct_1", *(f"held-{number}" for number in range(50)))
    await_condition(lambda: slow.asked, what="the first calls")
    (mine,) = asked(one, "acct_2", "quick")
    assert mine.result(10) and not any(future.done() for future in held)
    slow.release.set()
    assert all(future.result(10) for future in held)
    one.close()


def test_what_nobody_waits_for_any_more_is_not_asked_for(slow: SlowHub) -> None:
    one = hub(slow)
    keys = [("T", f"held-{number}") for number in range(50)]
    one.ask("acct_1", keys)
    also = one.ask("acct_2", keys[-1:])[keys[-1]]
    await_condition(lambda: slow.asked, what="the first calls")
    one.leave("acct_1", keys)
    slow.release.set()
    assert also.result(10), "another still waits for it"
    (later,) = asked(one, "acct_1", "quick")
    assert later.result(10) and len(slow.asked) <= CONNECTIONS + 2
    one.close()


def test_who_waits_no_longer_leaves_nothing_behind(
    slow: SlowHub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = _resolver(slow, database, monkeypatch)
    monkeypatch.setattr(resolving, "MOST_SECONDS", 0.2)
    for number in range(2):
        with pytest.raises(HubAway):
            asyncio.run(resolver.find(f"acct_{number}", [("T", f"held-{one}") for one in range(50)]))
        with pytest.raises(HubAway):
            resolver.find_sync(f"acct_{number}", [("T", f"held-s{one}") for one in range(50)])
    monkeypatch.setattr(resolving, "MOST_SECONDS", 10)
    slow.release.set()
    assert asyncio.run(resolver.find("acct_1", [("T", "quick")])) and len(slow.asked) <= 2 * CONNECTIONS + 1
    resolver.close()


def test_a_list_that_is_too_large_is_refused_before_all_of_it_is_there(
    slow: SlowHub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = _resolver(slow, database, monkeypatch)
    monkeypatch.setattr(linked_context, "MOST_LIST_BYTES", 300_000)
    with pytest.raises(PayloadTooLarge):
        asyncio.run(resolver.find("acct_1", [("T", str(number)) for number in range(2_000)]))
    assert len(slow.asked) <= 2 * resolving.TOGETHER
    resolver.close()


def _resolver(slow: SlowHub, database: Database, monkeypatch: pytest.MonkeyPatch) -> Resolver:
    given: dict[str, Any] = {"data_hub_url": slow.url, "data_hub_seconds": 20, "data_hub_allow_loopback": True}
    monkeypatch.setattr(resolving, "settings", lambda: Settings(**given))
    return Resolver(database)
