"""No way inside: over 150 addresses, each as a literal, by a name, by a name that changes its mind, and by redirects.

The whole client of webhooks and callbacks, and the one of data hub and search, with a spy in the place of the operating
system's connect: not one connection is even tried. The doors refuse the same addresses when they are named.
"""

import asyncio
import ipaddress
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Sequence
from typing import Any

import httpcore
import pytest

from producer.operations.webhooks import WebhookSpec
from shared.errors import InvalidRequest
from shared.network import guarded, receivers
from shared.network.permissions import Permissions
from shared.settings import settings
from shared.settings_values import allow_list
from tests.receiver import Answer, Receiver
from tests.unit.test_addresses import LOOPBACK, NEVER, PRIVATE
from workers.webhooks import client as outbound

INSIDE = [one.split("%")[0] if "%" in one else one for one in (*LOOPBACK, *PRIVATE, *NEVER)]
#: The spellings that the system's resolver reads as 127.0.0.1, 169.254.169.254 or 10.0.0.1.
SPELT = """
2130706433 017700000001 0x7f000001 0x7f.1 0177.0.0.1 127.1 127.0.1 0 0x0 2852039166 0xa9fea9fe 0251.0376.0251.0376
169.254.43518 0xa9.0xfe.0xa9.0xfe 167772161 0xa000001 012.0.0.1 10.1 0300.0250.1 192.168.257
""".split()


