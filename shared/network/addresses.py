"""Which addresses a webhook may be sent to, or a picture fetched from. Pure: explicit ranges, no lookups, no client.

Python's `is_private` and `is_global` miss several of these (metadata over NAT64, 6to4, site-local, shared
space, SRv6, v4-compatible), so every range stands here, after IANA's registries of special-purpose addresses
(iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry). IPv6 outside 2000::/3 is
refused whole: nothing else has been handed out as global unicast (RFC 4291).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Allowed:
    """This address may be connected to; in its canonical text, without brackets."""

    address: str


@dataclass(frozen=True, slots=True)
class RefusedAddress:
    """This address may not; `reason` names its range and can be shown to the customer."""

    reason: str


def _networks(rows: Iterable[tuple[str, str]]) -> tuple[tuple[_Network, str], ...]:
    return tuple((ipaddress.ip_network(network), reason) for network, reason in rows)


#: Never, whatever the operator allows: the machine's own secrets are served here. Two lie in ranges that look
#: private (Alibaba's in shared space, AWS's and Google's in unique local), Azure's looks public.
_METADATA = _networks(
    (
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "cloud metadata"),
        ("fd00:ec2::254/128", "cloud metadata"),
        ("fd20:ce::254/128", "cloud metadata"),
    )
)
_LOOPBACK = _networks((("127.0.0.0/8", "loopback"), ("::1/128", "loopback")))
_PRIVATE = _networks(
    (
        ("10.0.0.0/8", "private use"),
        ("172.16.0.0/12", "private use"),
        ("192.168.0.0/16", "private use"),
        ("100.64.0.0/10", "shared address space"),
        ("fc00::/7", "unique local"),
    )
)
_RESERVED = _networks(
    (
        ("0.0.0.0/8", "this network"),
        ("169.254.0.0/16", "link local"),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay anycast"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b:1::/48", "local-use NAT64"),
        ("100::/64", "discard only"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/32", "Teredo"),
        ("2001:2::/48", "benchmarking"),
        ("2001:3::/32", "AMT"),
        ("2001:4:112::/48", "AS112"),
        ("2001:10::/28", "ORCHID"),
        ("2001:20::/28", "ORCHIDv2"),
        ("2001:30::/28", "drone remote identification"),
        ("2001::/23", "IETF protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2620:4f:8000::/48", "AS112"),
        ("3ffe::/16", "6bone"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fe80::/10", "link local"),
        ("fec0::/10", "site local"),
        ("ff00::/8", "multicast"),
    )
)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4 = ipaddress.IPv6Network("2002::/16")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
#: The middle of an ISATAP address, before the IPv4 address that it tunnels to; the second is of a public one.
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)

#: Names that clouds give their metadata servers. Never, as their addresses; with all that ends in `.<name>`.
_METADATA_NAMES = (
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
)
#: Names that only a private network knows: set aside for such, or used so by container and office networks.
_PRIVATE_NAMES = (
    "internal",
    "local",
    "svc",
    "kubernetes",
    "kubernetes.default",
    "lan",
    "home",
    "corp",
    "intranet",
    "private",
    "home.arpa",
    "localdomain",
    "cluster.local",
)


def judge(address: str, *, allow_loopback: bool, allow_private: bool) -> Allowed | RefusedAddress:
    """Decide about one address, as text without brackets.

    `allow_private` opens the private-use, shared and unique local ranges; link local and cloud metadata it
    never opens. Loopback has a permission of its own. An IPv4 address mapped into IPv6 is judged as itself;
    behind a translator (NAT64, 6to4) it must be public, since private there is some other network's.

    >>> judge("64:ff9b::a9fe:a9fe", allow_loopback=True, allow_private=True)
    RefusedAddress(reason='169.254.169.254 (link local) behind NAT64')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return RefusedAddress("not an IP address")
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:
            return RefusedAddress("address with a zone ID")
        return _judge_v6(parsed, allow_loopback, allow_private)
    return _judge_range(parsed, allow_loopback, allow_private)


def judge_name(name: str, *, allow_loopback: bool, allow_private: bool) -> Allowed | RefusedAddress:
    """Decide about a host's name, not yet about what it resolves to; names of private networks need `allow_private`.

    >>> judge_name("kubernetes.default.svc.", allow_loopback=True, allow_private=False)
    RefusedAddress(reason='private network name')
    """
    plain = name.lower().rstrip(".")
    if _ends_in(plain, _METADATA_NAMES):
        return RefusedAddress("cloud metadata")
    if _ends_in(plain, ("localhost", "localhost.localdomain")):
        return Allowed(plain) if allow_loopback else RefusedAddress("loopback")
    if not allow_private and _ends_in(plain, _PRIVATE_NAMES):
        return RefusedAddress("private network name")
    return Allowed(plain)


def _ends_in(name: str, endings: Iterable[str]) -> bool:
    return any(name == ending or name.endswith(f".{ending}") for ending in endings)


def _judge_v6(address: ipaddress.IPv6Address, allow_loopback: bool, allow_private: bool) -> Allowed | RefusedAddress:
    number = int(address)
    if address in _MAPPED:
        verdict = _judge_range(ipaddress.IPv4Address(number & 0xFFFFFFFF), allow_loopback, allow_private)
        return verdict if isinstance(verdict, RefusedAddress) else Allowed(str(address))
    if address in _NAT64:
        return _judge_behind("NAT64", ipaddress.IPv4Address(number & 0xFFFFFFFF), address)
    if address in _6TO4:
        return _judge_behind("6to4", ipaddress.IPv4Address(number >> 80 & 0xFFFFFFFF), address)
    if number >> 32 & 0xFFFF_FFFF in _ISATAP:
        return _judge_behind("ISATAP", ipaddress.IPv4Address(number & 0xFFFFFFFF), address)
    verdict = _judge_range(address, allow_loopback, allow_private)
    if verdict == Allowed(str(address)) and not _opened(address):
        return RefusedAddress("outside the global unicast range")
    return verdict


def _judge_behind(
    translator: str, inner: ipaddress.IPv4Address, outer: ipaddress.IPv6Address
) -> Allowed | RefusedAddress:
    verdict = _judge_range(inner, allow_loopback=False, allow_private=False)
    if isinstance(verdict, RefusedAddress):
        return RefusedAddress(f"{inner} ({verdict.reason}) behind {translator}")
    return Allowed(str(outer))


def _opened(address: ipaddress.IPv6Address) -> bool:
    """Global unicast, or in a range that only a permission can have let through."""
    return address in _GLOBAL_UNICAST or _within(address, _LOOPBACK + _PRIVATE) is not None


def _judge_range(address: _Address, allow_loopback: bool, allow_private: bool) -> Allowed | RefusedAddress:
    if reason := _within(address, _METADATA):
        return RefusedAddress(reason)
    if reason := _within(address, _LOOPBACK):
        return Allowed(str(address)) if allow_loopback else RefusedAddress(reason)
    if reason := _within(address, _PRIVATE):
        return Allowed(str(address)) if allow_private else RefusedAddress(reason)
    if reason := _within(address, _RESERVED):
        return RefusedAddress(reason)
    return Allowed(str(address))


def _within(address: _Address, networks: tuple[tuple[_Network, str], ...]) -> str | None:
    return next((reason for network, reason in networks if address in network), None)
