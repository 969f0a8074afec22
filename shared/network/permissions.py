"""Which private addresses an operator lets connections go to, and the judgement by them. Pure: no lookups.

Loopback and private addresses have a permission each; hosts and networks may be listed beside that. A host that is
listed may resolve to any of these; nothing opens link-local addresses, cloud metadata, or what is reserved otherwise.
"""

import ipaddress
from dataclasses import dataclass

from shared.network.addresses import Allowed, RefusedAddress, judge, judge_name
from shared.settings_values import NOTHING, AllowList


@dataclass(frozen=True, slots=True)
class Permissions:
    """What is allowed beside public addresses."""

    loopback: bool = False
    private: bool = False
    listed: AllowList = NOTHING

    def of_name(self, host: str) -> Allowed | RefusedAddress:
        """Decide about a host's name, not yet about what it resolves to."""
        listed = self.listed.has_name(host)
        return judge_name(host, allow_loopback=self.loopback or listed, allow_private=self.private or listed)

    def of_address(self, address: str, host: str = "") -> Allowed | RefusedAddress:
        """Decide about an address, as text without brackets; `host`: the name that it was resolved from.

        >>> from shared.settings_values import allow_list
        >>> Permissions(listed=allow_list("10.1.0.0/16")).of_address("10.2.0.1")
        RefusedAddress(reason='private use')
        """
        listed = (bool(host) and self.listed.has_name(host)) or self._lists(address)
        return judge(address, allow_loopback=self.loopback or listed, allow_private=self.private or listed)

    def plain(self, host: str) -> bool:
        """Whether a URL of this host, a name or an address, may be http://."""
        return self.loopback or self.private or self.listed.has_name(host) or self._lists(host)

    def _lists(self, address: str) -> bool:
        try:
            return self.listed.has_address(ipaddress.ip_address(address))
        except ValueError:
            return False
