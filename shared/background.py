"""Background tasks of an event loop: kept until they have ended, their failures logged."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

from shared import logs


class BackgroundTasks:
    """The tasks of one owner. `failed`: what the log says of one that failed, with a `%s` for the error."""

    def __init__(self, log: logging.Logger, failed: str) -> None:
        self._log, self._failed = log, failed
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Begin, and keep the task until it has ended."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def __iter__(self) -> "Iterator[asyncio.Task[Any]]":
        return iter(list(self._tasks))

    def __len__(self) -> int:
        return len(self._tasks)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.warning(self._failed, logs.kind(error))
