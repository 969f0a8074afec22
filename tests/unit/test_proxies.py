"""Which proxy a URL is reached through, by the usual variables as other programs read them; what cannot be read."""

from pathlib import Path

import pytest

from shared import authorities, environment, network, settings
from shared.network.proxies import Proxy, Routes

SECURE = "http://secure.example:3128"
PLAIN = "http://plain.example:8080"


def way(url: str, **variables: str) -> str | None:
    """The URL of the proxy for a URL."""
    found = Routes({"HTTPS_PROXY": SECURE, "HTTP_PROXY": PLAIN, **variables}).proxy(url)
    return found.url if found else None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://provider.example/v1", SECURE),
        ("http://provider.example/v1", PLAIN),
        ("https://10.1.2.3/v1", SECURE),
        ("https://[2001:db8::1]/v1", SECURE),
        ("http://127.0.0.1:9911/v1", None),
        ("http://127.8.9.1/v1", None),
        ("http://localhost:1/v1", None),
        ("https://LOCALHOST./v1", None),
        ("https://api.localhost/v1", None),
        ("http://[::1]:80/v1", None),
        ("http://[::ffff:127.0.0.1]/v1", None),
        ("https://localhost.example/v1", SECURE),
    ],
)
def test_by_scheme_and_never_for_loopback(url: str, expected: str | None) -> None:
    assert way(url) == expected


@pytest.mark.parametrize(
    ("exceptions", "straight", "proxied"),
    [
        ("*", ["https://a.example", "http://10.0.0.1"], []),
        (
            "example.com",
            ["https://example.com", "https://api.example.com", "https://API.Example.COM"],
            ["https://notexample.com"],
        ),
        (".example.com", ["https://example.com", "https://api.example.com"], ["https://example.com.evil"]),
        ("*.example.com", ["https://api.example.com"], ["https://example.org"]),
        ("example.com.", ["https://example.com", "https://example.com./v1"], []),
        (
            "10.0.0.0/8, 192.168.1.7",
            ["http://10.200.1.1", "https://192.168.1.7"],
            ["http://11.0.0.1", "https://192.168.1.8"],
        ),
        ("fd00::/8", ["https://[fd12::1]"], ["https://[fe12::1]"]),
        ("[fd12::1]:8443", ["https://[fd12::1]:8443"], ["https://[fd12::1]"]),
        ("models.lan:8000", ["http://models.lan:8000/v1", "http://a.models.lan:8000"], ["http://models.lan/v1"]),
        ("models.lan:80", ["http://models.lan/v1"], ["https://models.lan/v1"]),
        ("a.example b.example,c.example", ["https://a.example", "https://b.example", "https://c.example"], []),
        (" , ,", [], ["https://a.example"]),
    ],
)
def test_exceptions(exceptions: str, straight: list[str], proxied: list[str]) -> None:
    assert [way(url, NO_PROXY=exceptions) for url in straight] == [None] * len(straight)
    assert None not in [way(url, NO_PROXY=exceptions) for url in proxied]


def test_all_is_for_what_has_none_of_its_own() -> None:
    routes = Routes({"ALL_PROXY": "socks5h://all.example", "HTTPS_PROXY": SECURE})
    assert routes.proxy("https://p.example") == Proxy(SECURE, "HTTPS_PROXY")
    assert routes.proxy("http://p.example") == Proxy("socks5h://all.example", "ALL_PROXY")
    assert Routes({}).proxy("https://p.example") is None
    assert Routes({"HTTPS_PROXY": " "}).proxy("https://p.example") is None


def test_the_simulator_is_reached_straight_wherever_it_is() -> None:
    routes = Routes({"HTTP_PROXY": PLAIN}, straight=["http://simulator.lan:8123"])
    assert routes.proxy("http://simulator.lan:8123/openai/v1") is None
    assert routes.proxy("http://simulator.lan:8124/openai/v1") is not None


@pytest.mark.parametrize(
    ("given", "place", "shown"),
    [
        ("proxy.example:3128", "proxy.example:3128", "http://proxy.example:3128"),
        ("http://proxy.example", "proxy.example:80", "http://proxy.example:80"),
        ("https://proxy.example/", "proxy.example:443", "https://proxy.example:443"),
        ("http://us%20er:p%40ss@proxy.example:1", "proxy.example:1", "http://us%20er:***@proxy.example:1"),
        ("http://token@proxy.example:1", "proxy.example:1", "http://***@proxy.example:1"),
        ("socks5://[::1]", "[::1]:1080", "socks5://[::1]:1080"),
    ],
)
def test_a_proxy_is_shown_without_its_password(given: str, place: str, shown: str) -> None:
    proxy = Routes({"HTTPS_PROXY": given}).proxy("https://p.example")
    assert proxy is not None and (proxy.place, proxy.shown) == (place, shown)


@pytest.mark.parametrize(
    "given",
    "ftp://s3cret@proxy:1|http://|http://proxy:s3cret|http://u:s3cret@:1|http://proxy:99999|http://pro xy:1|"
    "http://proxy:1/s3cret|http://proxy:0|http://proxy?s3cret|http://[::1".split("|"),
)
def test_what_cannot_be_read_is_named_and_not_shown(given: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY") as refused:
        Routes({"HTTPS_PROXY": given})
    assert "s3cret" not in str(refused.value)
    with pytest.raises(ValueError, match="NO_PROXY"):
        Routes({"NO_PROXY": "10.0.0.0/99"})


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.chdir(tmp_path)
    for cached in (network.routes, authorities.more, environment._dotenv):
        cached.cache_clear()
    monkeypatch.setattr(settings.settings(), "ca_file", "")


def test_small_letters_go_before_capitals_and_the_environment_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("HTTPS_PROXY=http://file.example\nHTTP_PROXY=http://file.example\n")
    monkeypatch.setenv("HTTPS_PROXY", SECURE)
    monkeypatch.setenv("https_proxy", "http://small.example")
    monkeypatch.setenv("all_proxy", "http://all.example")
    assert environment.usual("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY") == {
        "HTTPS_PROXY": "http://small.example",
        "HTTP_PROXY": "http://file.example",
        "ALL_PROXY": "http://all.example",
    }
    monkeypatch.setenv("https_proxy", "")
    assert environment.usual("HTTPS_PROXY") == {"HTTPS_PROXY": ""}, "switched off"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"https_proxy": "ftp://proxy:1"}, "HTTPS_PROXY: must look like"),
        ({"SSL_CERT_FILE": "nowhere.pem"}, "SSL_CERT_FILE: cannot read nowhere.pem: No such file"),
        ({"REQUESTS_CA_BUNDLE": "empty.pem"}, "REQUESTS_CA_BUNDLE: empty.pem contains no PEM certificate"),
        ({"SSL_CERT_FILE": "broken.pem"}, "SSL_CERT_FILE: cannot read broken.pem"),
    ],
)
def test_the_start_ends_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=said.replace("(", r"\(")):
        network.check()
