"""psycopg's pipelines, by which it sends many rows at once, ended so that the server knows that its client is next.

psycopg 3.3 ends one by a Sync, and a Flush after it. To PostgreSQL that is a further message, and with any message it
turns off the timer of `idle_in_transaction_session_timeout`, which only a Sync turns on again: a process that hangs, or
is cut off, between an executemany and its COMMIT would keep its locks for as long as its connection lives. A Sync has
everything sent that there is, so that the Flush is of no use.
"""

from collections.abc import Generator
from typing import Any

from psycopg import Pipeline


def _exit_gen(self: Pipeline) -> Generator[Any, Any, None]:
    """psycopg's own, as its `sync` does it."""
    try:
        self._enqueue_sync()
        yield from self._communicate_gen()
    finally:
        yield from self._fetch_gen(flush=False)


def end_by_sync() -> None:
    """End every pipeline of this process so."""
    Pipeline._exit_gen = _exit_gen  # type: ignore[method-assign, assignment]
