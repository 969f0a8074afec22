"""The worker's entry point: `python -m workers.app` is a Celery worker whose tasks feed one event loop."""

import logging
import os
import socket
import sys
import warnings
from functools import partial
from typing import Any

from celery import signals
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning

from shared import logs, network, telemetry
from shared.broker.app import app
from shared.db import schema
from shared.queues import TASKS
from shared.settings import Wrong, keep_private, settings
from shared.submissions.catalogue import SANDBOX, catalogue, endpoint, job_queues
from workers.process import loop_consumer, remote_control, tasks
from workers.process.celery_consumer import CeleryConsumer, Dispatcher
from workers.process.consumer import Consumer
from workers.process.loop_consumer import LoopConsumer
from workers.process.runtime import LEASE_OVER, Runtime, capacities, serves

log = logging.getLogger(__name__)

#: Threads of the Celery pool, which is asked when events of each task are wanted (`workers.process.doorbells`).
POOL_THREADS = 2


def main() -> None:
    """Run until SIGTERM."""
    logs.start()
    keep_private()
    warnings.filterwarnings("ignore", category=SecurityWarning)  # root is usual in a container; we take only JSON
    network.check()
    check_queues()
    for line in proxy_lines():
        log.info(line)
    schema.require(settings().database_url)
    telemetry.start("worker")
    consumer = Consumer()
    remote_control.restrict(consumer.on_loop)
    listens = partial(LoopConsumer, consumer) if loop_consumer.is_possible() else None
    runtime = Runtime(consume=consumer, reconcile=consumer.reconcile, listens=listens)
    tasks.current.append(runtime)

    _follow_celery(runtime, consumer)
    try:
        status = _run_celery()
    finally:
        telemetry.stop()
    sys.exit(status)


def _follow_celery(runtime: Runtime, consumer: Consumer) -> None:
    """Start and stop with Celery's worker."""

    def start(**_: Any) -> None:
        try:
            runtime.start()
        except Exception as error:  # Celery would log it, go on, and take doorbells for nobody
            log.error("the worker cannot start: %s", logs.kind(error))
            os._exit(LEASE_OVER)

    def ready(sender: Any, **_: Any) -> None:
        consumer.ready(sender)

    signals.worker_init.connect(start, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(lambda **_: runtime.stop_leasing(), weak=False)
    signals.worker_shutdown.connect(lambda **_: runtime.stop(), weak=False)


def check_queues() -> None:
    """End the process when it is to serve a queue that does not exist: nobody would notice."""
    there = {*job_queues(), *TASKS}
    if unknown := [name for name in map(str.strip, settings().queues.split(",")) if name and name not in there]:
        raise Wrong(f"FUSIONAI_QUEUES: unknown queue {unknown[0][:100]}")


def proxy_lines() -> list[str]:
    """Which providers are called through which proxies."""
    found = []
    for name, provider in catalogue().providers.items():
        if name != SANDBOX and (where := endpoint(provider)) and (proxy := network.routes().proxy(where.base_url)):
            found.append(f"{name} is called through the proxy {proxy.shown} ({proxy.variable})")
    return found


def _run_celery() -> int:
    """Run Celery's worker to its end; its exit status.

    Not by its command line (`app.worker_main`), which imports click, Flower, tornado and prompt_toolkit: 12 MB.
    """
    app.events.dispatcher_cls = Dispatcher
    worker = app.Worker(
        quiet=True,
        pool_cls="threads",
        consumer_cls=CeleryConsumer,
        concurrency=POOL_THREADS,
        without_gossip=True,
        without_mingle=True,
        queues=[*capacities(), *filter(serves, TASKS)],
        hostname=f"worker-{os.getpid()}@{socket.gethostname()}",
        loglevel=settings().log_level,
    )
    # What Celery's logging has just turned on: five lines of late acknowledgement, at each outage of the broker.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    main()
