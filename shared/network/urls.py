"""Which URLs a webhook may have: how the host may be written, and what is decided about it. Pure.

`check_url` judges a URL when a webhook is made, and says what is wrong with it. It is a courtesy: a name
resolves to whatever its owner likes, later. The promise is kept by workers.webhooks.client, which judges names and
addresses by the same rules (`judge_name`, `judge`) when it connects.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

import idna

from shared.errors import InvalidRequest
from shared.network.addresses import Allowed, RefusedAddress, judge, judge_name

#: Characters; longer URLs are refused by many servers anyway.
URL_LIMIT = 2048


def check_url(url: str, *, allow_loopback: bool, allow_private: bool) -> None:
    """Refuse a webhook's URL that could never be delivered to: InvalidRequest, `param="url"`, saying why.

    Plain http is taken only where the operator allows loopback or private addresses. The host may be a name
    (not resolved here), a dotted IPv4 address or a bracketed IPv6 one.
    """
    _check_characters(url)
    parts = _split(url)
    _check_shape(parts, plain=allow_loopback or allow_private)
    host = (parts.hostname or "").removesuffix(".")
    fault = "" if _is_literal(parts) else _fault_of_name(host)
    _require(not fault, fault)
    verdict = judge_host(parts, allow_loopback=allow_loopback, allow_private=allow_private)
    _require(isinstance(verdict, Allowed), f"{host} is not allowed as a webhook host: {getattr(verdict, 'reason', '')}")


def judge_host(parts: SplitResult, *, allow_loopback: bool, allow_private: bool) -> Allowed | RefusedAddress:
    """Decide about the host of a URL: what `judge` says of an address, or `judge_name` of a name.

    What programs read differently (`127.1`, `0x7f.1`, `%31.0.0.1`, letters that are not ASCII) is refused.

    >>> judge_host(urlsplit("https://[::ffff:10.0.0.1]:8443/a"), allow_loopback=False, allow_private=False)
    RefusedAddress(reason='private use')
    """
    host = (parts.hostname or "").removesuffix(".")
    if _is_literal(parts):
        return judge(host, allow_loopback=allow_loopback, allow_private=allow_private)
    if _fault_of_name(host):
        return RefusedAddress("ambiguous host notation")
    return judge_name(host, allow_loopback=allow_loopback, allow_private=allow_private)


def _is_literal(parts: SplitResult) -> bool:
    """Whether the host is an address: bracketed, or four decimal numbers."""
    return "[" in parts.netloc or _is_dotted((parts.hostname or "").removesuffix("."))


def _check_characters(url: str) -> None:
    """Before any parsing: urlsplit drops tabs and line breaks, and parsers differ about the rest."""
    _require(len(url) <= URL_LIMIT, f"is longer than {URL_LIMIT} characters")
    _require("#" not in url, "must not have a fragment")
    _require(url.isascii(), "must be ASCII: write the host as xn--… and percent-encode the path")
    _require(re.search(r"[\x00-\x20\x7f\\]", url) is None, "must not contain spaces, control characters or \\")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest("url: invalid host or port", param="url") from error
    _require(port != 0, "port 0 is not allowed")
    return parts


def _check_shape(parts: SplitResult, *, plain: bool) -> None:
    _require(parts.scheme in ("https", "http"), "must begin with https://")
    _require(plain or parts.scheme == "https", "must begin with https://, not http://")
    _require("@" not in parts.netloc, "must not contain a user name or password")
    _require(bool(parts.hostname), "host is missing")


def _fault_of_name(name: str) -> str:
    """What is wrong with a name as it is written; empty: nothing."""
    # As browsers do: a name whose last label is a number would be read as an address by getaddrinfo.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2]):
        return "must write an IPv4 address as four decimal numbers"
    if not all(map(_is_label, name.split("."))) or len(name) > 253:
        return f"invalid host: {name}"
    return "" if _is_readable(name) else f"invalid internationalized host: {name}"


def _is_readable(name: str) -> bool:
    """Whether the client can read every `xn--…` of it back, as it does before it connects."""
    try:
        for part in [name, *name.split(".")]:
            if part.startswith("xn--"):
                idna.decode(part)
    except UnicodeError:
        return False
    return True


def _is_dotted(host: str) -> bool:
    """Four decimal numbers without leading zeros, the only spelling of IPv4 that everyone reads alike."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_label(label: str) -> bool:
    return re.fullmatch(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", label) is not None


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidRequest(f"url: {otherwise}", param="url")
