"""Providers behind a company's proxy and with an own authority's certificate: real sockets, real TLS, real CONNECT."""

import asyncio
import datetime
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared import authorities, network, settings
from shared.errors import ProviderError
from tests.servers import free_port
from workers.upstream.exchange import Exchange
from workers.upstream.faults import classify
from workers.upstream.post import post
from workers.upstream.time_limits import limits
from workers.upstream.transport import ProviderClient

URL = "https://provider.example/v1"


def issue(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """A certificate of two days; of an authority when it is its own issuer."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    builder = builder.add_extension(x509.BasicConstraints(subject == issuer, None), critical=True)
    hosts = [x509.DNSName(subject), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False).sign(by, hashes.SHA256())


@dataclass(frozen=True)
class Company:
    """An authority of its own (a file with another one before it), and a server's certificate."""

    authority: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    at = tmp_path_factory.mktemp("company")
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    other, own = (issue(name, key, name, key) for name, key in zip(("other", "own"), keys, strict=False))
    pem = [one.public_bytes(serialization.Encoding.PEM) for one in (other, own)]
    (at / "authority.pem").write_bytes(b"# what is trusted here\n" + b"\n".join(pem))
    server = issue("provider.example", keys[2], "own", keys[1]).public_bytes(serialization.Encoding.PEM)
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (at / "server.pem").write_bytes(server + keys[2].private_bytes(*encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(at / "server.pem")
    return Company(at / "authority.pem", context)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    network.routes.cache_clear()
    authorities.more.cache_clear()
    yield
    network.routes.cache_clear()
    authorities.more.cache_clear()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider's answer, on a connection that is closed after it."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nprovider")
    with suppress(OSError):
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def provider(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A provider's port on loopback."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@dataclass
class Gate:
    """A proxy that leads everything to one port, whatever host is asked for; `refusal`: that is its answer."""

    target: int = 0
    refusal: bytes = b""
    heads: list[str] = field(default_factory=list)
    port: int = 0
    open: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: list["asyncio.Task[None] | None"] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.append(writer)
        self.tasks.append(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        if self.refusal:
            writer.write(b"HTTP/1.1 " + self.refusal + b"\r\nContent-Length: 0\r\n\r\n")
        else:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self.open.append(back)
            if head.startswith(b"CONNECT "):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                back.write(head)
            await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)
        writer.close()

    async def close(self) -> None:
        for writer in self.open:
            writer.close()
        await asyncio.gather(*filter(None, self.tasks), return_exceptions=True)
        for writer in self.open:
            with suppress(OSError):
                await writer.wait_closed()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def gate(**given: object) -> AsyncIterator[Gate]:
    """A running proxy."""
    made = Gate(**given)  # type: ignore[arg-type]
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()


async def called(url: str) -> str:
    """A call as workers make it; a ProviderError when it fails."""
    exchange = Exchange(limits())
    async with ProviderClient(2) as client:
        with exchange:
            return (await post(client, url, {}, b"{}", exchange))[1].decode()


def failed(url: str) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        asyncio.run(called(url))
    assert classify(error.value) == "unreachable"
    return error.value


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_provider_is_reached_through_the_proxy_and_trusted_by_the_own_authority(
    company: Company, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    async def scene() -> None:
        async with provider(company.context) as target, gate(target=target) as proxy:
            monkeypatch.setenv(variable, f"http://us%20er:p%40ss@127.0.0.1:{proxy.port}")
            monkeypatch.setenv("SSL_CERT_FILE", str(company.authority))
            assert await called(URL) == "provider"
            (head,) = proxy.heads
            assert head.startswith("CONNECT provider.example:443 ")
            assert b64encode(b"us er:p@ss").decode() in head

    asyncio.run(scene())


def test_a_plain_url_goes_through_its_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with provider(None) as target, gate(target=target) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
            monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
            assert await called("http://provider.example/v1") == "provider"
            assert proxy.heads[0].startswith("POST http://provider.example/v1 ")

    asyncio.run(scene())


@pytest.mark.parametrize("variable", ["FUSIONAI_CA_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "directory"])
def test_what_is_local_goes_past_the_proxy_and_an_own_authority_is_enough(
    company: Company, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    async def scene() -> None:
        async with provider(company.context) as target, gate() as proxy:
            for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            if variable == "FUSIONAI_CA_FILE":
                monkeypatch.setattr(settings.settings(), "ca_file", str(company.authority))
            elif variable == "directory":
                (company.authority.parent / "more").mkdir()
                (company.authority.parent / "more" / "a.crt").write_bytes(company.authority.read_bytes())
                monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(company.authority.parent / "more"))
            else:
                monkeypatch.setenv(variable, str(company.authority))
            assert await called(f"https://127.0.0.1:{target}/v1") == "provider"
            assert proxy.heads == []

    asyncio.run(scene())


def test_no_proxy_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with gate() as proxy:
            monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("NO_PROXY", ".invalid")
            with pytest.raises(ProviderError, match=r"could not connect to the provider$"):
                await called("https://provider.invalid/v1")
            assert proxy.heads == []

    asyncio.run(scene())


def test_a_proxy_that_is_down_is_named_and_the_provider_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@127.0.0.1:{port}")
    error = failed(URL)
    assert str(error) == f"could not connect to the provider through the proxy 127.0.0.1:{port}"


@pytest.mark.parametrize("url", [URL, "http://provider.example/v1"])
@pytest.mark.parametrize(("refusal", "said"), [(b"407 Proxy Authentication Required", "407"), (b"", "")])
def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch, url: str, refusal: bytes, said: str) -> None:
    async def scene() -> None:
        async with gate(refusal=refusal or b"garbage") as proxy:
            monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
            with pytest.raises(ProviderError) as error:
                await called(url)
            if refusal:
                assert f"through the proxy 127.0.0.1:{proxy.port}" in str(error.value) and said in str(error.value)
                assert classify(error.value) == "unreachable"

    asyncio.run(scene())


def test_a_certificate_that_nobody_vouches_for_is_said(company: Company) -> None:
    async def scene() -> None:
        async with provider(company.context) as target:
            with pytest.raises(ProviderError, match="its certificate is not trusted") as error:
                await called(f"https://127.0.0.1:{target}/v1")
            assert classify(error.value) == "unreachable"

    asyncio.run(scene())


def test_the_loopback_is_reached_straight_with_any_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with provider(None) as target:
            monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
            assert await called(f"http://localhost:{target}/v1") == "provider"

    asyncio.run(scene())
