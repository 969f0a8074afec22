"""What a command says when it fails: one line of what was wrong and what to do; exit status 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
import httpx
from sqlalchemy.exc import ArgumentError, DBAPIError

from producer.client import ApiError
from shared.errors import FusionError
from shared.settings import settings


@contextmanager
def explained() -> Iterator[None]:
    """Turn the failures that a user can meet into messages; anything else is a bug and keeps its trace."""
    try:
        yield
    except ApiError as error:
        raise click.ClickException(describe(error)) from error
    except httpx.TransportError as error:
        raise click.ClickException(f"the API cannot be reached ({error}); is `fusionai up` running?") from error
    except httpx.InvalidURL as error:
        raise click.ClickException(f"--base-url: {error}") from error
    except FusionError as error:
        raise click.ClickException(error.message) from error
    except DBAPIError as error:
        place = settings().database_url.rpartition("@")[2]  # without the password
        hint = "`fusionai migrate` makes the tables, FUSIONAI_DATABASE_URL says where"
        raise click.ClickException(f"the database {place} refused: {error.orig}\n({hint})") from error
    except ArgumentError as error:
        raise click.ClickException("FUSIONAI_DATABASE_URL is not the URL of a database") from error
    except BrokenPipeError:
        raise  # whoever read our output has gone; click ends quietly
    except OSError as error:
        raise click.ClickException(str(error)) from error


def describe(error: ApiError) -> str:
    """An API error in a line, with the request's id for whoever looks into the server's log."""
    request = f" [{error.request_id}]" if error.request_id else ""
    return f"{error.message} ({error.status} {error.type}){request}"
