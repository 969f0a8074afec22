"""How a POST begins: its address as it is connected to and asked for, and its headers. HTTP/1.1."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import httpx

#: Addresses whose reading is remembered.
REMEMBERED: Final = 4096
_PORTS: Final = {"http": 80, "https": 443}

#: Scheme, host and port.
Origin = tuple[str, str, int]


class UnusableURL(ValueError):
    """Nothing can be sent to this URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL as it is connected to and asked for: the beginning of each request."""

    origin: Origin
    head: bytes


@lru_cache(maxsize=REMEMBERED)
def target(url: str) -> Target:
    """How a URL is asked for. UnusableURL, httpx.InvalidURL, UnicodeError."""
    read = httpx.URL(url)
    if read.scheme not in _PORTS or not read.raw_host:
        raise UnusableURL("it has to begin with http:// or https:// and a host")
    path, host = read.raw_path.decode("ascii"), read.netloc.decode("ascii")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n"
    if not all(" " < c < "\x7f" for c in path + host):
        raise UnusableURL("it has characters that no address has")
    if read.userinfo:
        name, _, password = (unquote(part) for part in read.userinfo.decode("ascii").partition(":"))
        head += f"Authorization: Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}\r\n"
    return Target((read.scheme, read.raw_host.decode("ascii"), read.port or _PORTS[read.scheme]), head.encode())


def lines(headers: Mapping[str, str]) -> bytes:
    """Headers as they are sent; ValueError when one has more than one line, or characters that none has."""
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if text.count("\r") != len(headers) or text.count("\n") != len(headers) or "\0" in text:
        raise ValueError("a header has more than one line")
    return text.encode("latin-1")
