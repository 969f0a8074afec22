"""fusionai webhooks: the addresses that events are sent to, and what became of each delivery."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

import click

from fusionai.plain import PlainClient
from producer.cli.connection import api_command
from producer.cli.groups import DefaultGroup
from producer.cli.ids import Id
from producer.cli.output import Output, moment
from producer.cli.tables import Column, short_id, time_of_day
from shared import clock
from shared.submissions.sizes import MOST_PAGE

_COLUMNS: Final = [
    Column("id", short=short_id),
    Column("url", text=True),
    Column("status", styled=True),
    Column("failing since", short=time_of_day, drop=2),
    Column("events", drop=1),
]
_DELIVERIES: Final = [
    Column("event", short=short_id, cut=5),
    Column("type", drop=1),
    Column("status", styled=True),
    Column("attempts", right=True, drop=3),
    Column("code", right=True),
    Column("ms", right=True, drop=4),
    Column("last attempt", short=time_of_day, drop=2),
    Column("said", text=True),
]
_ATTEMPTS: Final = [
    Column("time", short=time_of_day),
    Column("code", right=True),
    Column("ms", right=True),
    Column("said", text=True),
]
_TYPES: Final = [Column("type"), Column("when", text=True)]
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group(cls=DefaultGroup)
def webhooks() -> None:
    """Create, change and test webhooks; see and repeat deliveries."""


@webhooks.command("list")
@api_command
def list_webhooks(client: PlainClient, output: Output) -> None:
    """List webhooks."""
    page = client.webhooks(limit=MOST_PAGE)

    def words() -> None:
        rows = [[w["id"], w["url"], w["status"], moment(w["failing_since"]), _types(w)] for w in page["data"]]
        output.table(_COLUMNS, rows, empty="No webhooks.")

    output.value(page, words)


@webhooks.command("create")
@click.argument("url")
@click.option("--event", "types", multiple=True, metavar="TYPE", help="Only this type; may be repeated.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@api_command
def create_webhook(
    client: PlainClient, output: Output, url: str, types: tuple[str, ...], description: str | None
) -> None:
    """Send events to URL.

    The signing secret is shown only once.
    """
    made = client.webhooks.create(url, types, description)
    output.value(made, lambda: output.fields({name: made.get(name) for name in ("id", "url", "secret")}))


@webhooks.command("show")
@click.argument("id", type=Id("webhook"))
@api_command
def show_webhook(client: PlainClient, output: Output, id: str) -> None:
    """Show a webhook."""
    found = client.webhooks.show(id)
    output.value(found, lambda: _show(output, found))


@webhooks.command("set")
@click.argument("id", type=Id("webhook"))
@click.option("--url", metavar="URL", help="Send to this address.")
@click.option("--event", "types", multiple=True, metavar="TYPE", help="Send only this type; may be repeated; * is all.")
@click.option("--description", metavar="TEXT", help="What it is for; empty: nothing.")
@click.option("--enable/--disable", "enabled", default=None, help="Send events, or none.")
@api_command
def set_webhook(
    client: PlainClient,
    output: Output,
    id: str,
    url: str | None,
    types: tuple[str, ...],
    description: str | None,
    enabled: bool | None,
) -> None:
    """Change a webhook, or enable it again."""
    status = None if enabled is None else "enabled" if enabled else "disabled"
    given: dict[str, Any] = {"url": url, "events": list(types) or None, "description": description, "status": status}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("nothing to change: give --url, --event, --description, --enable or --disable")
    changed = client.webhooks.set(id, **changes)
    output.value(changed, lambda: _show(output, changed))


@webhooks.command("delete")
@click.argument("id", type=Id("webhook"))
@api_command
def delete_webhook(client: PlainClient, output: Output, id: str) -> None:
    """Delete a webhook: no more events are sent to it."""
    gone = client.webhooks.delete(id)
    output.value(gone, lambda: output.line(f"{id} deleted"))


@webhooks.command("types")
@click.argument("type", required=False)
@api_command
def event_types(client: PlainClient, output: Output, type: str | None) -> None:
    """List the types of events; of one TYPE, an example of its body."""
    page = client.webhooks.types()
    found = [one for one in page["data"] if type in (None, one["id"])]
    if type is not None and not found:
        raise click.BadParameter(f"unknown event type {type!r}; fusionai webhooks types lists them", param_hint="TYPE")

    def words() -> None:
        if type is None:
            output.table(_TYPES, [[one["id"], one["description"]] for one in found], fold=True)
        else:
            output.line(found[0]["description"])
            output.line(json.dumps(found[0]["example"], indent=2))

    output.value(page if type is None else found[0], words)


@webhooks.command("rotate")
@click.argument("id", type=Id("webhook"))
@click.option("--leaked", is_flag=True, help="End the secrets before it at once: they sign nothing any more.")
@api_command
def rotate_webhook(client: PlainClient, output: Output, id: str, leaked: bool) -> None:
    """Give a webhook a new secret.

    It is shown only once; the secrets before remain valid for a day, unless they have leaked.
    """
    rotated = client.webhooks.rotate(id, overlap_seconds=0 if leaked else None)
    output.value(rotated, lambda: output.fields({name: rotated.get(name) for name in ("id", "url", "secret")}))


@webhooks.command("secret")
@click.option("--rotate", is_flag=True, help="Make a new one and show it, once; the one before is valid for a day.")
@click.option("--leaked", is_flag=True, help="Make a new one, and end those before it at once.")
@api_command
def callback_secret(client: PlainClient, output: Output, rotate: bool, leaked: bool) -> None:
    """Show or rotate the secret that signs callbacks of jobs."""
    overlap = 0 if leaked else None
    rotates = rotate or leaked
    found = client.webhooks.rotate_secret(overlap_seconds=overlap) if rotates else client.webhooks.secret()

    def words() -> None:
        output.fields({"made": moment(found["created_at"]), "valid": found["valid"], "secret": found.get("secret")})

    output.value(found, words)


@webhooks.command("test")
@click.argument("id", type=Id("webhook"))
@api_command
def test_webhook(client: PlainClient, output: Output, id: str) -> None:
    """Send a test event to a webhook."""
    sent = client.webhooks.test(id)

    def words() -> None:
        output.line(f"webhook.test sent to {sent['url']}")
        output.note(f"See: fusionai webhooks deliveries {id}")

    output.value(sent, words)


@webhooks.command("deliveries")
@click.argument("id", type=Id("webhook"))
@click.option(
    "--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--after", metavar="ID", help="Go on after this delivery.")
@click.option("--attempts", is_flag=True, help="Show every attempt.")
@api_command
def list_deliveries(
    client: PlainClient, output: Output, id: str, limit: int, after: str | None, attempts: bool
) -> None:
    """List what was sent to a webhook, the newest first."""
    page = client.webhooks.deliveries(id, limit=limit, after=after)

    def words() -> None:
        if not attempts:
            output.table(_DELIVERIES, [_delivery(one) for one in page["data"]], empty="No deliveries.", fold=True)
        for one in page["data"] if attempts else ():
            output.fields({"event": one["event_id"], "type": one.get("event_type"), "status": one["status"]})
            output.table(_ATTEMPTS, [_attempt(tried) for tried in one["log"]], empty="No attempts yet.", fold=True)
        if page["has_more"]:
            output.note(f"More: fusionai webhooks deliveries {id} --after {page['last_id']}")

    output.value(page, words)


@webhooks.command("redeliver")
@click.argument("id", type=Id("webhook"))
@click.option("--since", required=True, metavar="TIME", help="30m, 12h, 3d ago; or 2026-11-21[T08:00:00] (UTC).")
@click.option(
    "--status",
    type=click.Choice(["failed", "missing", "all"]),
    default="failed",
    show_default=True,
    help="Which: given up; never sent; all.",
)
@api_command
def redeliver(client: PlainClient, output: Output, id: str, since: str, status: Any) -> None:
    """Send a webhook again what it has not had."""
    parts = list(client.webhooks.redeliver(id, since_of(since, clock.now_seconds()), status))
    total = {**parts[-1], "redelivered": sum(part["redelivered"] for part in parts)}
    output.value(total, lambda: output.line(f"{total['redelivered']:,} events are sent again"))


def since_of(text: str, now: int) -> int:
    """The Unix time that is meant: so long ago, a day, or a moment in UTC.

    >>> since_of("2h", 10_000), since_of("1970-01-02", 0)
    (2800, 86400)
    """
    if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
        return max(0, now - int(ago[1]) * _UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
        found = int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())  # noqa: UP017
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        raise click.UsageError(f"--since {text[:50]}: give 30m, 12h or 3d, or a time such as 2026-11-21T08:00:00")
    return found


def _show(output: Output, found: Mapping[str, Any]) -> None:
    output.fields(
        {
            "id": found["id"],
            "url": found["url"],
            "description": found["description"],
            "events": _types(found),
            "status": found["status"],
            "reason": found["disabled_reason"],
            "failing since": moment(found["failing_since"]) or None,
            "created": moment(found["created_at"]),
        }
    )


def _types(found: Mapping[str, Any]) -> str:
    return " ".join(found["events"] or ["*"])


def _delivery(one: Mapping[str, Any]) -> list[object]:
    last = one["log"][-1] if one["log"] else {}
    said = last.get("response") or one["last_error"] or ""
    at = moment(last.get("at"))
    ended = [one["status"], one["attempts"], one["last_status_code"], last.get("latency_ms"), at, said]
    return [one["event_id"], one.get("event_type"), *ended]


def _attempt(tried: Mapping[str, Any]) -> list[object]:
    return [moment(tried["at"]), tried["status_code"], tried["latency_ms"], tried["response"] or tried["error"] or ""]
