"""Binds dialects to host names, as the operator's setting says: FUSIONAI_DIALECT_HOSTS."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Final

from producer.web.dialect import Dialect
from shared.settings import Wrong

#: A host's name as the Host header has it, without a port.
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def bound(dialects: Sequence[Dialect], setting: str) -> list[Dialect]:
    """The same dialects with their hosts: `name=host`, separated by commas; ends the process where that is wrong."""
    named = {one.name: list(one.hosts) for one in dialects}
    for name, host in _pairs(setting):
        if name not in named:
            raise _wrong(f"there is no dialect {name!r}; known: {', '.join(named)}")
        if any(host in hosts for hosts in named.values()):
            raise _wrong(f"the host {host!r} is bound twice")
        named[name].append(host)
    return [dataclasses.replace(one, hosts=tuple(named[one.name])) for one in dialects]


def _pairs(setting: str) -> Iterator[tuple[str, str]]:
    for text in filter(None, map(str.strip, setting.split(","))):
        name, separator, host = (part.strip() for part in text.partition("="))
        if not separator or not _HOST.fullmatch(host.lower()):
            raise _wrong(f"{text[:100]!r} must look like infuzu=api.example.com (a host name without a port)")
        yield name, host.lower()


def _wrong(why: str) -> Wrong:
    return Wrong(f"FUSIONAI_DIALECT_HOSTS: {why}")
