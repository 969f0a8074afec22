"""The worker's entry point: `python -m workers.app` is a Celery worker whose tasks feed one event loop."""

import logging
import os
import socket
import warnings
from typing import Any

from celery import signals
from celery.platforms import SecurityWarning

from shared import logs, network
from shared.broker.app import app, job_queues
from shared.queues import MAINTENANCE, WEBHOOKS
from shared.settings import Wrong, keep_private, settings
from shared.submissions.catalogue import SANDBOX, catalogue, endpoint
from workers import remote_control, tasks
from workers.maintenance import sweep
from workers.runtime import Runtime, capacities, serves

log = logging.getLogger(__name__)

#: Threads of the Celery pool; a task only hands ids to the loop.
POOL_THREADS = 2


class Consumer:
    """Turns queues off and on in Celery's own consumer, on its own thread.

    Calls reach that thread in any order, so none says what to change: each brings a queue to the state that is wanted
    by then. `reconcile` does so for all, should one have been lost.
    """

    def __init__(self) -> None:
        self._celery: Any = None
        self._wanted: dict[str, bool] = {}

    def ready(self, celery_consumer: Any) -> None:
        """Celery's consumer is there."""
        self._celery = celery_consumer

    def __call__(self, queue: str, on: bool) -> None:
        """Consume a queue, or stop; from any thread."""
        self._wanted[queue] = on
        if self._celery is not None:
            self._celery.call_soon(self._switch, queue)

    def reconcile(self) -> None:
        """See that every queue is as it is wanted; from any thread."""
        if self._celery is not None and self._wanted:
            self._celery.call_soon(self._switch_all)

    def _switch_all(self) -> None:
        for queue in list(self._wanted):
            self._switch(queue)

    def _switch(self, queue: str) -> None:
        on, consumer = self._wanted[queue], self._celery.task_consumer
        try:
            if consumer is None or bool(consumer.consuming_from(queue)) == on:
                return  # none while it connects again, which keeps what was turned off
            if on:
                self._celery.add_task_queue(queue)
            else:
                self._celery.cancel_task_queue(queue)
        except Exception as error:
            log.warning("could not turn %s %s: %s", queue, "on" if on else "off", type(error).__name__)


def main() -> None:
    """Run until SIGTERM."""
    logs.start()
    keep_private()
    warnings.filterwarnings("ignore", category=SecurityWarning)  # root is usual in a container; we take only JSON
    network.check()
    check_queues()
    for line in ways():
        log.info(line)
    remote_control.restrict()
    consumer = Consumer()
    runtime = Runtime(consume=consumer, reconcile=consumer.reconcile, due=sweep.due_ids)
    tasks.current.append(runtime)

    def starting(**_: Any) -> None:
        runtime.start()

    def ready(sender: Any, **_: Any) -> None:
        consumer.ready(sender)

    def stopping(**_: Any) -> None:
        runtime.stop_leasing()

    def stopped(**_: Any) -> None:
        runtime.stop()

    signals.worker_init.connect(starting, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(stopping, weak=False)
    signals.worker_shutdown.connect(stopped, weak=False)
    app.worker_main(_arguments())


def check_queues() -> None:
    """End the process when it is to serve a queue that there is not: nobody would notice."""
    there = {*job_queues(), WEBHOOKS, MAINTENANCE}
    if unknown := [name for name in map(str.strip, settings().queues.split(",")) if name and name not in there]:
        raise Wrong(f"FUSIONAI_QUEUES: there is no queue {unknown[0][:100]}")


def ways() -> list[str]:
    """Which providers are called through which proxies."""
    found = []
    for name, provider in catalogue().providers.items():
        if name != SANDBOX and (where := endpoint(provider)) and (proxy := network.routes().proxy(where.base_url)):
            found.append(f"{name} is called through the proxy {proxy.shown} ({proxy.variable})")
    return found


def _arguments() -> list[str]:
    queues = [*capacities(), *filter(serves, (WEBHOOKS, MAINTENANCE))]
    return [
        "--quiet",
        "worker",
        "--pool=threads",
        f"--concurrency={POOL_THREADS}",
        "--without-gossip",
        "--without-mingle",
        f"--queues={','.join(queues)}",
        f"--hostname=worker-{os.getpid()}@{socket.gethostname()}",
        f"--loglevel={settings().log_level}",
    ]


if __name__ == "__main__":
    main()
