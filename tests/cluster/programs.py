"""The servers of a cluster that no wheel has, what two hosts on one machine need, and what to say where it lacks."""

import shutil
import subprocess
import sys
from collections.abc import Mapping

#: Program → Debian's package that has it.
PROGRAMS: Mapping[str, str] = {
    "/usr/lib/rabbitmq/bin/rabbitmq-server": "rabbitmq-server",
    "epmd": "erlang-base",
    "redis-server": "redis-server",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
#: What only root may, and not in every container: two hosts are namespaces, a link that is cut drops packets.
_TRIED = "ip link add one type veth peer name two && iptables -w -A INPUT -j DROP"


def find(name: str) -> str:
    """The path of a program, which is here."""
    path = shutil.which(name)
    assert path is not None, _how_to_get(name)
    return path


def forbidden() -> str:
    """Why this machine can have no hosts of its own; nothing if it can."""
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", _TRIED],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    why = " ".join(tried.stdout.split())
    return f"two hosts on one machine need root, and network namespaces: {why}" if tried.returncode else ""


def _missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


def _how_to_get(name: str) -> str:
    return f"{name} is missing: apt-get install --no-install-recommends {PROGRAMS[name]} (Debian)"


if __name__ == "__main__":
    if "--packages" in sys.argv:  # for `apt-get install`
        print(*(PROGRAMS[name] for name in _missing()))
    else:
        sys.exit("\n".join(map(_how_to_get, _missing())) or forbidden() or None)
