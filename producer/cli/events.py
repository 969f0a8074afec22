"""fusionai events, webhooks: what happened, and where it is told."""

import threading
from collections.abc import Sequence
from typing import Any

import click
from rich.cells import cell_len

from producer.cli import tables
from producer.cli.connection import api_command
from producer.cli.groups import DefaultGroup
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column
from producer.client import FusionAI

#: Between two looks of `events --follow`.
_FOLLOW_SECONDS = 1.0


@click.command()
@click.option("--after", metavar="ID", help="Begin after this event.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--follow", is_flag=True, help="Go on with new ones until Ctrl-C; --json: one a line.")
@api_command
def events(client: FusionAI, output: Output, after: str | None, limit: int, follow: bool) -> None:
    """List the account's events, the oldest first."""
    if follow:
        _follow(client, output, after)
        return
    page = client.events(after=after, limit=min(limit, 100))

    def words() -> None:
        for line in _lines(page["data"], output):
            output.line(line)
        if not page["data"]:
            output.line("No events.")
        if page["has_more"]:
            output.line(f"More: fusionai events --after {page['last_id']}")

    output.value(page, words)


@click.group(cls=DefaultGroup)
def webhooks() -> None:
    """List, create and delete webhooks."""


@webhooks.command("list")
@api_command
def list_webhooks(client: FusionAI, output: Output) -> None:
    """List the addresses that events are sent to."""
    page = client.webhooks(limit=100)

    def words() -> None:
        rows = [[w["id"], w["url"], w["status"], " ".join(w["events"] or ["*"])] for w in page["data"]]
        output.table([Column("id", id=True), "url", "status", Column("events", drop=1)], rows, empty="No webhooks.")

    output.value(page, words)


@webhooks.command("create")
@click.argument("url")
@click.option("--event", "types", multiple=True, metavar="TYPE", help="Only this type; may be repeated.")
@api_command
def create_webhook(client: FusionAI, output: Output, url: str, types: tuple[str, ...]) -> None:
    """Have events sent to URL."""
    made = client.create_webhook(url, types)
    output.value(made, lambda: output.fields({name: made.get(name) for name in ("id", "url", "secret")}))


@webhooks.command("delete")
@click.argument("id")
@api_command
def delete_webhook(client: FusionAI, output: Output, id: str) -> None:
    """Stop sending events there."""
    gone = client.delete_webhook(id)
    output.value(gone, lambda: output.line(f"{id} deleted"))


def _follow(client: FusionAI, output: Output, after: str | None) -> None:
    pause = threading.Event()
    try:
        while True:
            page = client.events(after=after)
            _print(output, page["data"])
            after = page["last_id"] or after
            if not page["has_more"]:
                pause.wait(_FOLLOW_SECONDS)
    except KeyboardInterrupt:
        if after and not output.as_json:
            output.line(f"To go on: fusionai events --follow --after {after}")


def _print(output: Output, found: Sequence[dict[str, Any]]) -> None:
    if output.as_json:
        for event in found:
            output.record(event)
    else:
        for line in _lines(found, output):
            output.line(line)


def _lines(events: Sequence[dict[str, Any]], output: Output) -> list[str]:
    """`sequence  time  type  words` of each, all in one form: where the terminal is too narrow for one of them, with
    the ends of ids, then without the day.
    """
    forms = [_form(event) for event in events]
    if not output.is_terminal:
        return [form[0] for form in forms]
    widths = (list(lines) for lines in zip(*forms, strict=True))
    fitting = (lines for lines in widths if max(map(cell_len, lines)) <= output.width)
    return next(fitting, [form[-1] for form in forms])


def _form(event: dict[str, Any]) -> tuple[str, ...]:
    """The same event's line in three widths, the widest first."""
    at, words = moment(event["created_at"]), _words(event["data"])
    shown = (at, words), (at, _shortened(words)), (at.partition(" ")[2], _shortened(words))
    return tuple(f"{event['sequence']:>6}  {when}  {event['type']:<16}  {text}".rstrip() for when, text in shown)


def _shortened(words: str) -> str:
    id, comma, rest = words.partition(",")
    return f"{tables.short(id)}{comma}{rest}"


def _words(data: dict[str, Any]) -> str:
    """What an event tells: the id and state of its job, batch or invoice, or its own few values."""
    for name in ("job", "batch", "invoice"):
        if isinstance(found := data.get(name), dict):
            return _of(name, found)
    plain = {name: value for name, value in data.items() if isinstance(value, str | int | float) and name != "url"}
    return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in plain.items())


def _of(name: str, found: dict[str, Any]) -> str:
    if name == "invoice":
        return f"{found['id']}, number {found['number']}, {found['kind']}, {credits_text(found['credits'])} credits"
    parts = [str(found["id"])]
    if name == "job":
        parts += [str(found[part]) for part in ("model", "status") if found.get(part)]
    elif counts := found.get("request_counts"):
        failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
        parts.append(f"{counts['completed']:,} of {counts['total']:,} succeeded{failed}")
    return ", ".join(parts)


def _text(value: object) -> str:
    return credits_text(value) if isinstance(value, int | float) else str(value)
