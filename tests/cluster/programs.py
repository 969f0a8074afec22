"""The servers of a cluster that no wheel has, and what to say where one is missing."""

import shutil
import sys
from collections.abc import Mapping

#: Program → Debian's package that has it.
PROGRAMS: Mapping[str, str] = {
    "/usr/lib/rabbitmq/bin/rabbitmq-server": "rabbitmq-server",
    "epmd": "erlang-base",
    "redis-server": "redis-server",
}


def find(name: str) -> str:
    """The path of a program, which is here."""
    path = shutil.which(name)
    assert path is not None, _how_to_get(name)
    return path


def _missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


def _how_to_get(name: str) -> str:
    return f"{name} is missing: apt-get install --no-install-recommends {PROGRAMS[name]} (Debian)"


if __name__ == "__main__":
    if "--packages" in sys.argv:  # for `apt-get install`
        print(*(PROGRAMS[name] for name in _missing()))
    else:
        sys.exit("\n".join(map(_how_to_get, _missing())) or None)
