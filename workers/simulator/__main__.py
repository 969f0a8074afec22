"""The command: `python -m workers.simulator` listens, says where in one line, and stops at once on a signal."""

import argparse
import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from workers.simulator.app import Simulator

BACKLOG = 4096
#: Longer than any client's, so that no request meets a connection that is just being closed.
KEEP_ALIVE_SECONDS = 600
#: Garbage is rare here, and looking for it costs a tenth of the speed.
GC_THRESHOLD = 100_000


class Protocol(HttpToolsProtocol):
    """uvicorn's, with the transport in the scope, for faults that ASGI cannot express."""

    def on_message_begin(self) -> None:
        """Begin a request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {"simulator.transport": self.transport}  # type: ignore[dict-item]


class Server(uvicorn.Server):
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

    def _stop(self) -> None:
        self.should_exit = self.force_exit = True


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m workers.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="before each answer")
    parser.add_argument("--fail-first", type=fraction, default=0.0, metavar="FRACTION", help="0 to 1")
    parser.add_argument("--port-file", type=Path, help="where the port is written, once it listens")
    chosen = parser.parse_args(arguments)
    serve(Simulator(chosen.latency, chosen.fail_first), chosen.host, chosen.port, chosen.port_file)


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
        http=Protocol,
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
    server = Server(config)
    server.port_file = port_file
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    server.run()


if __name__ == "__main__":
    main()
