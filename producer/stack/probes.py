"""Checks which ports of this machine are free, and which servers answer; each check takes half a second at most."""

import http.client
import socket

_PATIENCE_SECONDS = 0.5


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. Old connections do not matter (SO_REUSEADDR)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now; another process may take it before it is used."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether something on loopback accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS):
            return True
    except OSError:
        return False


def redis_answers(port: int, password: str) -> bool:
    """Whether a Redis server on loopback takes the password and answers PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            return connection.makefile("rb").read(12) == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False


def is_ready(host: str, port: int) -> bool:
    """Whether GET /readyz answers 200."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
