"""How processes log: one line a record on stderr. Ids and types of errors are logged; keys and prompts never."""

import logging

from shared.settings import settings

#: Libraries that write a line for each request; told to speak up only when something is wrong.
_CHATTY = ("httpx", "httpcore", "kombu", "asyncio", "celery.app.trace", "celery.worker.strategy")


def start() -> None:
    """Set up this process's logging, from FUSIONAI_LOG_LEVEL."""
    logging.basicConfig(level=settings().log_level, format="%(levelname)s %(name)s: %(message)s")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
