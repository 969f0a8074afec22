"""Why a server cannot be used, in words; and when another node of a broker is worth a try at once."""

import socket
import ssl

import pytest
import redis
from amqp.exceptions import AccessRefused, ConnectionForced, NotAllowed, RecoverableConnectionError
from kombu.exceptions import OperationalError

from shared import outages


def after(error: BaseException, cause: BaseException) -> BaseException:
    """An error that was made of another."""
    error.__cause__ = cause
    return error


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AccessRefused("ACCESS_REFUSED", (0, 0)), "it refuses the user name or the password"),
        (redis.AuthenticationError("invalid username-password pair"), "it refuses the user name or the password"),
        (redis.exceptions.NoPermissionError("NOPERM"), "the user may not do this there"),
        (NotAllowed("access to vhost"), "it refuses the user this virtual host"),
        (
            after(redis.ConnectionError("Error 1"), untrusted()),
            "its certificate is not trusted: certificate has expired; FUSIONAI_CA_FILE names other authorities",
        ),
        (after(OperationalError("refused"), ConnectionRefusedError(111, "refused")), "nobody listens there"),
        (after(OperationalError("blocked"), outages.Blocked("no")), "it has no memory or disk left"),
        (after(redis.ConnectionError("x"), socket.gaierror(-2, "unknown")), "there is no such host"),
        (after(OperationalError("late"), TimeoutError("timed out")), "it does not answer in time"),
        (redis.TimeoutError("Timeout connecting to server"), "it does not answer in time"),
        (after(OperationalError("lost"), ConnectionResetError(104, "reset")), "ConnectionResetError (reset)"),
        (redis.ConnectionError("gone"), "ConnectionError"),
    ],
)
def test_why(error: BaseException, said: str) -> None:
    assert outages.why(error) == said


@pytest.mark.parametrize(
    ("error", "hung_up"),
    [
        (ConnectionForced("broker forced connection closure"), True),
        (after(OperationalError("lost"), RecoverableConnectionError("connection already closed")), True),
        (after(OperationalError("lost"), OSError("Server unexpectedly closed connection")), True),
        (BrokenPipeError(32, "broken"), True),
        (after(OperationalError("late"), TimeoutError("timed out")), False),
        (after(OperationalError("refused"), ConnectionRefusedError(111, "refused")), False),
        (after(OperationalError("blocked"), outages.Blocked("no")), False),
        (after(redis.ConnectionError("lost"), ConnectionResetError(104, "reset")), False),
        (AccessRefused("ACCESS_REFUSED", (0, 0)), False),
        (ValueError("ours"), False),
    ],
)
def test_a_dead_connection_is_worth_another_try(error: BaseException, hung_up: bool) -> None:
    assert outages.is_hung_up(error) is hung_up
