"""How processes log: one line a record on stderr. Ids and types of errors are logged; keys and prompts never."""

import logging
import ssl
import traceback
from collections.abc import Sequence
from typing import Any

from shared import clock
from shared.settings import settings, unknown_variables

#: Libraries that write a line for each request; told to speak up only when something is wrong.
_CHATTY = (
    "httpx",
    "httpcore",
    "kombu",
    "asyncio",
    "celery.app.trace",
    "celery.worker.strategy",
    "celery.worker.consumer",
)
#: A library that warns of what is usual here: a message that arrives for a queue just turned off goes back to it.
_ALARMED = ("kombu.transport.virtual.base",)
#: Who logs a line for each client that speaks no HTTP (a scanner, TLS to a plain port), each try to reach a server that
#: is away or refuses us, or each export to a collector of traces that is: one of them a minute is enough.
_REPEATING = {
    "uvicorn.error": (logging.WARNING,),
    "shared.telemetry.spans": (logging.WARNING,),
    "opentelemetry.exporter.otlp.proto.http.trace_exporter": (logging.WARNING, logging.ERROR),
    "celery.worker.consumer.consumer": (logging.WARNING, logging.ERROR, logging.CRITICAL),
    "shared.db": (logging.WARNING,),
    "shared.notifier": (logging.WARNING,),
    "shared.providers.statistics_watch": (logging.WARNING,),
    "workers.process.celery_consumer": (logging.ERROR,),
    "workers.running.publisher": (logging.WARNING,),
    "workers.batches": (logging.ERROR,),
    "workers.maintenance.sweep": (logging.ERROR,),
}
_SECONDS_APART = 60.0
#: What uvloop says of a connection that was given up before TLS had begun.
_OF_TLS = "Fatal error on SSL protocol"


def start() -> None:
    """Set up this process's logging, from FUSIONAI_LOG_LEVEL."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=settings().log_level, handlers=[handler])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    for name in _ALARMED:
        logging.getLogger(name).setLevel(max(logging.ERROR, logging.getLogger().level))
    for name, levels in _REPEATING.items():
        logging.getLogger(name).addFilter(Seldom(levels))
    for line in unknown_variables():
        logging.getLogger(__name__).warning(line)


class Seldom(logging.Filter):
    """Lets the same warning through once a minute, with how many there were since; other levels always."""

    def __init__(self, levels: Sequence[int] = (logging.WARNING,)) -> None:
        super().__init__()
        self._levels = levels
        self._due: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno not in self._levels:
            return True
        said, now = str(record.msg), clock.monotonic()
        if now < self._due.get(said, 0.0):
            self._held[said] = self._held.get(said, 0) + 1
            return False
        self._due[said] = now + _SECONDS_APART
        if held := self._held.pop(said, 0):
            record.msg, record.args = f"{record.getMessage()} ({held:,} more since the last line like this)", ()
        return True


class _Formatter(logging.Formatter):
    """Tells an exception's type and where it happened; asyncio's own messages repeat it, so but a line of those."""

    def formatException(self, ei: Any) -> str:
        return trace(ei[1])

    def format(self, record: logging.LogRecord) -> str:
        if record.name == "asyncio" and record.exc_info:
            record.msg, record.args = record.getMessage().partition("\n")[0], ()
            failed = record.exc_info[1]
            if failed is not None and (isinstance(failed, ssl.SSLError) or record.msg == _OF_TLS):
                record.msg, record.exc_info = f"{record.msg}: {kind(failed)}", None  # nobody waits for it any more
        return _shown(super().format(record))


def _shown(text: str) -> str:
    """Without what a terminal would obey: a log is read on one."""
    return "".join(one if one.isprintable() or one in "\n\t" else "?" for one in text)


def kind(error: BaseException) -> str:
    """An error's type, with the database's or the system's own code; its message may hold what a customer sent."""
    cause = getattr(error, "orig", None)
    code = (
        getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or getattr(error, "strerror", None)
    )
    return f"{type(error).__name__} ({code})" if code else type(error).__name__


def trace(error: BaseException) -> str:
    """The same, and where it happened: for what is not expected."""
    return f"{kind(error)}\n{''.join(traceback.format_tb(error.__traceback__))}"
