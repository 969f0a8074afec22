"""What a command says when it fails: one line of what was wrong and what to do, or JSON with --json."""

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import httpx

from producer.client import ApiError, FusionAI
from producer.client.objects import Fault
from producer.client.transport import UNLIKE, unlike
from producer.stack import failures
from producer.terminal import as_json, one_line, printable
from shared.errors import FusionError


class FaultyFileError(click.ClickException):
    """A file was refused; its faults have been listed, unless JSON is wanted."""

    def __init__(self, message: str, faults: Sequence[Fault]) -> None:
        super().__init__(message)
        self.faults = faults


class UnlikeError(click.ClickException):
    """What answered lacks something, or has something else in its place, that this API's answers have."""


class ToldAsJson(click.ClickException):
    """`{"error": {"message", "type", "code", …}}` on stderr, with the same exit status.

    Of the API's own errors it is the API's object; of any other, `code` is the exit status.
    """

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        vars(self)["exit_code"] = error.exit_code
        self._shown = _shown(error)

    def show(self, file: IO[Any] | None = None) -> None:
        shown = as_json({"error": self._shown}, on_terminal=sys.stderr.isatty())
        click.echo(shown, file=file, err=file is None)


@contextmanager
def told(as_json: bool) -> Iterator[None]:
    """The failures that a user can meet, in words or as JSON; anything else is a bug and keeps its trace."""
    try:
        with explained():
            yield
    except click.ClickException as error:
        if as_json:
            raise ToldAsJson(error) from error
        vars(error)["message"] = printable(error.message)
        raise
    except SystemExit as error:
        if isinstance(error.code, str):
            if as_json:
                raise ToldAsJson(click.ClickException(error.code)) from error
            error.code = printable(error.code)
        raise


@contextmanager
def explained() -> Iterator[None]:
    """Turn the failures that a user can meet into messages."""
    try:
        yield
    except ApiError as error:
        raise click.ClickException(describe(error)) from error
    except httpx.TransportError as error:
        raise click.ClickException(f"the API cannot be reached ({error}); is `fusionai up` running?") from error
    except httpx.InvalidURL as error:
        raise click.ClickException(f"--base-url: {error}") from error
    except BrokenPipeError:
        raise  # whoever read our output has gone; click ends quietly
    except failures.EXPLAINED as error:
        raise click.ClickException(failures.message(error)) from error


@contextmanager
def told_if_unlike(client: FusionAI, address: str) -> Iterator[None]:
    """Take a failure over the shape of what was answered as the answer's, and say what was met and where.

    Before anything was answered it is a bug and keeps its trace; so does text that an output cannot encode.
    """
    try:
        yield
    except UnicodeError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if not client.reached:
            raise
        raise UnlikeError(f"{unlike(address)} ({_met(error)})") from error


def _met(error: Exception) -> str:
    """`KeyError: 'data' at jobs.py:93`."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {one_line(str(error))[:100]} at {Path(last.filename).name}:{last.lineno}"


def describe(error: ApiError) -> str:
    """An API error in a line, with the request's id for whoever looks into the server's log."""
    request = f" [{error.request_id}]" if error.request_id else ""
    return one_line(f"{error.message} ({error.status} {error.type}){request}")


def _shown(error: click.ClickException) -> dict[str, Any]:
    cause = error.__cause__
    if isinstance(cause, ApiError):
        given = {"param": cause.param, "request_id": cause.request_id}
        said = cause.message if error.message == describe(cause) else error.message
        shown = {"message": said, "type": cause.type, "code": cause.status}
        return shown | {name: value for name, value in given.items() if value}
    if isinstance(error, FaultyFileError):
        return {"message": error.message, "type": "invalid_file", "code": error.exit_code, "errors": error.faults}
    return {"message": error.format_message(), "type": _type(error, cause), "code": error.exit_code}


def _type(error: click.ClickException, cause: BaseException | None) -> str:
    if isinstance(error, click.UsageError):
        return "usage"
    if isinstance(error, UnlikeError):
        return UNLIKE
    if isinstance(cause, httpx.TransportError):
        return "unreachable"
    return cause.type if isinstance(cause, FusionError) else "failed"
