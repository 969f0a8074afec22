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
from shared.network.addresses import Allowed, RefusedAddress
from shared.network.permissions import Permissions

#: What is allowed where nothing is: public addresses alone.
NOTHING = Permissions()
#: Characters; longer URLs are refused by many servers anyway.
URL_LIMIT = 2048


def check_url(url: str, allowed: Permissions, *, param: str = "url") -> None:
    """Refuse a webhook's URL that could never be delivered to: InvalidRequest that names `param` and says why.

    Plain http is taken only where the operator allows loopback or private addresses, or lists the host. The host may be
    a name (not resolved here), a dotted IPv4 address or a bracketed IPv6 one.
    """
    if fault := _fault(url, allowed):
        raise InvalidRequest(f"{param}: {fault}", param=param)


def _fault(url: str, allowed: Permissions) -> str:
    """What is wrong with a webhook's URL; empty: nothing."""
    if fault := _fault_of_characters(url):
        return fault
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "invalid host or port"
    host = (parts.hostname or "").removesuffix(".")
    if fault := "port 0 is not allowed" if port == 0 else _fault_of_shape(parts, plain=allowed.plain(host)):
        return fault
    if fault := "" if _is_literal(parts) else _fault_of_name(host):
        return fault
    verdict = judge_host(parts, allowed)
    return "" if isinstance(verdict, Allowed) else f"{host} is not allowed as a webhook host: {verdict.reason}"


def judge_host(parts: SplitResult, allowed: Permissions = NOTHING) -> Allowed | RefusedAddress:
    """Decide about the host of a URL: what `judge` says of an address, or `judge_name` of a name.

    What programs read differently (`127.1`, `0x7f.1`, `%31.0.0.1`, letters that are not ASCII) is refused.

    >>> judge_host(urlsplit("https://[::ffff:10.0.0.1]:8443/a"))
    RefusedAddress(reason='private use')
    """
    host = (parts.hostname or "").removesuffix(".")
    if _is_literal(parts):
        return allowed.of_address(host)
    if _fault_of_name(host):
        return RefusedAddress("ambiguous host notation")
    return allowed.of_name(host)


def _is_literal(parts: SplitResult) -> bool:
    """Whether the host is an address: bracketed, or four decimal numbers."""
    return "[" in parts.netloc or _is_dotted((parts.hostname or "").removesuffix("."))


def _fault_of_characters(url: str) -> str:
    """Before any parsing: urlsplit drops tabs and line breaks, and parsers differ about the rest."""
    if len(url) > URL_LIMIT:
        return f"is longer than {URL_LIMIT} characters"
    if "#" in url:
        return "must not have a fragment"
    if not url.isascii():
        return "must be ASCII: write the host as xn--… and percent-encode the path"
    wrong = re.search(r"[\x00-\x20\x7f\\]", url)
    return "must not contain spaces, control characters or \\" if wrong else ""


def _fault_of_shape(parts: SplitResult, *, plain: bool) -> str:
    if parts.scheme not in ("https", "http"):
        return "must begin with https://"
    if not plain and parts.scheme != "https":
        return "must begin with https://, not http://"
    if "@" in parts.netloc:
        return "must not contain a user name or password"
    return "" if parts.hostname else "host is missing"


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
