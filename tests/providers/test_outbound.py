"""The guarded client against real sockets on loopback: what is refused makes no connection at all."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.network.permissions import Permissions
from tests.receiver import Answer, Delivery, Receiver
from workers.connections import name_resolver as lookups
from workers.webhooks import client as outbound

#: Every spelling of this machine's own addresses that getaddrinfo or a URL parser might see through.
SPELLINGS = """
127.0.0.1 127.0.0.1. 127.1 127.0.1 127.000.000.001 2130706433 017700000001 0x7f000001 0x7F000001 0x7f.1
0x7f.0.0.1 0177.0.0.1 0177.1 00000177.0.0.1 127.0.0.01 127.0.0.0x1 0 0.0.0.0 0x0 localhost LOCALHOST
localhost. foo.localhost 127.0.0.2 127.255.255.254 127%2e0%2e0%2e1 １２７.０.０.１ ①②⑦.⓪.⓪.① 127。0。0。1
[::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:0:127.0.0.1] [::127.0.0.1] [::1%25lo]
[64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:1::1] [fe80::1%25lo]
[2001:0:4136:e378:8000:63bf:80ff:fffe] [::ffff:0.0.0.0] [fec0::1] [fc00::1] [5f00::1] [100::1] [ff02::1]
""".split()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Names:
    """A resolver whose answers change with every question, as a rebinding attacker's; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.questions: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.questions.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def without_dns(host: str, port: int) -> Sequence[str]:
    """The system's resolver for every spelling of an address and for localhost; it asks no name server."""
    if host.lower().rstrip(".").endswith("localhost"):
        return ["127.0.0.1", "::1"]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(sockaddr[0]) for *_, sockaddr in found]


@asynccontextmanager
async def opened(
    *, loopback: bool = False, private: bool = False, names: outbound.Resolver = without_dns
) -> AsyncIterator[outbound.WebhookClient]:
    async with outbound.client(allow_loopback=loopback, allow_private=private, resolver=names) as client:
        yield client


def posted(url: str, *, loopback: bool = False, names: outbound.Resolver = without_dns) -> outbound.SendResult:
    async def post() -> outbound.SendResult:
        async with opened(loopback=loopback, names=names) as client:
            return await outbound.post(client, url, body=b"{}", headers={"webhook-id": "evt_1"})

    return asyncio.run(post())


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_loopback_connects(receiver: Receiver, host: str) -> None:
    answer = posted(f"http://{host}:{receiver.port}/")
    assert answer.status is None
    assert answer.failure in ("address_refused", "connect", "url")
    assert receiver.connections == 0


#: Read by getaddrinfo as addresses, whatever a URL parser in front of it thinks.
LITERALS = """
127.0.0.1 127.1 127.0.1 2130706433 017700000001 0x7f000001 0x7f.1 0177.0.0.1 0177.1 127.0.0.01 0 0x0 0.0.0.0 ::1
::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 localhost
""".split()


@pytest.mark.parametrize("host", LITERALS)
def test_the_guard_alone_refuses_what_getaddrinfo_reads(receiver: Receiver, host: str) -> None:
    backend = outbound.GuardedConnector(lookups.NameResolver(), Permissions(private=True))
    with pytest.raises(outbound.WebhookAddressRefused, match="is not allowed as a webhook host"):
        asyncio.run(backend.connect_tcp(host, receiver.port))
    assert receiver.connections == 0


REFUSED_ANSWERS = """
127.0.0.1 ::1 0.0.0.0 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 169.254.169.254 192.0.0.192 198.18.0.1
224.0.0.1 240.0.0.1 255.255.255.255 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1
2002:7f00:1:: 2001::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 5f00::1 ::127.0.0.1 100::1
""".split()


@pytest.mark.parametrize("address", REFUSED_ANSWERS)
def test_a_name_that_resolves_there_is_refused(receiver: Receiver, address: str) -> None:
    names = Names([address])
    answer = posted(f"http://hooks.example:{receiver.port}/", names=names)
    assert answer.failure == "address_refused"
    assert names.questions == [("hooks.example", receiver.port)]
    assert address not in (answer.detail or "")
    assert receiver.connections == 0


def test_one_bad_address_among_good_ones_refuses_the_name(receiver: Receiver) -> None:
    names = Names(["93.184.215.14", "127.0.0.1"])
    assert posted(f"http://hooks.example:{receiver.port}/", names=names).failure == "address_refused"
    assert receiver.connections == 0


