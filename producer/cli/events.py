"""fusionai events, redeliver: what happened, and sending one event again."""

import shlex
import threading
from collections.abc import Sequence
from typing import Any

import click

from fusionai.plain import PlainClient
from producer.cli.connection import api_command
from producer.cli.ids import Id
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column, short_id, time_of_day
from shared.submissions.sizes import MOST_PAGE

#: Between two looks of `events --follow`.
_FOLLOW_SECONDS = 1.0

_COLUMNS = [
    Column("number", right=True, drop=2),
    Column("time", short=time_of_day, cut=3, drop=1),
    Column("event"),
    Column("id", short=short_id, cut=4),
    Column("about", text=True),
]


@click.command()
@click.option("--after", type=Id("event"), metavar="ID", help="Begin after this event.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=MOST_PAGE,
    show_default=True,
    help=f"How many, {MOST_PAGE} at most.",
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only events of this type; may be repeated.")
@click.option("--follow", is_flag=True, help="Print new events until Ctrl-C; with --json one a line.")
@api_command
def events(
    client: PlainClient, output: Output, after: str | None, limit: int, types: tuple[str, ...], follow: bool
) -> None:
    """List the account's events, the oldest first.

    `fusionai webhooks types` lists the types.
    """
    if follow:
        _follow(client, output, after, types)
        return
    page = client.events(after=after, limit=min(limit, MOST_PAGE), types=types)

    def words() -> None:
        output.table(_COLUMNS, map(_row, page["data"]), empty="No events.")
        if page["has_more"]:
            output.note(f"More: fusionai events{_again(types)} --after {page['last_id']}")

    output.value(page, words)


@click.command()
@click.argument("id", type=Id("event"))
@api_command
def redeliver(client: PlainClient, output: Output, id: str) -> None:
    """Send an event again, to its webhooks and callback."""
    event = client.redeliver_event(id)
    output.value(event, lambda: output.line(f"{id} is sent again"))


def _again(types: Sequence[str]) -> str:
    return "".join(f" --type {shlex.quote(type)}" for type in types)


def _follow(client: PlainClient, output: Output, after: str | None, types: Sequence[str]) -> None:
    pause = threading.Event()
    try:
        while True:
            page = client.events(after=after, types=types)
            _print(output, page["data"])
            after = page["last_id"] or after
            if not page["has_more"]:
                pause.wait(_FOLLOW_SECONDS)
    except KeyboardInterrupt:
        if after and not output.as_json:
            output.note(f"To go on: fusionai events --follow{_again(types)} --after {after}")


def _print(output: Output, found: Sequence[dict[str, Any]]) -> None:
    if output.as_json:
        for event in found:
            output.record(event)
    elif found:
        output.table(_COLUMNS, map(_row, found), header=False)


def _row(event: dict[str, Any]) -> list[object]:
    id, about = _subject(event["data"])
    # As wide as most, so that the pages of --follow stand one below the other.
    return [f"{event['sequence']:>6}", moment(event["created_at"]), f"{event['type']:<16}", id, about]


def _subject(data: dict[str, Any]) -> tuple[str, str]:
    """The id and the state of an event's job, batch, invoice or response; or no id and its own few values."""
    for name in ("job", "batch", "invoice"):
        if isinstance(found := data.get(name), dict):
            return str(found["id"]), _about(name, found)
    if isinstance(id := data.get("id"), str):  # OpenAI's events of a response name it alone
        return id, ""
    plain = {name: value for name, value in data.items() if isinstance(value, str | int | float) and name != "url"}
    return "", ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in plain.items())


def _about(name: str, found: dict[str, Any]) -> str:
    if name == "invoice":
        return f"number {found['number']}, {found['kind']}, {credits_text(found['credits'])} credits"
    if name == "job":
        return ", ".join(str(found[part]) for part in ("model", "status") if found.get(part))
    if not (counts := found.get("request_counts")):
        return ""
    failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
    return f"{counts['completed']:,} of {counts['total']:,} succeeded{failed}"


def _text(value: object) -> str:
    return credits_text(value) if isinstance(value, int | float) else str(value)
