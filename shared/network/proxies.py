"""Which way a URL is reached: straight, or through the proxy that the usual variables name. Pure.

HTTPS_PROXY is for https, HTTP_PROXY for http, ALL_PROXY for what has none of its own. NO_PROXY lists what is reached
straight: `*`; a domain with all below it (`example.com`, `.example.com`, `*.example.com`); an address or a network
(`10.0.0.0/8`); each with or without a port. Loopback is always reached straight.
"""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

#: The variable of each scheme, and the one for those without.
_OF_SCHEME: Final = {"https": "HTTPS_PROXY", "http": "HTTP_PROXY"}
_OF_ALL: Final = "ALL_PROXY"
_OF_NONE: Final = "NO_PROXY"
NAMES: Final = (*_OF_SCHEME.values(), _OF_ALL, _OF_NONE)
#: How a proxy may be spoken to.
SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_MASK: Final = "***"
#: URLs whose way is kept.
MOST_URLS: Final = 1000

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: its URL with what credentials it has, and the variable that names it."""

    url: str
    variable: str

    @property
    def place(self) -> str:
        """`proxy.example:3128`."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or _PORTS[parts.scheme]}"

    @property
    def shown(self) -> str:
        """`http://user:***@proxy.example:3128`."""
        parts = urlsplit(self.url)
        user = f"{parts.username}:{_MASK}@" if parts.password is not None else _MASK + "@" if parts.username else ""
        return f"{parts.scheme}://{user}{self.place}"


@dataclass(frozen=True, slots=True)
class _Exception:
    """One entry of NO_PROXY."""

    domain: str = ""
    network: _Network | None = None
    port: int | None = None

    def holds(self, host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address in self.network
        return self.domain == "*" or host == self.domain or host.endswith("." + self.domain)


class Routes:
    """What the variables say. ValueError names the variable that cannot be read, and never shows a password."""

    def __init__(self, variables: Mapping[str, str], *, straight: Collection[str] = ()) -> None:
        """`variables` by their names in capitals; `straight`: URLs whose servers are reached straight, whatever."""
        self._all = _proxy(_OF_ALL, variables)
        self._of_scheme = {scheme: _proxy(name, variables) for scheme, name in _OF_SCHEME.items()}
        self._exceptions = [_exception(entry) for entry in variables.get(_OF_NONE, "").replace(",", " ").split()]
        self._straight = {_server(urlsplit(url)) for url in straight}
        self._known: dict[tuple[str, str, int], Proxy | None] = {}
        #: The same by whole URLs, of which providers have few; reading one takes longer than looking it up.
        self._of_urls: dict[str, Proxy | None] = {}

    def proxy(self, url: str) -> Proxy | None:
        """The proxy through which a URL is reached; None: straight."""
        if url not in self._of_urls:
            if len(self._of_urls) >= MOST_URLS:
                self._of_urls.clear()
            self._of_urls[url] = self._found(url)
        return self._of_urls[url]

    def _found(self, url: str) -> Proxy | None:
        parts = urlsplit(url)
        server = _server(parts)
        place = (parts.scheme, *server)
        if place not in self._known:
            self._known[place] = None if self._is_straight(*server) else self._of_scheme.get(parts.scheme) or self._all
        return self._known[place]

    def _is_straight(self, host: str, port: int) -> bool:
        return (
            (host, port) in self._straight
            or _is_loopback(host)
            or any(one.holds(host, port) for one in self._exceptions)
        )


def _server(parts: SplitResult) -> tuple[str, int]:
    return (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost" or host.endswith(".localhost")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _proxy(name: str, variables: Mapping[str, str]) -> Proxy | None:
    if not (given := variables.get(name, "").strip()):
        return None
    url = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and (parts.port is None or parts.port > 0) and not set(url) & set(" \t\r\n")
    except ValueError:
        good = False
    if not good or parts.scheme not in SCHEMES or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(
            f"{name}: must look like http://user:password@host:port; supported schemes: {', '.join(SCHEMES)}"
        )
    return Proxy(url, name)


def _exception(entry: str) -> _Exception:
    host, port = entry.lower(), None
    head, separator, tail = host.rpartition(":")
    if separator and tail.isascii() and tail.isdigit() and (head.endswith("]") or ":" not in head):
        host, port = head, int(tail)
    host = host.strip("[]")
    try:
        return _Exception(network=ipaddress.ip_network(host, strict=False), port=port)
    except ValueError:
        if "/" in host:
            raise ValueError(f"{_OF_NONE}: {entry[:50]!r} is not a valid network") from None
    return _Exception(domain=host if host == "*" else host.removeprefix("*").strip("."), port=port)