class Spy:
    """In the place of the operating system: notes what would be connected to."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    async def connect(self, _: asyncio.AbstractEventLoop, __: socket.socket, place: tuple[Any, ...]) -> None:
        self.tried.append(place[0])
        raise ConnectionRefusedError("a spy connects to nothing")


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    made = Spy()
    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", lambda *given: made.connect(*given))
    return made


def posted(urls: Sequence[str], names: outbound.Resolver | None = None, **allowed: Any) -> list[outbound.SendResult]:
    async def post() -> list[outbound.SendResult]:
        async with outbound.client(resolver=names, **allowed) as client:
            return [await outbound.post(client, url, body=b"{}", headers={}, seconds=2) for url in urls]

    return asyncio.run(post())


def url_of(address: str) -> str:
    return f"https://[{address}]:443/hook" if ":" in address else f"https://{address}:443/hook"


def test_there_are_as_many_as_the_promise_names() -> None:
    assert len({*INSIDE, *SPELT}) >= 150
    assert {ipaddress.ip_address(one).version for one in INSIDE} == {4, 6}


@pytest.mark.parametrize("spelling", ["literal", "name"])
def test_nothing_inside_is_connected_to(spy: Spy, spelling: str) -> None:
    async def names(host: str, port: int) -> Sequence[str]:
        number = host.removeprefix("n").partition(".")[0]
        return [INSIDE[int(number)]] if number.isdigit() and host.startswith("n") else [host]

    urls = [url_of(one) if spelling == "literal" else f"https://n{n}.user.example/" for n, one in enumerate(INSIDE)]
    came = posted(urls, names)
    assert {one.failure for one in came} <= {"address_refused", "url"} and spy.tried == []


def test_no_spelling_of_a_number_is_connected_to(spy: Spy) -> None:
    came = posted([f"https://{spelt}/hook" for spelt in SPELT])
    assert {one.failure for one in came} <= {"address_refused", "connect", "url"} and spy.tried == []


def test_a_name_that_changes_its_mind_is_judged_each_time(spy: Spy) -> None:
    """Public at the first look, inside at the next: what was judged is what is connected to, and each time anew."""
    asked: list[str] = []

    async def names(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"] if asked.count(host) == 1 else [INSIDE[int(host.partition(".")[0][1:])]]

    urls = [f"https://n{number}.rebinding.example/" for number in range(len(INSIDE))]
    came = posted([*urls, *urls], names)
    assert {one.failure for one in came[: len(urls)]} == {"connect"}
    assert {one.failure for one in came[len(urls) :]} == {"address_refused"}
    assert spy.tried == ["93.184.216.34"] * len(INSIDE)


def test_one_inside_among_public_ones_refuses_the_name(spy: Spy) -> None:
    async def names(host: str, _: int) -> Sequence[str]:
        return ["93.184.216.34", INSIDE[int(host.partition(".")[0][1:])]]

    came = posted([f"https://n{number}.mixed.example/" for number in range(len(INSIDE))], names)
    assert {one.failure for one in came} == {"address_refused"} and spy.tried == []


def test_no_redirect_leads_inside() -> None:
    """A receiver that may be sent to answers with each of these addresses in turn; it stays at its answer."""
    to = iter([url_of(one) for one in INSIDE])
    with Receiver() as receiver, Receiver() as inside:
        receiver.answer = lambda delivery: Answer(307, headers={"Location": next(to)})
        came = posted([receiver.url] * len(INSIDE), allow_loopback=True)
        receiver.answer = Answer(308, headers={"Location": inside.url})
        came += posted([receiver.url], allow_loopback=True)
        assert {one.status for one in came} == {307, 308} and inside.connections == 0


@pytest.mark.parametrize("address", INSIDE)
def test_the_doors_refuse_it(address: str) -> None:
    for url in (url_of(address), url_of(address).replace("https", "http")):
        with pytest.raises(InvalidRequest, match=r"^callback_url: "):
            receivers.callback(url)
        with pytest.raises(InvalidRequest, match=r"^url: "):
            receivers.check(WebhookSpec(url=url).url)


def test_the_guard_of_data_hub_and_search_lets_none_in(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", lambda self, host, *_, **__: tried.append(host))
    for one in INSIDE:
        backend = guarded.GuardedBackend(allow_loopback=False, allow_private=False, lookup=lambda *_, one=one: [one])
        with pytest.raises(guarded.AddressRefused):
            backend.connect_tcp("hub.example", 443)
    assert tried == []


LISTED = "10.1.0.0/16, fd12:3456::/32, hooks.internal, *.cluster.local, 127.0.0.1/32"


@pytest.mark.parametrize(
    ("host", "address", "allowed"),
    [
        ("10.1.2.3", "10.1.2.3", True),
        ("10.2.0.1", "10.2.0.1", False),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3", True),
        ("fd12:3456::1", "fd12:3456::1", True),
        ("fd12:3457::1", "fd12:3457::1", False),
        ("a.user.example", "10.1.2.3", True),
        ("a.user.example", "10.2.0.1", False),
        ("hooks.internal", "192.168.7.7", True),
        ("a.hooks.internal", "192.168.7.7", False),
        ("a.b.cluster.local.", "172.16.0.1", True),
        ("cluster.local", "172.16.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.2", False),
        ("hooks.internal", "169.254.169.254", False),
        ("hooks.internal", "100.100.100.200", False),
        ("hooks.internal", "fe80::1", False),
        ("metadata.google.internal", "10.1.2.3", False),
    ],
)
def test_what_the_operator_lists_is_allowed_and_nothing_else(spy: Spy, host: str, address: str, allowed: bool) -> None:
    async def names(_: str, __: int) -> Sequence[str]:
        return [address]

    listed = allow_list(LISTED)
    (came,) = posted([url_of(host).replace("https", "http")], names, listed=listed)
    assert (came.failure == "connect", spy.tried) == (allowed, [address] if allowed else [])
    named = Permissions(listed=listed).of_name(host)
    assert not allowed or type(named).__name__ == "Allowed"


def test_a_listed_host_may_have_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "webhooks_allow", LISTED)
    for url in (
        "http://hooks.internal/x",
        "http://10.1.0.1:8080/",
        "http://[fd12:3456::1]/",
        "https://a.cluster.local/",
    ):
        receivers.check(url)
    for url in ("http://user.example/", "http://10.2.0.1/", "https://hooks.lan/", "http://a.hooks.internal/"):
        with pytest.raises(InvalidRequest):
            receivers.check(url)


@pytest.mark.parametrize("text", ["10.1.0.1/16", "1.2.3", "*.", "a b", "https://x", "*", "300.1.1.1", "a..b", "0x7f"])
def test_a_list_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="neither a network"):
        allow_list(text)
