"""Where a database is: one server, several as PostgreSQL's own clients write them, or a file."""

import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from shared.db.addresses import address, sqlite_path

#: What the driver is given: hosts, ports, and the rest.
SERVERS = [
    ("postgresql://u:p@a/db", "a", None),
    ("postgresql+psycopg://u:p@a:5433/db", "a", 5433),
    ("postgresql://u:p@a:5432,b:5433/db?target_session_attrs=read-write", "a,b", "5432,5433"),
    ("postgresql+psycopg://u:p@a,b,c:1/db", "a,b,c", ",,1"),
    ("postgresql://u:p@[::1]:5432,[fd00::2]/db", "::1,fd00::2", "5432,"),
    ("postgresql://u:p%2C@a,b/db", "a,b", ","),
    ("postgresql://u:p@%2Frun%2Fa,%2Frun%2Fb/db", "/run/a,/run/b", ","),
    ("postgresql:///db?host=a,b&port=1,2&user=u&password=p", "a,b", "1,2"),
    ("postgresql://u:p@/db?host=/run/postgresql", "/run/postgresql", None),
]


@pytest.mark.parametrize(("url", "host", "port"), SERVERS, ids=[url for url, *_ in SERVERS])
def test_servers(url: str, host: str, port: object) -> None:
    _, given = PGDialect_psycopg().create_connect_args(address(url))  # type: ignore[no-untyped-call]
    assert (given["host"], given.get("port"), given["dbname"]) == (host, port, "db")
    assert given["user"] == "u" and given["password"] in ("p", "p,")
    assert given.get("target_session_attrs") == ("read-write" if "attrs" in url else None)


@pytest.mark.parametrize("url", ["postgresql://u@a:x,b/db", "postgresql://u@a:1:2,b/db", "postgresql://u@[a,b]/db"])
def test_places_that_are_none(url: str) -> None:
    with pytest.raises(ValueError):
        address(url)


def test_files() -> None:
    assert sqlite_path("sqlite:///a/b.sqlite3") == "a/b.sqlite3"
    assert sqlite_path("sqlite:////a/b.sqlite3") == "/a/b.sqlite3"
    assert [sqlite_path(one) for one in ("sqlite://", "sqlite:///:memory:", "postgresql://a/b")] == [None] * 3
