"""The command: `python -m workers.simulator` listens, says where in one line, and stops at once on a signal."""

import argparse
import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from workers.simulator.app import Simulator
from workers.simulator.faults import QUIET, ScriptedFault
from workers.simulator.rate_limits import LimitRule

BACKLOG = 4096
#: Longer than any client's, so that no request meets a connection that is just being closed.
KEEP_ALIVE_SECONDS = 600
#: For the answer to who ordered it to go down.
ANSWER_SECONDS = 0.05
#: Garbage is rare here, and looking for it costs a tenth of the speed.
GC_THRESHOLD = 100_000


class SimulatorProtocol(HttpToolsProtocol):
    """uvicorn's, with the transport in the scope, for faults that ASGI cannot express."""

    def on_message_begin(self) -> None:
        """Begin a request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {"simulator.transport": self.transport}  # type: ignore[dict-item]


class SimulatorServer(uvicorn.Server):
    """uvicorn's, which says that it listens, and ends with status 0 when it is told to stop."""

    port_file: Path | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        if self.port_file is not None:
            beside = self.port_file.with_name(self.port_file.name + ".tmp")
            beside.write_text(f"{port}\n")
            beside.replace(self.port_file)
        print(f"simulator listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on the first signal; uvicorn's own would raise it again at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def go_down(self, seconds: float) -> None:
        """As a machine that fails: every connection is cut and new ones are refused, then it listens there again."""
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._go_down, seconds)

    def _go_down(self, seconds: float) -> None:
        where = self.servers[0].sockets[0].getsockname()[:2]
        self.servers[0].close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        asyncio.get_running_loop().call_later(seconds, self._come_up, *where)

    def _come_up(self, host: str, port: int) -> None:
        protocol = partial(SimulatorProtocol, self.config, self.server_state, self.lifespan.state)
        listening = asyncio.get_running_loop().create_server(protocol, host, port, backlog=BACKLOG)
        self._coming_up = asyncio.ensure_future(listening)
        self._coming_up.add_done_callback(lambda done: self.servers.__setitem__(0, done.result()))

    def _stop(self) -> None:
        self.should_exit = self.force_exit = True


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m workers.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency", type=span, default=QUIET, metavar="SECONDS", help="before each answer; or A-B")
    parser.add_argument("--fail-first", type=fraction, default=0.0, metavar="FRACTION", help="of the bodies, once each")
    parser.add_argument("--fail", type=fraction, default=0.0, metavar="FRACTION", help="of the calls: 500, 429, 503")
    parser.add_argument("--limit", type=rate, metavar="N", help="requests a minute of each provider; above it 429")
    parser.add_argument("--port-file", type=Path, help="where the port is written, once it listens")
    chosen = parser.parse_args(arguments)
    limits = [LimitRule(requests_per_minute=chosen.limit)] if chosen.limit else []
    app = Simulator(chosen.latency, chosen.fail_first, chosen.fail, *limits)
    serve(app, chosen.host, chosen.port, chosen.port_file)


def span(text: str) -> ScriptedFault:
    """Seconds of latency, or the least and the most with a dash between."""
    least, _, most = text.partition("-")
    return ScriptedFault(latency_seconds=float(least), latency_up_to=float(most) if most else None)


def rate(text: str) -> float:
    """Requests a minute."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return value


def serve(app: Simulator, host: str, port: int, port_file: Path | None) -> None:
    """Serve until a signal."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=SimulatorProtocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        interface="asgi3",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=0,
        access_log=False,
        server_header=False,
        date_header=False,
        log_level="critical",
    )
    server = SimulatorServer(config)
    server.port_file = port_file
    app.control.go_down = server.go_down
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    server.run()


if __name__ == "__main__":
    main()
