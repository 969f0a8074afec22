"""The address of a database: its URL as SQLAlchemy takes it, where several servers may be named.

PostgreSQL's own clients take `postgresql://user@a:5432,b:5433/name?target_session_attrs=read-write`
(https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS) and use the first server that will
do, which SQLAlchemy takes as `host=a,b&port=5432,5433` alone.
"""

import re
from urllib.parse import unquote

from sqlalchemy import URL, make_url

#: Up to the hosts; several hosts; the rest.
_SEVERAL = re.compile(r"(postgresql(?:\+psycopg)?://(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)(.*)", re.DOTALL)
#: A host, or an IPv6 address in brackets, and perhaps its port.
_PLACE = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]{1,5}))?")


def address(url: str) -> URL:
    """The URL of a database, for its driver; ValueError when it names a place that is none."""
    several = _SEVERAL.fullmatch(url)
    if several is None:
        parsed = make_url(url)
    else:
        places = [_place(one) for one in several[2].split(",")]
        parsed = make_url(several[1] + several[3]).update_query_dict(
            {"host": ",".join(host for host, _ in places), "port": ",".join(port for _, port in places)}
        )
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def sqlite_path(url: str) -> str | None:
    """The file of an SQLite database; None: it is in memory, or of another kind."""
    parsed = address(url)
    path = parsed.database if parsed.get_backend_name() == "sqlite" else None
    return None if not path or path == ":memory:" or path.startswith("file:") else path


def _place(written: str) -> tuple[str, str]:
    found = _PLACE.fullmatch(written)
    if found is None:
        raise ValueError("a server of the database is written host:port")
    return unquote(found[1] or found[2] or ""), found[3] or ""
