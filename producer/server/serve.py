"""The web process's server, and how it stops: unready first, then no new connections, then an end to what still waits.

From SIGTERM on, `drain_seconds` are left for what is under way. Whoever then still waits for a job, or reads its
stream, is told that the server stops and how to go on; whatever else there is, such as an upload, is cut off a moment
later.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp

from producer.server import connections
from producer.server.connections import Connections
from producer.server.listeners import take_no_more
from producer.server.protocol import BoundedProtocol
from shared import clock, processes
from shared.settings import Wrong, settings
from shared.stopping import stop

#: Longer than clients and load balancers keep an idle connection: who hangs up first never meets a request under way.
KEEP_ALIVE_SECONDS = 75
#: Of the drain, the part at most in which the server still takes connections and says that it is not ready.
NOTICE_SHARE = 0.25
#: How long the last answers, given at the end of the drain, may take to be sent: a tenth of it, within these seconds.
LEAVE_LEAST_SECONDS, LEAVE_MOST_SECONDS = 0.3, 2.0
_TURN_SECONDS = 0.05


class Served(Protocol):
    """The app that is served, as far as the server tells it that it stops."""

    #: The server is to stop, and will serve for a moment.
    stopping: bool

    def stop_waiting(self) -> None:
        """The moment is over: whoever waits gets an answer now."""
        ...


class Server(uvicorn.Server):
    """uvicorn's, which stops as said above; `context` gives that of the app that it serves, once it has started.

    `beside`: another app, on the host and port of its configuration, for as long.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        context: Callable[[], Served],
        all: Connections,
        beside: uvicorn.Config | None = None,
    ) -> None:
        super().__init__(config)
        self._context = context
        self._all = all
        self._beside = beside

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and enforce the bounds of connections meanwhile."""
        looking = asyncio.create_task(self._all.run())
        try:
            await super().serve(sockets)
        finally:
            await stop(looking)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; a port that is taken ends the start, and is named."""
        beside = None if self._beside is None else await self._bind(self._beside)
        await super().startup(sockets)
        if beside is not None:
            await beside.start_serving()
            self.servers.append(beside)

    async def _bind(self, config: uvicorn.Config) -> asyncio.Server:
        """The metrics' port, before anything is begun that would have to be ended again."""
        config.load()
        made: Any = config.http_protocol_class
        protocol = partial(made, config=config, server_state=self.server_state, app_state={})
        try:
            return await asyncio.get_running_loop().create_server(
                protocol, config.host, config.port, reuse_port=True, start_serving=False
            )
        except OSError as error:
            where = f"FUSIONAI_METRICS_PORT: {config.host} port {config.port}"
            raise Wrong(f"{where}: cannot listen: {error.strerror or error}") from None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; a second Ctrl-C stops at once."""
        drain_seconds = settings().drain_seconds
        context = self._context()
        context.stopping = self._all.closing = True
        asyncio.get_running_loop().call_later(drain_seconds, context.stop_waiting)
        over = clock.monotonic() + notice_seconds(drain_seconds)
        while clock.monotonic() < over and not self.force_exit:
            await asyncio.sleep(_TURN_SECONDS)
        await take_no_more(self.servers)
        await super().shutdown(sockets)


def notice_seconds(drain_seconds: float) -> float:
    """How long of a drain the server still takes connections."""
    return min(settings().stop_notice_seconds, drain_seconds * NOTICE_SHARE)


def serve(app: ASGIApp, context: Callable[[], Served], metrics: ASGIApp | None = None) -> None:
    """Serve until a signal; `metrics`: what the metrics' own port serves."""
    drain_seconds = settings().drain_seconds
    connections.raise_open_files()
    processes.freeze_loaded()  # everybody who calls waits for a collection
    all = Connections(connections.bounds(settings()))
    protocol: Any = partial(BoundedProtocol, connections=all)
    configured = partial(
        uvicorn.Config,
        loop="uvloop",
        http=protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        backlog=4096,
        server_header=False,
    )
    config = configured(app, host=settings().host, port=settings().port)
    beside = None
    if metrics is not None:
        beside = configured(metrics, host=settings().metrics_host, port=settings().metrics_port, lifespan="off")
    # uvicorn says int, and hands it to asyncio's timeout.
    leave = min(max(drain_seconds / 10, LEAVE_LEAST_SECONDS), LEAVE_MOST_SECONDS)
    config.timeout_graceful_shutdown = drain_seconds - notice_seconds(drain_seconds) + leave  # type: ignore[assignment]
    # uvicorn raises it again once it has stopped, which would be an end by a signal (143) and no good one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with suppress(KeyboardInterrupt):  # by which uvicorn ends after Ctrl-C
        Server(config, context, all, beside).run()
