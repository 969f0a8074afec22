"""What a command prints when it fails: one line of what was wrong and what to do, or JSON with --json."""

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import httpx
from rich.text import Text

from fusionai.plain import ApiError, PlainClient
from fusionai.plain.objects import Fault
from fusionai.plain.transport import UNEXPECTED, unexpected
from producer.cli.output import console_on
from producer.stack import failures
from producer.terminal import as_json, one_line, printable
from shared.errors import FusionError


class FaultyFileError(click.ClickException):
    """A file was refused; its faults have been listed, unless JSON is wanted."""

    def __init__(self, message: str, faults: Sequence[Fault]) -> None:
        super().__init__(message)
        self.faults = faults


class UnexpectedAnswerError(click.ClickException):
    """The server's answer does not have the shape of this API's."""


class JsonError(click.ClickException):
    """`{"error": {"message", "type", "code", …}}` on standard error, with the same exit status.

    Of the API's own errors it is the API's object; of any other, `code` is the exit status.
    """

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        vars(self)["exit_code"] = error.exit_code
        self._object = _object(error)

    def show(self, file: IO[Any] | None = None) -> None:
        text = as_json({"error": self._object}, on_terminal=sys.stderr.isatty())
        click.echo(text, file=file, err=file is None)


class TextError(click.ClickException):
    """`Error: …` on standard error, after the usage when the arguments were wrong, with the same exit status."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(printable(error.format_message()))
        vars(self)["exit_code"] = error.exit_code
        self._context = error.ctx if isinstance(error, click.UsageError) else None

    def show(self, file: IO[Any] | None = None) -> None:
        if self._context is not None:
            click.echo(f"{self._context.get_usage()}\nTry '{self._context.command_path} --help' for help.\n", err=True)
        text = Text.assemble(("Error:", "bold red"), f" {self.message}")
        console_on(stderr=True).print(text, soft_wrap=True)


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Report the failures that a user can meet, as text or as JSON; anything else is a bug and keeps its trace."""
    shown = JsonError if as_json else TextError
    try:
        with mapped_errors():
            yield
    except click.ClickException as error:
        raise shown(error) from error
    except SystemExit as error:
        if isinstance(error.code, str):
            raise shown(click.ClickException(error.code)) from error
        raise


@contextmanager
def mapped_errors() -> Iterator[None]:
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
        raise  # the reader of our output has gone; click ends quietly
    except failures.explained() as error:
        raise click.ClickException(failures.message(error)) from error


@contextmanager
def checked_answers(client: PlainClient, address: str) -> Iterator[None]:
    """Report an answer that does not have the API's shape as the server's fault, with the place that met it.

    Before anything has been answered it is a bug and keeps its trace; so does text that an output cannot encode.
    """
    try:
        yield
    except UnicodeError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if not client.reached:
            raise
        raise UnexpectedAnswerError(f"{unexpected(address)} ({_place(error)})") from error


def _place(error: Exception) -> str:
    """`KeyError: 'data' at jobs.py:93`."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {one_line(str(error))[:100]} at {Path(last.filename).name}:{last.lineno}"


def describe(error: ApiError) -> str:
    """An API error in a line, with the request's id, by which the server's log has it."""
    request = f" [{error.request_id}]" if error.request_id else ""
    return one_line(f"{error.message} ({error.status} {error.type}){request}")


def _object(error: click.ClickException) -> dict[str, Any]:
    cause = error.__cause__
    if isinstance(cause, ApiError):
        given = {"param": cause.param, "request_id": cause.request_id}
        message = cause.message if error.message == describe(cause) else error.message
        shown = {"message": message, "type": cause.type, "code": cause.status}
        return shown | {name: value for name, value in given.items() if value}
    if isinstance(error, FaultyFileError):
        return {"message": error.message, "type": "invalid_file", "code": error.exit_code, "errors": error.faults}
    return {"message": error.format_message(), "type": _type(error, cause), "code": error.exit_code}


def _type(error: click.ClickException, cause: BaseException | None) -> str:
    if isinstance(error, click.UsageError):
        return "usage"
    if isinstance(error, UnexpectedAnswerError):
        return UNEXPECTED
    if isinstance(cause, httpx.TransportError):
        return "unreachable"
    return cause.type if isinstance(cause, FusionError) else "failed"
