"""How long a connection to PostgreSQL outlives the other end, where that goes without a word.

A host that loses its power or its network, or a firewall that forgets a connection, sends no end of it. Without limits
Linux finds out after two hours where nothing is sent, and after a quarter of an hour where something is; until then
a thread of ours waits for an answer, and the server keeps the transaction, with its locks. Both ends are told to notice
within SILENT_SECONDS: ours by libpq's parameters, the server by settings of the session, which it has for everybody.
(https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-TCP-USER-TIMEOUT; why both kinds are needed:
https://blog.cloudflare.com/when-tcp-sockets-refuse-to-die/.) Over a Unix socket they have no effect.
"""

from typing import Any

from sqlalchemy import URL, make_url

#: After so long without a sign of life a connection is dead: long enough for a packet to be lost a few times (200, 400,
#: 800 ms …), short enough to be over long before a lease is.
SILENT_SECONDS = 10
#: How long connecting may take, in seconds.
CONNECT_SECONDS = 5
#: A connection on which nothing is sent is asked after so long, and so often, in seconds.
_IDLE_SECONDS, _AGAIN_SECONDS, _TIMES = 4, 2, 3

_CLIENT = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": _IDLE_SECONDS,
    "keepalives_interval": _AGAIN_SECONDS,
    "keepalives_count": _TIMES,
    "tcp_user_timeout": SILENT_SECONDS * 1000,
}
_SERVER = {
    "tcp_keepalives_idle": _IDLE_SECONDS,
    "tcp_keepalives_interval": _AGAIN_SECONDS,
    "tcp_keepalives_count": _TIMES,
    "tcp_user_timeout": SILENT_SECONDS * 1000,
}


def connect_args(url: str | URL, **session: int) -> dict[str, Any]:
    """What psycopg connects with: those limits, and these settings of the session. What the URL says itself wins."""
    given = make_url(url).query
    options = " ".join(f"-c {name}={value}" for name, value in (_SERVER | session).items())
    if isinstance(theirs := given.get("options"), str):
        options = f"{options} {theirs}"  # of two, the later one holds
    mine = {name: value for name, value in _CLIENT.items() if name not in given}
    return {**mine, "options": options}
