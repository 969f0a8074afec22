"""The Celery tasks: each hands the ids of its message to the event loop. Their acknowledgement means nothing.

What a later version sends beside the ids is passed over.
"""

from collections.abc import Sequence
from typing import Any

from shared.broker.app import app
from workers.process.runtime import Runtime

#: By which they are run, as Celery is told: see there.
AT_ONCE = "workers.process.doorbells:at_once"
#: The process's one runtime, set by workers.app before the consumer starts.
current: list[Runtime] = []


@app.task(name="offer", ignore_result=True, Strategy=AT_ONCE)  # type: ignore[untyped-decorator]
def offer(queue: str, ids: Sequence[str], *_: Any, first: bool = False, **__: Any) -> None:
    """These jobs wait on the queue. `first`: this message is their first lease."""
    current[0].offer(queue, ids, first=first is True)


@app.task(name="deliver", ignore_result=True, Strategy=AT_ONCE)  # type: ignore[untyped-decorator]
def deliver(queue: str, ids: Sequence[str], *_: Any, **__: Any) -> None:
    """These webhook deliveries are due."""
    current[0].deliver(ids)
