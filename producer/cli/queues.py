"""fusionai queues, workers: what waits and runs at each provider; pausing a provider. On the database."""

from typing import Any

import click
from redis import RedisError

from producer.cli.auditing import action, operator_option, reason_option
from producer.cli.groups import DefaultGroup
from producer.cli.operator import operator_command
from producer.cli.output import Output, moment
from producer.cli.tables import Column
from producer.objects.queues import Queue
from producer.operations import queues as ops
from producer.stack.state import StateDirectory
from shared import clock, redis_clients
from shared.db import Database
from shared.jobs import pauses
from shared.providers.states import ProviderStanding
from shared.settings import settings

#: How long Redis may take, in seconds.
REDIS_SECONDS = 2.0

_COLUMNS = [
    Column("queue"),
    Column("waiting", right=True),
    Column("deferred", right=True, drop=2),
    Column("running", right=True),
    Column("oldest", drop=3),
    Column("a second", right=True, drop=4),
    Column("state", styled=True),
]
_WORKERS = [
    Column("id"),
    Column("host"),
    Column("process", right=True, drop=2),
    Column("jobs", right=True),
    Column("last beat"),
    Column("started", drop=1),
]


@click.group(cls=DefaultGroup)
def queues() -> None:
    """Show queues; pause and resume a provider."""


@queues.command("list")
@operator_command
def list_queues(database: Database, output: Output) -> None:
    """List each provider's queues."""
    rows, now = database.read_sync(ops.read_rows), clock.now_seconds()
    found = ops.queue_objects(rows, _standings(), now)

    def words() -> None:
        output.table(_COLUMNS, [row for one in found for row in _rows(one)], empty="The catalogue is empty.")
        for one in found:
            if paused := one["paused"]:
                since, by, why = moment(paused["since"]), paused["operator"], paused["reason"]
                output.note(f"{one['id']} is paused since {since} by {by}: {why}")

    output.value({"object": "list", "data": found}, words)


@queues.command("pause")
@click.argument("provider")
@reason_option
@operator_option
@operator_command
def pause_queue(database: Database, output: Output, provider: str, reason: str) -> None:
    """Pause a provider. Its queued jobs wait, or go on with another offer.

    Jobs that run go on to their end; deadlines go on, too.
    """
    found = database.write_sync(ops.pause, action(pauses.PAUSED, reason), provider)

    def words() -> None:
        output.line(f"{provider} is paused; {sum(one['waiting'] for one in found['lanes']):,} jobs wait")
        output.note(f"Next: fusionai queues resume {provider}")

    output.value(found, words)


@queues.command("resume")
@click.argument("provider")
@operator_option
@operator_command
def resume_queue(database: Database, output: Output, provider: str) -> None:
    """Resume a paused provider: its jobs go on within a second or two."""
    was = provider in database.read_sync(pauses.current)
    found = database.write_sync(ops.resume, action(pauses.RESUMED), provider)
    ended = "is resumed: its jobs go on" if was else "was not paused"
    output.value(found, lambda: output.line(f"{provider} {ended}"))


@click.command()
@operator_command
def workers(database: Database, output: Output) -> None:
    """List the worker processes that live."""
    found = database.read_sync(ops.read_workers)

    def words() -> None:
        rows = [
            (one["id"], one["host"], one["pid"], one["jobs"], moment(one["last_beat_at"]), moment(one["started_at"]))
            for one in found
        ]
        output.table(_WORKERS, rows, empty="No worker is alive: queued jobs wait. `fusionai up` starts one.")

    output.value({"object": "list", "data": found}, words)


def _rows(found: Queue) -> list[tuple[Any, ...]]:
    """A row a lane; the rate is the provider's, beside its first."""
    rate = sum(model["answers_per_second"] for model in found["models"])
    state = "paused" if found["paused"] else "down" if found["breaker"]["state"] == "open" else "ok"
    rows = []
    for number, lane in enumerate(found["lanes"]):
        oldest = lane["oldest_waiting_at"]
        rows.append(
            (
                lane["queue"],
                f"{lane['waiting']:,}",
                f"{lane['deferred']:,}",
                f"{lane['running']:,}",
                "" if oldest is None else moment(oldest),
                "" if number or not rate else f"{rate:.1f}",
                state,
            )
        )
    return rows


def _standings() -> list[ProviderStanding]:
    url = StateDirectory(settings().state_directory).running().get("redis_url") or settings().redis_url
    try:
        with redis_clients.connect_sync(url, REDIS_SECONDS) as redis:
            return list(ops.read_states(redis))
    except (RedisError, OSError):
        return []
