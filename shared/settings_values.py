"""Values of settings that are more than one number or word: pauses, hosts and networks, several secrets. Pure."""

import ipaddress
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: How many pauses there may be, how long each (a day and a half, in seconds), and all together (two weeks).
MOST_PAUSES: Final = 30
LONGEST_PAUSE: Final = 36 * 3600
LONGEST_SCHEDULE: Final = 14 * 86_400
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63}){0,30}")


@lru_cache(maxsize=16)
def pauses(text: str) -> tuple[float, ...]:
    """Seconds between attempts, of `5,30,300`. ValueError says what is wrong.

    >>> pauses("5, 30,300")
    (5.0, 30.0, 300.0)
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", part) for part in parts):
        raise ValueError("must be seconds separated by commas, such as 5,30,300")
    found = tuple(float(part) for part in parts)
    if len(found) > MOST_PAUSES:
        raise ValueError(f"must have at most {MOST_PAUSES} pauses")
    if not all(0 < pause <= LONGEST_PAUSE for pause in found):
        raise ValueError(f"each pause must be above 0 and at most {LONGEST_PAUSE} seconds")
    if sum(found) > LONGEST_SCHEDULE:
        raise ValueError(f"the pauses must add up to at most {LONGEST_SCHEDULE} seconds")
    return found


@dataclass(frozen=True, slots=True)
class AllowList:
    """Hosts and networks of an operator's own that may be connected to although they are private."""

    hosts: frozenset[str] = frozenset()
    #: Domains whose names, at any depth, are allowed: of `*.hooks.internal` the part after the star and its dot.
    domains: tuple[str, ...] = ()
    networks: tuple[_Network, ...] = ()

    def has_name(self, name: str) -> bool:
        """Whether a host's name is listed; what it resolves to may then be private."""
        plain = name.lower().rstrip(".")
        return plain in self.hosts or any(plain.endswith(f".{domain}") for domain in self.domains)

    def has_address(self, address: _Address) -> bool:
        """Whether an address is in a listed network; one mapped into IPv6 counts as itself."""
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self.networks)


#: What an operator who lists nothing has.
NOTHING: Final = AllowList()


@lru_cache(maxsize=16)
def allow_list(text: str) -> AllowList:
    """The list of `10.1.0.0/16, hooks.internal, *.svc.cluster.local`. ValueError names what cannot be read.

    >>> allow_list("*.hooks.internal").has_name("a.hooks.internal.")
    True
    """
    hosts, domains, networks = set(), [], []
    for part in filter(None, (part.strip().lower() for part in text.split(","))):
        if (network := _network(part)) is not None:
            networks.append(network)
        elif not _HOST.fullmatch(part) or re.fullmatch(r"[0-9]+|0x[0-9a-f]*", part.rpartition(".")[2]):
            raise ValueError(
                f"{part[:100]} is neither a network (10.1.0.0/16) nor a host (hooks.internal, *.hooks.internal)"
            )
        elif part.startswith("*."):
            domains.append(part[2:])
        else:
            hosts.add(part)
    return AllowList(frozenset(hosts), tuple(domains), tuple(networks))


def _network(part: str) -> _Network | None:
    try:
        return ipaddress.ip_network(part)
    except ValueError:
        return None


def secrets_of(text: str) -> tuple[str, ...]:
    """Secrets separated by white space, or a JSON list of them. ValueError never quotes one.

    >>> secrets_of("new old"), secrets_of('["one with spaces"]'), secrets_of("")
    (('new', 'old'), ('one with spaces',), ())
    """
    if not text.lstrip().startswith("["):
        return tuple(text.split())
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not (isinstance(found, list) and all(isinstance(one, str) and one for one in found)):
        raise ValueError("begins with [ and must then be a JSON list of texts")
    return tuple(found)