def test_rebinding_between_two_deliveries_is_refused(receiver: Receiver) -> None:
    """The first resolution is good (loopback, allowed here), the second leads inside; each is judged anew."""
    receiver.answer = Answer(headers={"Connection": "close"})
    names = Names(["127.0.0.1"], ["10.0.0.1"])

    async def twice() -> list[outbound.SendResult]:
        async with opened(loopback=True, names=names) as client:
            url = f"http://hooks.example:{receiver.port}/"
            return [await outbound.post(client, url, body=b"{}", headers={}) for _ in range(2)]

    first, second = asyncio.run(twice())
    assert (first.status, second.failure) == (200, "address_refused")
    assert receiver.connections == 1


def test_the_judged_address_is_the_one_connected_to(receiver: Receiver) -> None:
    """One question a connection: no second lookup that could answer otherwise. Host stays the URL's."""
    names = Names(["127.0.0.1"], ["192.168.0.1"])
    answer = posted(f"http://hooks.example:{receiver.port}/x", loopback=True, names=names)
    assert answer.status == 200
    assert len(names.questions) == 1
    assert receiver.deliveries[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_the_next_address_is_tried_when_one_does_not_answer(receiver: Receiver) -> None:
    names = Names(["127.0.0.2", "::1", "127.0.0.1"])
    assert posted(f"http://hooks.example:{receiver.port}/", loopback=True, names=names).status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver, status: int) -> None:
    with Receiver() as target:
        receiver.answer = Answer(status, headers={"Location": target.url})
        assert posted(receiver.url, loopback=True).status == status
        assert target.connections == 0
    assert len(receiver.deliveries) == 1


def test_a_delivery_end_to_end(receiver: Receiver) -> None:
    receiver.answer = Answer(202, body=b"thanks")
    answer = posted(receiver.url, loopback=True)
    assert (answer.status, answer.body, answer.failure) == (202, b"thanks", None)
    (delivery,) = receiver.wait_for(lambda deliveries: len(deliveries) == 1)
    assert (delivery.method, delivery.path, delivery.body) == ("POST", "/hook", b"{}")
    assert delivery.headers["webhook-id"] == "evt_1"
    assert delivery.headers["accept-encoding"] == "identity"


def test_ipv6_loopback_end_to_end() -> None:
    with Receiver("::1") as receiver:
        assert posted(receiver.url, loopback=True).status == 200
        assert posted(receiver.url).failure == "address_refused"
        assert receiver.connections == 1


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert posted(receiver.url, loopback=True).status == 200
        assert proxy.connections == 0


def test_no_cookie_is_kept(receiver: Receiver) -> None:
    receiver.answer = Answer(headers={"Set-Cookie": "a=b"})

    async def twice() -> None:
        async with opened(loopback=True) as client:
            for _ in range(2):
                await outbound.post(client, receiver.url, body=b"{}", headers={})

    asyncio.run(twice())
    assert all("cookie" not in delivery.headers for delivery in receiver.deliveries)
    assert receiver.connections == 1


def test_no_more_than_the_limit_is_read(receiver: Receiver) -> None:
    receiver.answer = Answer(body=b"x" * (outbound.BODY_BYTES * 20))
    assert posted(receiver.url, loopback=True).body == b"x" * outbound.BODY_BYTES


def test_a_compressed_answer_is_not_unpacked(receiver: Receiver) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    receiver.answer = Answer(headers={"Content-Encoding": "gzip"}, body=bomb)
    assert posted(receiver.url, loopback=True).body == bomb[: outbound.BODY_BYTES]


async def within(url: str, seconds: float, names: outbound.Resolver = without_dns) -> outbound.SendResult:
    async with opened(loopback=True, names=names) as client:
        return await outbound.post(client, url, body=b"{}", headers={}, seconds=seconds)


def test_a_slow_receiver_is_given_up(receiver: Receiver) -> None:
    receiver.answer = Answer(delay_seconds=60)
    answer = asyncio.run(within(receiver.url, 0.2))
    assert (answer.status, answer.failure) == (None, "timeout")
    assert 0.2 <= answer.seconds < 5


def test_a_slow_resolver_is_given_up() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    assert asyncio.run(within("http://hooks.example/", 0.1, never)).failure == "timeout"


def test_a_name_that_does_not_resolve() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    assert posted("http://hooks.example/", names=unknown).failure == "connect"
    assert posted("http://hooks.example/", names=Names([])).failure == "connect"


def test_a_receiver_that_hangs_up(receiver: Receiver) -> None:
    receiver.answer = lambda delivery: Answer(close=delivery.path == "/hook")
    answer = posted(receiver.url, loopback=True)
    assert (answer.status, answer.failure) == (None, "protocol")


