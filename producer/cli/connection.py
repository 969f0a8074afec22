"""How a command reaches the API: by its options, the environment, or what `fusionai up` wrote here."""

from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from fusionai import addresses
from fusionai.manners import LOCAL_URL
from fusionai.plain import PlainClient
from producer.cli.failures import checked_answers
from producer.cli.ids import whole
from producer.cli.output import Output, json_option
from producer.stack.state import StateDirectory
from shared.settings import settings

P = ParamSpec("P")

#: For how many seconds a server is tried that has not answered yet; one that has is waited for.
FIRST_SECONDS = 3.0


def api_command(function: Callable[Concatenate[PlainClient, Output, P], None]) -> Callable[..., None]:
    """Give a command --base-url, --key and --json, and a client and an output as its first arguments."""

    @click.option("--base-url", metavar="URL", help="Address of the API, with /v1; else FUSIONAI_BASE_URL.")
    @click.option("--key", metavar="KEY", help="A live or test key; else FUSIONAI_API_KEY.")
    @json_option
    @wraps(function)
    def command(*args: Any, base_url: str | None, key: str | None, as_json: bool, **kwargs: Any) -> None:
        address, secret = whereabouts(base_url, key)

        def away() -> None:
            if not as_json:
                click.echo(f"{address} cannot be reached; trying again…", err=True)

        with PlainClient(address, secret, first_seconds=FIRST_SECONDS, on_unreachable=away, strict=True) as client:
            with checked_answers(client, address):
                given = {name: whole(client, value) for name, value in kwargs.items()}
                function(client, Output(as_json), *args, **given)

    return command


def whereabouts(base_url: str | None, key: str | None) -> tuple[str, str]:
    """Address and key: without an address where the SDKs go. The local stack's key is sent only to that."""
    own = settings()
    local = StateDirectory(own.state_directory).first_account()
    address = base_url or own.base_url
    secret = key or own.api_key or ("" if address else str(local.get("live_key", "")))
    if not (address or secret or local):
        raise click.UsageError(_nothing(own.state_directory))
    address = address or str(local.get("base_url", "")) or LOCAL_URL
    address, secret = address.strip(), secret.strip()
    where = "--base-url" if base_url else "FUSIONAI_BASE_URL"
    if not address.startswith(("http://", "https://")):
        raise click.UsageError(f"{where}: {address!r} does not begin with http:// or https://")
    if fault := addresses.fault_of(address):
        raise click.UsageError(f"{where} {fault}")
    if not secret:
        raise click.UsageError("no key: give --key or set FUSIONAI_API_KEY")
    if fault := addresses.fault_of_key(secret):
        raise click.UsageError(fault)
    return address, secret


def _nothing(directory: Path) -> str:
    """What to do where neither a key is given nor a stack has written its own."""
    local = f"; or run `fusionai up` here ({directory}/ has no key)" if find_spec("sqlalchemy") else ""
    return (
        "no key: set FUSIONAI_API_KEY or give --key; and, unless the server is at "
        f"{LOCAL_URL}, set FUSIONAI_BASE_URL or give --base-url{local}"
    )
