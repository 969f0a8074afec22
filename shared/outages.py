"""Why a server that we need cannot be used, in words for a log: where it is, and what is wrong; never its password.

Decided by the types and codes of errors; what they say themselves is shown only where it is about the connection.
"""

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from amqp.exceptions import AccessRefused, NotAllowed, RecoverableConnectionError
from redis import exceptions as redis

from shared import logs


class Blocked(RecoverableConnectionError):  # type: ignore[misc]
    """RabbitMQ takes no messages: it has no memory or no disk left."""


def place(url: str) -> str:
    """Where the servers of a URL are, without user and password: `mq1:5672, mq2:5672`."""
    return ", ".join(_one_place(one) for one in url.split(";"))


def why(error: BaseException) -> str:
    """What is wrong, as far as the error tells; else its type."""
    causes = list(_causes(error))
    return next((said for one in causes if (said := _said(one))), None) or logs.kind(causes[-1])


def is_hung_up(error: BaseException) -> bool:
    """Whether a connection to RabbitMQ turned out to be dead: a node has gone, and others may be well."""
    causes = list(_causes(error))
    if any(isinstance(one, (Blocked, TimeoutError, ConnectionRefusedError, redis.RedisError)) for one in causes):
        return False
    return any(isinstance(one, (RecoverableConnectionError, OSError)) for one in causes)


def _one_place(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "an address that cannot be read"
    if not host:
        return parts.path or "an address without a host"
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that led to it, the first cause last."""
    seen: list[BaseException] = []
    next_one: BaseException | None = error
    while next_one is not None and next_one not in seen:
        seen.append(next_one)
        yield next_one
        next_one = next_one.__cause__ or next_one.__context__


def _said(error: BaseException) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}; FUSIONAI_CA_FILE names other authorities"
        case ssl.SSLError():
            return f"TLS fails: {error.reason or error.strerror or type(error).__name__}"
        case AccessRefused() | redis.AuthenticationError():
            return "it refuses the user name or the password"
        case Blocked():
            return "it has no memory or disk left"
        case NotAllowed():
            return "it refuses the user this virtual host"
        case redis.NoPermissionError():
            return "the user may not do this there"
        case TimeoutError() | redis.TimeoutError():
            return "it does not answer in time"
        case ConnectionRefusedError():
            return "nobody listens there"
        case socket.gaierror():
            return "there is no such host"
        case _:
            return None