def test_nobody_listens() -> None:
    with Receiver() as gone:
        url = gone.url
    assert posted(url, loopback=True).failure == "connect"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "http://[::1", "/hook", "http://a\nb/", "unix:/x"])
def test_a_url_that_is_none(url: str) -> None:
    assert posted(url, loopback=True).failure == "url"


@pytest.mark.parametrize(
    "url", ["http+unix://%2frun%2fdocker.sock/", "unix:/run/docker.sock", "http:///run/docker.sock"]
)
def test_unix_sockets_are_refused(url: str) -> None:
    assert posted(url, loopback=True).failure == "url"


def test_there_is_no_way_but_the_guarded_one(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose guard refuses to connect reaches nothing, whatever else is allowed."""

    async def refuse(*_: object) -> None:
        raise outbound.WebhookAddressRefused("nothing is allowed")

    async def post() -> outbound.SendResult:
        async with opened(loopback=True) as client:
            assert isinstance(client.backend, outbound.GuardedConnector)
            monkeypatch.setattr(client.backend, "_judged", refuse)
            return await outbound.post(client, receiver.url, body=b"{}", headers={})

    assert asyncio.run(post()).failure == "address_refused"
    assert receiver.connections == 0


def test_https_keeps_the_name_of_the_url_for_tls() -> None:
    """A plain listener cannot speak TLS: it sees the ClientHello, and the delivery fails to connect."""
    hello: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.append(await reader.read(4096))
        writer.close()

    async def deliver() -> outbound.SendResult:
        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        async with server, opened(loopback=True, names=Names(["127.0.0.1"])) as client:
            url = f"https://hooks.example:{server.sockets[0].getsockname()[1]}/"
            return await outbound.post(client, url, body=b"{}", headers={})

    assert asyncio.run(deliver()).failure == "connect"
    assert b"hooks.example" in hello[0]


def test_the_receiver_records_and_changes_its_answer(receiver: Receiver) -> None:
    def third_time_lucky(delivery: Delivery) -> Answer:
        return Answer(200 if len(receiver.deliveries) >= 3 else 503)

    receiver.answer = third_time_lucky
    assert [posted(receiver.url, loopback=True).status for _ in range(3)] == [503, 503, 200]
    with pytest.raises(AssertionError, match="3 deliveries"):
        receiver.wait_for(lambda deliveries: len(deliveries) == 4, timeout=0.01)


class Raw:
    """A server that answers whatever it is asked with the same bytes, piece by piece."""

    def __init__(self, *pieces: bytes, pause: float = 0.0, hangs: bool = False) -> None:
        self.pieces, self.pause, self.hangs = pieces, pause, hangs
        self.serving: set[asyncio.Task[None]] = set()
        #: Bytes that the sender's machine has taken.
        self.sent = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the sender hung up, or the test is over
        finally:
            writer.transport.abort()
            self.serving.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2 if head.startswith(b"POST") else 0)
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)
            await asyncio.sleep(self.pause)
        if self.hangs:
            await reader.read()
        else:
            writer.close()
            await writer.wait_closed()

    async def stop(self) -> None:
        """End what is still being answered."""
        while self.serving:
            for task in self.serving:
                task.cancel()
            await asyncio.wait(self.serving)
        await asyncio.sleep(0)


def answered(raw: Raw, *, seconds: float = 5.0) -> outbound.SendResult:
    async def main() -> outbound.SendResult:
        server = await asyncio.start_server(raw, "127.0.0.1", 0)
        async with server, opened(loopback=True) as client:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            answer = await outbound.post(client, url, body=b"{}", headers={}, seconds=seconds)
            await raw.stop()
            return answer

    return asyncio.run(main())


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
#: What a receiver sends, and the status, or else the failure, that is recorded.
WIRE: list[tuple[str, Raw, int | str]] = [
    ("no body", Raw(OK + b"\r\n"), 200),
    ("204", Raw(b"HTTP/1.1 204 No Content\r\n\r\n", hangs=True), 204),
    ("HTTP/1.0", Raw(b"HTTP/1.0 200 OK\r\n\r\nfine"), 200),
    ("no reason", Raw(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", hangs=True), 200),
    ("informational first", Raw(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"), 200),
    ("chunks", Raw(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", hangs=True), 200),
    ("a body without end", Raw(OK + b"\r\n", *[b"x" * 65536] * 4, hangs=True), 200),
    ("a length too long", Raw(OK + b"Content-Length: 10\r\n\r\nok"), 200),
    ("a length too short", Raw(OK + b"Content-Length: 1\r\n\r\nlong", hangs=True), 200),
    ("two lengths", Raw(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok"), "protocol"),
    ("a length that is none", Raw(OK + b"Content-Length: x\r\n\r\nok"), "protocol"),
    ("broken chunks", Raw(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 200),
    ("no HTTP", Raw(b"220 mail.example ESMTP\r\n"), "protocol"),
    ("nothing", Raw(), "protocol"),
    ("half a head", Raw(b"HTTP/1.1 200 OK\r\nA: "), "protocol"),
    ("a huge head", Raw(OK, *[b"A: " + b"x" * 65536 + b"\r\n"] * 8), "protocol"),
    ("a status that is none", Raw(b"HTTP/1.1 99 Odd\r\n\r\n"), "protocol"),
    ("byte by byte", Raw(*(bytes([byte]) for byte in OK + b"A: b\r\n" * 200), pause=0.05), "timeout"),
    ("a body byte by byte", Raw(OK + b"Content-Length: 999\r\n\r\n", *[b"x"] * 999, pause=0.05), 200),
]


@pytest.mark.parametrize(("raw", "outcome"), [row[1:] for row in WIRE], ids=[row[0] for row in WIRE])
def test_whatever_a_receiver_sends_is_an_answer(raw: Raw, outcome: int | str) -> None:
    answer = answered(raw, seconds=1.0 if outcome == "timeout" else 30.0)
    assert (answer.status or answer.failure) == outcome
    assert len(answer.body) <= outbound.BODY_BYTES and (answer.status is not None or answer.detail)


@pytest.mark.parametrize("begin", [b"0\r\nLocation: ", b"2;a=", b"0\r\nA: b\r\n", b"1;"])
def test_an_answer_that_is_framed_without_end_is_hung_up(begin: bytes) -> None:
    """Not read on for as long as a body may take: trailers and extensions of chunks are no body, and count as well."""
    raw = Raw(OK + CHUNKED + begin, *[b"x" * 65536] * 4000, hangs=True)
    answer = answered(raw, seconds=30.0)
    assert answer.status == 200 and answer.location is None
    assert raw.sent < 16 * 1024 * 1024  # what the system's buffers take, not what can be sent in two seconds


#: Addresses that an older version may have let in.
UNREADABLE = """
https://xn--a/ http://xn--0.com/ http://xn--zz9a.com/ http://xn--a-ecp.ru/ http://a..b/ http://%31.0.0.1/
http://127.0.0.1:99999/ http://127.0.0.1:x/ http://user:pass@xn--a/ http://[::1 http://☃.net/ http:///x http://.a/
""".split()


@pytest.mark.parametrize("url", [*UNREADABLE, "http://" + "a" * 70 + ".com/", "http://a/\r\nX: y", "", "\udc80"])
def test_whatever_an_address_is_there_is_an_answer(url: str) -> None:
    answer = posted(url, loopback=True)
    assert answer.status is None and answer.failure and answer.detail


def test_a_fault_of_ours_is_an_answer_that_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> outbound.SendResult:
        async with opened(loopback=True) as client:

            def wrong(*_: object, **__: object) -> None:
                raise RuntimeError("of ours: sk-secret")

            monkeypatch.setattr(client, "exchange", wrong)
            return await outbound.post(client, "http://127.0.0.1:1/", body=b"{}", headers={})

    answer = asyncio.run(main())
    assert (answer.status, answer.failure) == (None, "internal") and "sk-secret" not in (answer.detail or "")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("120", 120), ("0", 0), ("1.5", 1.5), ("-1", None), ("soon", None), ("", None), ("9" * 30, None)],
)
def test_what_retry_after_says(receiver: Receiver, said: str, seconds: float | None) -> None:
    receiver.answer = Answer(503, headers={"Retry-After": said})
    assert posted(receiver.url, loopback=True).retry_seconds == seconds


def test_retry_after_as_a_date_is_read_by_the_receivers_clock(receiver: Receiver) -> None:
    dates = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:30:00 GMT"}
    receiver.answer = Answer(429, headers=dates)
    assert posted(receiver.url, loopback=True).retry_seconds == 120


@pytest.mark.parametrize("name", ["metadata.google.internal", "hooks.default.svc", "a.localhost", "b.internal."])
def test_names_of_private_networks_are_not_even_resolved(name: str) -> None:
    names = Names(["93.184.215.14"])
    assert posted(f"http://{name}/", names=names).failure == "address_refused"
    assert names.questions == []
