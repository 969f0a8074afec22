"""Has the statements of a session compiled once, not once for every database that a test opens: a fourth of its work.

SQLAlchemy keeps compiled statements by engine, which a process of the product has one of. In a session of tests each
database has its own, all with the same options and of one server version, so what was compiled for the first serves.
"""

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import Dialect
from sqlalchemy.util import LRUCache

from shared import db
from tests import pooling

#: Statements of each kind of database: several times what the product has.
_MOST = 4000
#: Statements that a connection keeps prepared. With the usual 128 (of PostgreSQL's driver: 100), one that runs all
#: checks of `verify` again and again, and some others between, has lost each of them before it comes back to it.
_PREPARED = 1000
_shared: dict[str, tuple[Dialect, LRUCache[Any, Any]]] = {}


def compile_once() -> None:
    """Have the databases of this process share it."""
    db.create_engine = _create_engine  # type: ignore[attr-defined]


def _create_engine(url: URL, **given: Any) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite:
        given["connect_args"] = {**given.get("connect_args", {}), "cached_statements": _PREPARED}
    engine = create_engine(url, **given)
    if not is_sqlite:
        event.listen(engine, "connect", _keep_prepared)
    if engine.dialect.name in _shared:
        _take(engine)
    else:  # its dialect is of use to others when it has met the database
        event.listen(engine, "engine_connect", _share, once=True)
    pooling.give(engine, url)
    return engine


def _keep_prepared(connection: Any, _record: object) -> None:
    connection.prepared_max = _PREPARED


def _share(connection: Connection) -> None:
    engine = connection.engine
    _shared.setdefault(engine.dialect.name, (engine.dialect, LRUCache(_MOST)))
    _take(engine)


def _take(engine: Engine) -> None:
    engine.dialect, engine._compiled_cache = _shared[engine.dialect.name]
