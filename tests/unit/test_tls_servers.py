"""Redis and RabbitMQ over TLS: certificates and their names are verified, by FUSIONAI_CA_FILE or the URL's own."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kombu
import pytest
import redis

from shared import authorities, outages, redis_clients
from shared.broker.app import make_app
from shared.settings import settings
from tests.cluster.certificates import Authority

UNTRUSTED = (
    "its certificate is not trusted: unable to get local issuer certificate; FUSIONAI_CA_FILE names other authorities"
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """The same, which this process trusts."""
    monkeypatch.setattr(settings(), "ca_file", str(authority.ca))
    authorities.more.cache_clear()
    yield authority
    authorities.more.cache_clear()


@contextmanager
def server(authority: Authority, *hosts: str) -> Iterator[int]:
    """The port of one that makes TLS connections with a certificate for these hosts, and hangs up on each."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", *hosts))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(plain, server_side=True) as secure:
                        secure.recv(100)
                except OSError:
                    plain.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def refusal(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why there is no connection: what hangs up is one that was connected to."""
    if url.startswith("rediss"):
        with pytest.raises(redis.RedisError) as refused, redis_clients.connect_sync(url, 5) as client:
            client.ping()
        return outages.why(refused.value)
    monkeypatch.setattr(settings(), "broker_url", url)
    with pytest.raises((OSError, kombu.exceptions.OperationalError)) as failed, make_app().connection() as connection:
        connection.connect()
    return outages.why(failed.value)


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_an_authority_that_is_not_trusted(authority: Authority, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(authority, "127.0.0.1") as port:
        assert refusal(f"{scheme}://user:s3cret@127.0.0.1:{port}/0", monkeypatch) == UNTRUSTED


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_a_certificate_for_another_host(trusted: Authority, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(trusted, "redis.example", "127.0.0.2") as port:
        said = refusal(f"{scheme}://user:s3cret@127.0.0.1:{port}/0", monkeypatch)
        assert said.startswith("its certificate is not trusted: IP address mismatch")


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_the_own_authoritys_certificate_is_taken(
    trusted: Authority, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(trusted, "127.0.0.1") as port:
        said = refusal(f"{scheme}://user:s3cret@127.0.0.1:{port}/0", monkeypatch)
        assert "certificate" not in said and "TLS" not in said, said


def test_a_broker_that_is_a_redis_over_tls_is_verified_too(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(authority, "127.0.0.1") as port:
        monkeypatch.setattr(settings(), "broker_url", f"rediss://:s3cret@127.0.0.1:{port}/0")
        with pytest.raises(Exception) as failed, make_app().connection() as connection:
            connection.default_channel.client.ping()
        assert outages.why(failed.value) == UNTRUSTED


def test_the_urls_own_authority_is_enough(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(authority, "127.0.0.1") as port:
        said = refusal(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority.ca}", monkeypatch)
        assert "certificate" not in said, said


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://:s3cret@redis.example:6380/0", "redis.example:6380"),
        ("amqps://u:s3cret@mq1:5671//;amqps://u:s3cret@mq2//", "mq1:5671, mq2"),
        ("postgresql://u:s3cret@[::1]:5432/db", "[::1]:5432"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
        ("redis://:s3cret@[half", "an address that cannot be read"),
    ],
)
def test_a_place_has_no_secret(url: str, place: str) -> None:
    assert outages.place(url) == place
